"""Which channels of each stage answer most strongly to one photograph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermtrain import backbone

STAGES = ("conv1", *backbone.STAGES)
_ALIKE, _RIM = 0.9, 0.06

Map = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stage:
    """What one layer answers to one photograph.

    Attributes:
        name: conv1 to conv5.
        layer: Name of the layer.
        field: Side of the window that one place of the layer sees, pixels of the input.
        channels: Numbers of the strongest channels, strongest first, int64 (n,).
        maps: Their answers, float32 (n, height, width).
        total: Number of channels of the layer.
    """

    name: str
    layer: str
    field: int
    channels: npt.NDArray[np.int64]
    maps: Map
    total: int


def last_layers(model: keras.Model, stages: Sequence[str] = STAGES) -> dict[str, str]:
    """The last layer of each stage: conv1 -> conv1_relu, conv2 -> conv2_block3_out, ..."""
    slices = slice_layers(model)
    return {s: [name for name in slices if backbone.stage_of(name) == s][-1] for s in stages}


def slice_layers(model: keras.Model) -> tuple[str, ...]:
    """Where the net is cut to look inside: conv1_relu, then the end of each residual block."""
    names = (layer.name for layer in model.layers)
    return tuple(name for name in names if name == "conv1_relu" or name.endswith("_out"))


def look(
    model: keras.Model, layers: Sequence[str], batch: npt.NDArray[np.floating], count: int
) -> tuple[Stage, ...]:
    """Run the net once and keep the strongest channels of some layers.

    Args:
        model: The full model.
        layers: Names of the layers, in any order.
        batch: One prepared photograph, (1, height, width, 3).
        count: How many channels to keep of each layer.
    """
    if not layers:
        return ()
    taps = keras.Model(model.input, [model.get_layer(name).output for name in layers])
    found = taps(tf.cast(batch, tf.float32), training=False)
    found = found if isinstance(found, list) else [found]
    fields = receptive_fields(model)
    stages = []
    for name, values in zip(layers, found, strict=True):
        maps = values.numpy()[0]
        chosen = strongest(maps, count)
        kept = np.moveaxis(maps[:, :, chosen], -1, 0)
        stage = backbone.stage_of(name)
        stages.append(Stage(stage, name, fields[name], chosen, kept, maps.shape[-1]))
    return tuple(stages)


def strongest(
    maps: Map, count: int, alike: float = _ALIKE, rim: float = _RIM
) -> npt.NDArray[np.int64]:
    """Numbers of the channels that answer most strongly, strongest first.

    The strength of a channel is the standard deviation of its answer over the photograph: a channel
    that shines everywhere alike shows nothing. A channel whose map correlates with that of a
    stronger one is passed over while others are left, so that the pictures differ. The outermost
    places don't count: many channels answer there to the black padding, not to the photograph.

    Args:
        maps: float32 (height, width, channels).
        count: How many at most.
        alike: Correlation from which two channels count as alike; above 1, none do.
        rim: Share of the side that doesn't count, at each edge; see `inner`.

    Returns:
        int64 (at most count,). Channels that answer nowhere are never among them.
    """
    flat = inner(maps, rim).reshape(-1, maps.shape[-1]).astype(np.float64)
    flat = flat - flat.mean(axis=0)
    strength = np.sqrt((flat**2).mean(axis=0))
    ranked = [int(i) for i in np.argsort(-strength, kind="stable") if strength[i] > 0]
    unit = flat / np.maximum(np.linalg.norm(flat, axis=0), np.finfo(np.float64).tiny)
    chosen: list[int] = []
    for channel in ranked:
        if len(chosen) == count:
            break
        if not chosen or (unit[:, chosen].T @ unit[:, channel]).max() < alike:
            chosen.append(channel)
    rest = (channel for channel in ranked if channel not in chosen)
    filled = chosen + [
        channel for _, channel in zip(range(count - len(chosen)), rest, strict=False)
    ]
    return np.array(sorted(filled, key=ranked.index), np.int64)


def inner(values: Map, rim: float = _RIM) -> Map:
    """Maps (height, width, ...) without a rim: at least one place, but none of maps below 6 x 6."""
    rows, columns = (0 if n < 6 or not rim else max(1, round(rim * n)) for n in values.shape[:2])
    return values[rows : len(values) - rows, columns : values.shape[1] - columns]


def receptive_fields(model: keras.Model) -> dict[str, int]:
    """Side of the input window that one place of each slice sees, pixels.

    r grows by (kernel - 1) * jump with each layer on the longest way, and jump by its stride
    (Araujo et al. 2019, Computing Receptive Fields of Convolutional Neural Networks).
    """
    field, jump, fields = 1, 1, {}
    for layer in model.layers:
        for kernel, stride in _window(layer):
            field, jump = field + (kernel - 1) * jump, jump * stride
        if layer.name in slice_layers(model):
            fields[layer.name] = field
    return fields


def _window(layer: keras.layers.Layer) -> Iterable[tuple[int, int]]:
    """Kernel and stride of a layer of the main path; the shortcuts (`_0_`) see less."""
    if "_0_" in layer.name:
        return
    if isinstance(layer, keras.layers.Conv2D):
        yield layer.kernel_size[0], layer.strides[0]
    elif isinstance(layer, keras.layers.MaxPooling2D):
        yield layer.pool_size[0], layer.strides[0]
