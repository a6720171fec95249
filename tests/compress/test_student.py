"""A net on its way through the line: its size, its file, what it learns, and its zeros."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras as keras

from dermcompress import graph, peer, rebuild, student
from dermcompress.answers import ask, size
from dermcompress.distill import Course, Lesson, mimic
from dermcompress.fold import fold
from dermcompress.quantize import quantize_aware
from dermcompress.slim import Seen
from dermcompress.sparsify import sparsify
from dermcompress.student import Student
from dermedge.errors import InputError
from dermtrain import backbone

pytestmark = pytest.mark.tensorflow

GENTLE = Course(epochs=3, learning_rate=1e-3, batch=16, seed=0)
STAGES = list(student.STAGE_ENDS)


def copy(of: Student, noise: float = 0.0) -> Student:
    """The same student with other variables, each of them disturbed by this share."""
    net = rebuild.resized(of.net, of.side)
    random = np.random.default_rng(0)
    net.set_weights([w * random.normal(1, noise, w.shape) for w in net.get_weights()])
    return Student(net, of.kept)


def halved(of: Student) -> Student:
    """The student without every other channel that can leave."""
    found = graph.channels(of.net)
    leaving = {i for space in found.spaces() for i in space.ids[::2].tolist()}
    net = rebuild.cut(of.net, found, leaving)
    return student.of(net, found.masks(leaving))


def logits(net: keras.Model, pixels: np.ndarray) -> np.ndarray:
    found = net(pixels.astype(np.float32))
    return (found[0] if isinstance(found, list) else found).numpy()


def error(pupil: Student, lesson: Lesson) -> float:
    """Mean squared error of the scores, as they are and mirrored."""
    views = (lesson.source[lesson.rows], lesson.source[lesson.rows][:, :, ::-1])
    own = np.stack([logits(pupil.net, view) for view in views])
    return float(np.square(own - lesson.answers.logits).mean())


# Size


def test_resnet50_has_the_published_arithmetic_and_parameters(full: keras.Model) -> None:
    # 3.86 G for the convolutions at 224 pixels with stride in the 1x1 (He et al. 2015 give 3.8 G).
    net = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(224, 224, 3))
    assert student.macs(net) == pytest.approx(3.86e9, rel=0.01)
    assert student.parameters(net) == net.count_params() == 23_587_712
    # What batch normalisation holds beyond one bias a channel is gone: gamma, beta and two moments.
    norms = [x for x in full.layers if isinstance(x, keras.layers.BatchNormalization)]
    gone = 4 * sum(int(norm.gamma.shape[0]) for norm in norms)
    assert student.parameters(fold(full)) == student.parameters(full) - gone
    assert student.macs(fold(full)) == student.macs(full)


def test_mobilenetv2_has_the_published_arithmetic() -> None:
    # Sandler et al. 2018, table 4: 300 M multiply-adds, 3.4 M parameters, top included.
    net = keras.applications.MobileNetV2(weights=None)
    assert student.macs(net) == pytest.approx(300e6, rel=0.01)
    assert student.parameters(net) == pytest.approx(3.5e6, rel=0.02)


def test_zeros_are_the_share_of_kernel_weights_that_are_exactly_0() -> None:
    pixels = keras.Input((8, 8, 3))
    conv, dense = keras.layers.Conv2D(4, 2), keras.layers.Dense(3)
    net = keras.Model(pixels, dense(keras.layers.ReLU()(conv(pixels))))
    kernel = np.ones((2, 2, 3, 4))
    kernel[0, 0] = 0
    conv.set_weights([kernel, np.zeros(4)])
    dense.set_weights([np.full((4, 3), 1e-9), np.zeros(3)])
    assert student.zeros(net) == pytest.approx(12 / 60)


# File


@pytest.mark.parametrize("side", [32, 48])
def test_a_slim_student_comes_back_from_its_file_for_any_side(
    side: int, teacher: Student, toys: Seen, tmp_path: Path
) -> None:
    pupil = halved(teacher)
    pupil.save(tmp_path / "pupil.npz")
    found = student.load(teacher.net, tmp_path / "pupil.npz", side)
    assert found.side == side
    assert list(found.kept) == STAGES
    for name, ids in pupil.kept.items():
        np.testing.assert_array_equal(found.kept[name], ids)
        assert found.net.get_layer(name).output_shape[-1] == len(ids)
    for own, expected in zip(found.net.get_weights(), pupil.net.get_weights(), strict=True):
        np.testing.assert_array_equal(own, expected)
    if side == pupil.side:
        np.testing.assert_array_equal(
            logits(found.net, toys.pixels), logits(pupil.net, toys.pixels)
        )


def test_a_net_with_squeezes_and_flattened_maps_comes_back_too(tmp_path: Path) -> None:
    layers = keras.layers
    pixels = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, 2, name="a")(pixels)
    y = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Conv2D(8, 1, activation="sigmoid")(y)])
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3)(x))
    net = keras.Model(pixels, layers.Dense(2)(layers.Dense(6)(layers.Flatten()(x))))
    pupil = halved(student.of(net))
    assert pupil.kept == {}
    pupil.save(tmp_path / "pupil.npz")
    found = student.load(net, tmp_path / "pupil.npz", 8)
    x = np.random.default_rng(0).normal(0, 1, (4, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(found.net(x).numpy(), pupil.net(x).numpy())


def test_a_net_comes_back_that_reshapes_for_something_else_than_a_convolution(
    tmp_path: Path,
) -> None:
    layers = keras.layers
    pixels = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, name="a")(pixels)
    gate = layers.Reshape((1, 1, 16))(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Activation("sigmoid")(gate)])
    y = layers.Reshape((1, 1, 16))(layers.GlobalMaxPooling2D()(x))
    net = keras.Model(pixels, layers.Flatten()(layers.Dense(2)(y)))
    pupil = halved(student.of(net))
    assert pupil.net.get_layer("a").filters == 8
    pupil.save(tmp_path / "pupil.npz")
    found = student.load(net, tmp_path / "pupil.npz", 8)
    x = np.random.default_rng(0).normal(0, 1, (4, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(found.net(x).numpy(), pupil.net(x).numpy())


def test_a_file_that_is_no_weights_is_refused(teacher: Student, tmp_path: Path) -> None:
    (tmp_path / "pupil.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="not a readable weight file"):
        student.load(teacher.net, tmp_path / "pupil.npz", 32)


# The peer


def test_the_peer_takes_pixels_as_keras_own_mobilenetv2_and_folds() -> None:
    net = peer.build(32, 2, seed=0)
    x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    normalised = keras.Model(net.input, net.get_layer("normalise").output)(x).numpy()
    expected = keras.applications.mobilenet_v2.preprocess_input(x.copy())
    np.testing.assert_allclose(normalised, expected, atol=1e-5)
    assert logits(net, x).shape == (4, 2)
    folded = Student(fold(net), {})
    kinds = {type(layer) for layer in folded.net.layers}
    assert keras.layers.BatchNormalization not in kinds
    assert [y.shape[-1] for y in folded.watched()(x)] == [2, 2, 1280]
    again = peer.build(32, 2, seed=0)
    np.testing.assert_array_equal(logits(again, x), logits(net, x))


# Teaching


def test_the_teacher_is_asked_about_every_view_and_only_once(
    teacher: Student, toys: Seen, tmp_path: Path
) -> None:
    rows = np.array([3, 5, 40])
    told: list[tuple[int, int]] = []

    def note(_: str, done: int, total: int) -> None:
        told.append((done, total))

    found = ask(teacher, toys.pixels, rows, 4, tmp_path, note)
    scores, maps = found.logits, found.maps
    pixels = toys.pixels[rows]
    views = (pixels, pixels[:, :, ::-1], pixels[:, ::-1], pixels[:, ::-1, ::-1])
    assert scores.shape == (4, 3, 2)
    for own, view in zip(scores, views, strict=True):
        np.testing.assert_allclose(own, logits(teacher.net, view), atol=1e-4)
    assert list(maps) == STAGES
    assert told[-1] == (12, 12)
    assert size(teacher, 3, 4) == scores.nbytes + sum(each.nbytes for each in maps.values())
    told.clear()
    again = ask(teacher, toys.pixels, rows, 4, tmp_path, note)
    np.testing.assert_array_equal(again.logits, scores)
    assert not told


def test_an_interrupted_teacher_leaves_nothing(
    teacher: Student, toys: Seen, tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(teacher, toys.pixels, np.arange(3), 1, tmp_path, stop)
    assert not list(tmp_path.iterdir())


def test_maps_are_the_means_over_four_by_four_cells(
    teacher: Student, toys: Seen, tmp_path: Path
) -> None:
    rows = np.arange(6)
    maps = ask(teacher, toys.pixels, rows, 1, tmp_path).maps
    _, _, _, *whole = teacher.watched()(toys.pixels[rows].astype(np.float32))
    for (name, cells), each in zip(maps.items(), whole, strict=True):
        count, side, _, channels = each.shape
        assert side % 4 == 0
        split = each.numpy().reshape(count, 4, side // 4, 4, side // 4, channels)
        means = split.mean((2, 4))
        np.testing.assert_allclose(cells[0], means, rtol=2e-3, atol=1e-3, err_msg=name)


def test_maps_of_another_size_are_comparable(teacher: Student, tmp_path: Path) -> None:
    larger = Student(rebuild.resized(teacher.net, 48), teacher.kept)  # sides 24, 12 and 6
    pixels = np.full((1, 48, 48, 3), 90, np.uint8)
    maps = ask(larger, pixels, np.array([0]), 1, tmp_path).maps
    _, _, _, *whole = larger.watched()(pixels.astype(np.float32))
    for cells, each in zip(maps.values(), whole, strict=True):
        assert cells.shape[2:4] == (4, 4)
        np.testing.assert_allclose(
            cells[0].mean((1, 2)), each.numpy().mean((1, 2)), rtol=2e-3, atol=1e-3
        )


def test_a_disturbed_student_is_brought_nearer(teacher: Student, lesson: Lesson) -> None:
    pupil = copy(teacher, 0.2)
    before = error(pupil, lesson)
    told: list[Any] = []
    mimic(pupil, lesson, GENTLE, "teaching", lambda *step: told.append(step))
    assert error(pupil, lesson) < 0.5 * before
    assert told[-1] == ("teaching", 18, 18)


def test_a_slim_student_learns_from_the_channels_that_it_kept(
    teacher: Student, lesson: Lesson, tmp_path: Path
) -> None:
    pupil = halved(teacher)

    def strays(when: str) -> list[float]:
        maps = ask(pupil, lesson.source, lesson.rows, 1, tmp_path / when).maps
        return [
            float(np.square(maps[n].astype(float)[0] - lesson.answers.maps[n][0][..., ids]).mean())
            for n, ids in pupil.kept.items()
        ]

    before, apart = strays("before"), error(pupil, lesson)
    mimic(pupil, lesson, replace(GENTLE, epochs=6, learning_rate=3e-3), "teaching")
    assert error(pupil, lesson) < 0.5 * apart
    assert all(after < 0.7 * was for after, was in zip(strays("after"), before, strict=True))


def test_a_course_of_no_epochs_changes_nothing(teacher: Student, lesson: Lesson) -> None:
    pupil = copy(teacher)
    mimic(pupil, lesson, replace(GENTLE, epochs=0), "teaching")
    for own, expected in zip(pupil.net.get_weights(), teacher.net.get_weights(), strict=True):
        np.testing.assert_array_equal(own, expected)


def test_normalisation_of_the_pixels_does_not_learn(teacher: Student, lesson: Lesson) -> None:
    pupil = copy(teacher)
    mimic(pupil, lesson, replace(GENTLE, epochs=1), "teaching")
    own, expected = (s.net.get_layer("normalise").get_weights() for s in (pupil, teacher))
    np.testing.assert_array_equal(own[0], expected[0])
    np.testing.assert_array_equal(own[1], expected[1])


# Zeros


@pytest.fixture(scope="module")
def sparse(teacher: Student, lesson: Lesson) -> Student:
    course = replace(GENTLE, epochs=4, learning_rate=1e-4)
    return sparsify(teacher, lesson, 0.5, course)


def test_half_of_the_weights_become_0_and_the_net_given_stays(
    sparse: Student, teacher: Student, lesson: Lesson
) -> None:
    assert student.zeros(teacher.net) < 1e-3  # off the diagonal of the input's normalisation
    assert student.zeros(sparse.net) > 0.4
    for layer in sparse.net.layers:
        if type(layer) is keras.layers.Conv2D and layer.name != "normalise":
            whole = layer.name in ("conv1_conv", backbone.HEAD)
            share = np.mean(layer.get_weights()[0] == 0)
            assert share == pytest.approx(0 if whole else 0.5, abs=0.01), layer.name
    assert sparse.kept is teacher.kept
    scores = logits(sparse.net, lesson.source[lesson.rows])
    assert np.mean(scores.argmax(1) == lesson.answers.logits[0].argmax(1)) > 0.95


@pytest.mark.parametrize("steps", [3, 10])
def test_few_steps_reach_the_share_too(teacher: Student, lesson: Lesson, steps: int) -> None:
    course = replace(GENTLE, epochs=1, batch=len(lesson) // steps)
    found = sparsify(teacher, lesson, 0.5, course)
    kernel = found.net.get_layer("conv3_1_conv").get_weights()[0]
    assert np.mean(kernel == 0) == pytest.approx(0.5, abs=0.01)


def test_zeros_outlast_the_learning_of_int8(sparse: Student, lesson: Lesson) -> None:
    aware = quantize_aware(sparse, lesson.source[lesson.rows])
    mimic(sparse, lesson, replace(GENTLE, epochs=1), "learning int8", net=aware)
    own = {name: aware.get_layer(f"quant_{name}") for name in ("conv3_1_conv", "conv5_1_conv")}
    for name, layer in own.items():
        kernel = next(w for w in layer.weights if "kernel:" in w.name).numpy()
        before = sparse.net.get_layer(name).get_weights()[0]
        np.testing.assert_array_equal(kernel == 0, before == 0)
        assert np.abs(kernel - before).max() > 0  # it did learn
