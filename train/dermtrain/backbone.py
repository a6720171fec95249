"""ResNet50 and its head as one flat functional graph, from raw pixels to logits."""

from __future__ import annotations

import numpy as np
import tf_keras as keras

from dermedge.errors import InputError

STAGES = ("conv2", "conv3", "conv4", "conv5")
PIXELS, HEAD, LOGITS, TOP = "pixels", "head", "logits", "conv5_block3_out"
# Mean colour of ImageNet in the order B, G, R: what keras.applications' "caffe" mode subtracts.
_IMAGENET_BGR = (103.939, 116.779, 123.68)


def build(size: int | None, classes: int) -> keras.Model:
    """Build the full model with random weights.

    The first layer, `normalise`, is a fixed 1x1 convolution that reorders RGB to BGR and subtracts
    ImageNet's mean colour: the model takes pixels, so that no deployment can normalise wrongly. The
    head is a 1x1 convolution before the average pooling: the same function as pooling and then a
    dense layer, but its map is the class-activation map (Zhou et al. 2016).

    Args:
        size: Side of the square input, pixels; None for any, as training on crops needs.
        classes: Number of classes.

    Returns:
        float32 (batch, size, size, 3), RGB, 0 to 255 -> float32 (batch, classes), logits.
    """
    pixels = keras.Input((size, size, 3), name=PIXELS)
    normalise = keras.layers.Conv2D(3, 1, name="normalise", trainable=False)
    base = keras.applications.ResNet50(
        include_top=False, weights=None, input_tensor=normalise(pixels)
    )
    scores = keras.layers.Conv2D(classes, 1, name=HEAD)(base.output)
    logits = keras.layers.GlobalAveragePooling2D(name=LOGITS)(scores)
    model = keras.Model(pixels, logits, name="resnet50")
    normalise.set_weights([np.eye(3)[::-1][None, None], -np.array(_IMAGENET_BGR)])
    return model


def stage_of(layer: str) -> str:
    """The stage a layer belongs to: conv1 to conv5, `head`, or `input`."""
    prefix = layer.split("_")[0]
    if prefix in ("conv1", "pool1", *STAGES):
        return "conv1" if prefix == "pool1" else prefix
    return "head" if layer in (HEAD, LOGITS) else "input"


def boundary_below(model: keras.Model, part: str) -> str:
    """Name of the layer whose output a part takes: where the net is cut when training from there.

    `head` -> conv5_block3_out, `conv5` -> conv4_block6_out, `conv4_block4` -> conv4_block3_out,
    ..., `conv1` -> pixels.

    Raises:
        InputError: The net has no such block.
    """
    stage, _, block = part.partition("_block")
    if block and int(block) > 1:
        name = f"{stage}_block{int(block) - 1}_out"
        if f"{part}_out" not in {layer.name for layer in model.layers}:
            raise InputError(f"ResNet50 has no {part}")
        return name
    names = [layer.name for layer in model.layers]
    if stage == "head":
        return TOP
    if stage == "conv1":
        return PIXELS
    if stage == "conv2":
        return "pool1_pool"
    below = STAGES[STAGES.index(stage) - 1]
    return max((n for n in names if n.startswith(below) and n.endswith("_out")), key=names.index)


def below(model: keras.Model, boundary: str) -> keras.Model:
    """The part of the net from the pixels to the boundary; shares the weights of `model`."""
    return keras.Model(model.input, model.get_layer(boundary).output)


def above(model: keras.Model, boundary: str, output: str = LOGITS) -> keras.Model:
    """The part of the net from the boundary to `output`; shares the weights of `model`."""
    if boundary == output:  # Keras makes no model from a layer's output to itself
        same = keras.Input(model.get_layer(boundary).output_shape[1:])
        return keras.Model(same, same)
    return keras.Model(model.get_layer(boundary).output, model.get_layer(output).output)
