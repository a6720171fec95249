"""Sparsity, quantization-aware training and export: what changes, and what must not."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

from dermcompress import convert, slimnet
from dermcompress.distill import lesson, mimic
from dermcompress.quantize import quantize_aware
from dermcompress.sparsify import sparsify, zeros
from dermcompress.steps import logits_of

pytestmark = pytest.mark.tensorflow


def run(model: bytes, pixels: np.ndarray) -> np.ndarray:
    """Logits of a .tflite by the raw interpreter."""
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    (given,), (scores,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for photograph in pixels:
        interpreter.set_tensor(given["index"], photograph[None].astype(given["dtype"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(scores["index"])[0].copy())
    return np.array(found)


@pytest.fixture(scope="module")
def sparse(full: keras.Model, convs: dict, pixels: np.ndarray) -> tuple[keras.Model, keras.Model]:
    """A sparse net, and that net wrapped and trained as int8 would compute."""
    answers = lesson(full, pixels, views=1)
    net = slimnet.build(64, convs)
    plain = sparsify(net, answers, 0.5, epochs=4, learning_rate=1e-5, batch=16, seed=0)
    aware = quantize_aware(plain, pixels)
    mimic(aware, answers, 1, 1e-5, 16, 0, "quantizing")
    return plain, aware


def test_teacher_is_asked_about_every_view(full: keras.Model, pixels: np.ndarray) -> None:
    answers = lesson(full, pixels, views=2)
    np.testing.assert_allclose(answers.logits[0], logits_of(full, pixels), atol=1e-4)
    np.testing.assert_allclose(answers.logits[1], logits_of(full, pixels[:, :, ::-1]), atol=1e-4)
    assert answers.pooled.shape == (2, len(pixels), 2048)


def test_mimicking_brings_the_student_nearer(
    full: keras.Model, convs: dict, pixels: np.ndarray
) -> None:
    answers = lesson(full, pixels, views=1)
    random = np.random.default_rng(0)
    student = slimnet.build(64, convs)
    student.set_weights([w * random.normal(1, 0.1, w.shape) for w in student.get_weights()])
    before = np.square(logits_of(student, pixels) - answers.logits[0]).mean()
    mimic(student, answers, 3, 1e-4, 16, 0, "distilling")
    assert np.square(logits_of(student, pixels) - answers.logits[0]).mean() < 0.7 * before


def test_half_of_the_weights_are_zero_and_stay_so_while_quantizing(sparse: tuple) -> None:
    plain, aware = sparse
    assert zeros(plain) == pytest.approx(0.5, abs=0.01)
    for layer in aware.layers:
        if layer.name.endswith("2_conv"):
            kernel = next(w for w in layer.weights if w.name.endswith("kernel:0")).numpy()
            assert np.mean(kernel == 0) == pytest.approx(0.5, abs=0.02), layer.name


def test_every_convolution_is_quantized(sparse: tuple) -> None:
    _, aware = sparse
    found = [x for x in aware.layers if any("kernel:" in w.name for w in x.weights)]
    assert len(found) == 55
    for layer in found:
        assert any(w.name.endswith("kernel_max:0") for w in layer.weights), layer.name


def test_quantizing_disturbs_little(sparse: tuple, pixels: np.ndarray) -> None:
    plain, aware = sparse
    own, expected = (x(tf.constant(pixels, tf.float32))[1].numpy() for x in (aware, plain))
    # A random net has more outliers than a learnt one, so its int8 steps are coarse.
    assert np.square(own - expected).mean() < 0.1 * np.square(expected).mean()


def test_float_file_gives_the_keras_scores(full: keras.Model, pixels: np.ndarray) -> None:
    found = run(convert.to_float(full), pixels[:8])
    np.testing.assert_allclose(found, logits_of(full, pixels[:8]), atol=1e-3)


def test_int8_file_takes_pixels_and_gives_fine_scores(sparse: tuple, pixels: np.ndarray) -> None:
    plain, aware = sparse
    model = convert.to_int8(aware)
    interpreter = Interpreter(model_content=model)
    given = interpreter.get_input_details()[0]
    assert given["dtype"] is np.uint8
    assert given["quantization"] == (1.0, 0)
    assert tuple(given["shape"]) == (1, 64, 64, 3)
    assert interpreter.get_output_details()[0]["dtype"] is np.float32
    found, expected = run(model, pixels), logits_of(aware, pixels)
    # The integers of the file stray less from the simulation than that from the float net.
    plain_scores = logits_of(plain, pixels)
    assert np.abs(found - expected).mean() < 0.5 * np.abs(expected - plain_scores).mean()
    assert len(model) < 26e6  # 23.5 M weights of one byte each
    # The mean of the 2 x 2 map is finer than its int8 values: the ranking does not collapse.
    assert len(np.unique(found[:, 1])) > len(pixels) / 2
