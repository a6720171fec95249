"""The net that every slim one must beat: MobileNetV2, with this kit's input and head."""

from __future__ import annotations

import numpy as np
import tf_keras as keras

from dermtrain import backbone

_MIDDLE = 127.5  # MobileNetV2 takes -1 to 1
_MOMENTUM = 0.98  # of its BN statistics: at the usual 0.999 a short training never settles them


def build(side: int, classes: int, seed: int) -> keras.Model:
    """MobileNetV2 (Sandler et al. 2018) with random weights.

    Its published ImageNet weights are not among the kit's; it learns from the full model alone, and
    that is said wherever it is shown.

    Args:
        side: Of the square input, pixels.
        classes: Number of classes.
        seed: Of the weights.

    Returns:
        float32 (batch, side, side, 3), RGB, 0 to 255 -> float32 (batch, classes), logits.
    """
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((side, side, 3), name=backbone.PIXELS)
    normalise = keras.layers.Conv2D(3, 1, name="normalise", trainable=False)
    base = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_tensor=normalise(pixels)
    )
    scores = keras.layers.Conv2D(classes, 1, name=backbone.HEAD)(base.output)
    logits = keras.layers.GlobalAveragePooling2D(name=backbone.LOGITS)(scores)
    model = keras.Model(pixels, logits, name="mobilenetv2")
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    normalise.set_weights([np.eye(3)[None, None] / _MIDDLE, -np.ones(3)])
    return model
