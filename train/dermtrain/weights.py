"""Weights by name: read .npz and Keras .h5, fill a model, say what was filled and what was not."""

from __future__ import annotations

import socket
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermedge import atomic
from dermedge.errors import InputError, Interrupted, MissingError

# layer name -> variable name ("kernel", "gamma", "moving_mean", ...) -> values
Arrays = dict[str, dict[str, npt.NDArray[np.floating]]]

# The file that keras.applications.ResNet50(weights="imagenet", include_top=False) downloads.
IMAGENET = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_HOST = "storage.googleapis.com"
IMAGENET_URL = f"https://{IMAGENET_HOST}/tensorflow/keras-applications/resnet/{IMAGENET}"
IMAGENET_MD5 = "4d473c1dd8becc155b73f8504c6f6626"


@dataclass(frozen=True, slots=True)
class Filled:
    """Which layers with weights took theirs from the file, and which start at random."""

    source: str
    filled: tuple[str, ...]
    random: tuple[str, ...]

    def __str__(self) -> str:
        """One line for the terminal."""
        random = f"; at random: {_ranges(self.random)}" if self.random else ""
        return f"{Path(self.source).name}: filled {_ranges(self.filled)}{random}"


def fill(model: keras.Model, source: str) -> Filled:
    """Fill a model with `imagenet`, `none` or the weights in a file.

    Variables of a named layer that the file leaves out (all-zero biases) are set to 0; a layer
    whose name or shape the file doesn't have keeps its random start.

    Raises:
        MissingError: ImageNet weights are not on this machine and can't be downloaded.
        InputError: Not a weight file, or nothing in it fits.
    """
    layers = [layer for layer in model.layers if layer.weights and layer.name != "normalise"]
    names = tuple(layer.name for layer in layers)
    if source == "none":
        return Filled(source, (), names)
    arrays = read(imagenet() if source == "imagenet" else Path(source))
    filled = tuple(layer.name for layer in layers if _fill_layer(layer, arrays.get(layer.name)))
    if not filled:
        raise InputError(
            f"{source}: nothing in it fits; expected layers such as {', '.join(names[:3])}, "
            f"found {', '.join(list(arrays)[:3]) or 'none'}"
        )
    return Filled(source, filled, tuple(name for name in names if name not in filled))


def save(model: keras.Model, path: Path, more: Mapping[str, npt.NDArray] | None = None) -> None:
    """Write all weights as .npz with keys `<layer>/<variable>`, whole or not at all.

    Args:
        model: Whose weights.
        path: Where.
        more: Further arrays to go with them, by key.
    """
    arrays = {
        f"{layer.name}/{short(weight.name)}": weight.numpy()
        for layer in model.layers
        for weight in layer.weights
    }
    arrays |= more or {}
    with atomic.whole(path) as temporary:
        np.savez(temporary, **arrays)


def read(path: Path) -> Arrays:
    """Read a weight file: .npz (`<layer>/<variable>`) or Keras .h5, never unpickling.

    Raises:
        InputError: Absent, of another kind, or broken.
    """
    readers = {".npz": _read_npz, ".h5": _read_h5, ".hdf5": _read_h5}
    if path.suffix not in readers:
        raise InputError(f"{path}: expected weights as .npz or .h5, or `imagenet` or `none`")
    if not path.is_file():
        raise InputError(f"{path}: no such weight file")
    try:
        return readers[path.suffix](path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is not a readable weight file: {error}") from error


def imagenet() -> Path:
    """The file of keras.applications, from its cache or downloaded once.

    Raises:
        MissingError: Not cached, and the server can't be reached.
    """
    cached = Path.home() / ".keras" / "models" / IMAGENET
    if cached.is_file():
        return cached
    failure = (
        f"the ImageNet weights are not on this machine and {IMAGENET_HOST} can't be reached. "
        f"Copy {IMAGENET} to {cached.parent}, or give --weights PATH (or none)"
    )
    try:
        socket.create_connection((IMAGENET_HOST, 443), timeout=5).close()
        return Path(
            keras.utils.get_file(
                IMAGENET, IMAGENET_URL, cache_subdir="models", file_hash=IMAGENET_MD5
            )
        )
    except Interrupted:
        raise
    except Exception as error:  # get_file raises bare Exception when a download fails
        raise MissingError(failure) from error


def _fill_layer(layer: keras.layers.Layer, values: Mapping[str, npt.NDArray] | None) -> bool:
    if not values:
        return False
    arrays = [values.get(short(w.name), np.zeros(w.shape, np.float32)) for w in layer.weights]
    if any(a.shape != tuple(w.shape) for a, w in zip(arrays, layer.weights, strict=True)):
        return False
    layer.set_weights([array.astype(np.float32) for array in arrays])
    return True


def _read_npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):  # numpy would take it for a pickle or a single array
        raise ValueError("not an .npz archive")
    arrays: Arrays = {}
    with np.load(path, allow_pickle=False) as archive:
        for key in archive.files:
            layer, _, variable = key.rpartition("/")
            arrays.setdefault(layer, {})[variable] = archive[key]
    return arrays


def _read_h5(path: Path) -> Arrays:
    import h5py  # comes with TensorFlow

    arrays: Arrays = {}

    def visit(name: str, item: object) -> None:
        # ".../conv1_conv/kernel:0" in legacy files: the layer is the name before the variable
        if isinstance(item, h5py.Dataset) and "/" in name:
            *_, layer, variable = name.split("/")
            arrays.setdefault(layer, {})[short(variable)] = np.asarray(item)

    with h5py.File(path, "r") as archive:
        # A whole saved model also holds the optimizer's moments, under the same names.
        archive.get("model_weights", archive).visititems(visit)
    return arrays


def short(name: str) -> str:
    """Name of a variable without its layer's: `conv1_conv/kernel:0` -> `kernel`."""
    return name.rsplit("/", 1)[-1].split(":")[0]


def _ranges(names: tuple[str, ...]) -> str:
    """`conv1 (2 layers), conv2 (20)`: layer names summed up by what stands before the first `_`."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name.split("_")[0]] = counts.get(name.split("_")[0], 0) + 1
    return ", ".join(f"{stage} ({n})" for stage, n in counts.items()) or "nothing"
