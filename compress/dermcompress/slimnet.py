"""A ResNet50 without batch normalisation whose bottlenecks may have any width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tf_keras as keras

from dermcompress.fold import Conv
from dermtrain import backbone

POOLED = "pooled"
_BLOCKS = {"conv2": 3, "conv3": 4, "conv4": 6, "conv5": 3}


@dataclass(frozen=True, slots=True)
class Block:
    """One bottleneck of ResNet50: 1x1, 3x3, 1x1, and a projection on the shortcut of the first."""

    name: str
    stride: int
    projects: bool

    def conv(self, number: int) -> str:
        """Name of its convolution 1, 2 or 3, or of its projection, 0."""
        return f"{self.name}_{number}_conv"


def blocks() -> list[Block]:
    """The sixteen bottlenecks, in order; the first of each stage but conv2 halves the map."""
    return [
        Block(f"{stage}_block{i + 1}", 2 if i == 0 and stage != "conv2" else 1, i == 0)
        for stage, count in _BLOCKS.items()
        for i in range(count)
    ]


def build(size: int, convs: Mapping[str, Conv]) -> keras.Model:
    """Build the net that these convolutions describe; their shapes give the widths.

    Args:
        size: Side of the square input, pixels.
        convs: Folded convolutions by their ResNet50 name.

    Returns:
        float32 (batch, size, size, 3), RGB, 0 to 255 -> [logits (batch, classes), pooled features
        (batch, channels)], the latter for the teacher to be mimicked.
    """
    layers = keras.layers
    pixels = keras.Input((size, size, 3), name=backbone.PIXELS)
    x = _conv(pixels, "normalise", convs)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = _conv(x, "conv1_conv", convs, 2, "relu", padding="valid")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for block in blocks():
        shortcut = _conv(x, block.conv(0), convs, block.stride) if block.projects else x
        y = _conv(x, block.conv(1), convs, block.stride, "relu")
        y = _conv(y, block.conv(2), convs, 1, "relu")
        y = _conv(y, block.conv(3), convs)
        y = layers.Add(name=f"{block.name}_add")([shortcut, y])
        x = layers.Activation("relu", name=f"{block.name}_out")(y)
    pooled = layers.GlobalAveragePooling2D(name=POOLED)(x)
    scores = _conv(x, backbone.HEAD, convs)
    logits = layers.GlobalAveragePooling2D(name=backbone.LOGITS)(scores)
    model = keras.Model(pixels, [logits, pooled], name="slim_resnet50")
    for name, conv in convs.items():
        model.get_layer(name).set_weights([conv.kernel, conv.bias])
    model.get_layer("normalise").trainable = False
    return model


def convs_of(model: keras.Model) -> dict[str, Conv]:
    """The convolutions of a slim net by name."""
    found = (layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    return {layer.name: Conv(*layer.get_weights()) for layer in found}


def macs(model: keras.Model) -> int:
    """Multiply-accumulates of the convolutions for one photograph."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, height, width, channels = layer.output_shape
            h, w, inputs, _ = layer.kernel.shape
            total += height * width * channels * h * w * inputs
    return total


def _conv(
    x,
    name: str,
    convs: Mapping[str, Conv],
    stride: int = 1,
    activation: str = "linear",
    padding: str = "same",
):
    # The activation stands inside the layer: TFMOT leaves a Conv2D in float that a ReLU layer
    # follows without batch normalisation between them.
    h, w, _, channels = convs[name].kernel.shape
    layer = keras.layers.Conv2D(channels, (h, w), stride, padding, activation=activation, name=name)
    return layer(x)
