"""Magnitude pruning with TFMOT: small weights become 0, which zips well; it gives no speed."""

from __future__ import annotations

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from dermcompress import slimnet
from dermcompress.distill import Lesson, mimic
from dermedge.progress import Progress, silent
from dermtrain import backbone

_KEPT_WHOLE = (
    "normalise",
    "conv1_conv",
    backbone.HEAD,
)  # few weights, and every one of them counts
_EVERY = 4  # steps between two prunings


def sparsify(
    student: keras.Model,
    lesson: Lesson,
    sparsity: float,
    epochs: int,
    learning_rate: float,
    batch: int,
    seed: int,
    progress: Progress = silent,
) -> keras.Model:
    """Prune to a share of zeros on a polynomial schedule, the teacher mending what it costs.

    Zhu & Gupta 2017. The schedule reaches `sparsity` after three quarters of the steps.

    Returns:
        A plain Keras model again, its kernels sparse.
    """
    steps = epochs * max(1, len(lesson.pixels) // batch)
    end = max(1, steps * 3 // 4)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, sparsity, begin_step=0, end_step=end, frequency=min(_EVERY, end)
    )

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.Conv2D) and layer.name not in _KEPT_WHOLE:
            return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)
        return layer

    # The clone wraps the student's own layers, so it begins with their weights; each wrapper counts
    # its training steps and prunes by the schedule, and the callback sets the counts to 0.
    pruned = keras.models.clone_model(student, clone_function=wrap)
    update = tfmot.sparsity.keras.UpdatePruningStep()
    update.set_model(pruned)
    update.on_train_begin()
    mimic(pruned, lesson, epochs, learning_rate, batch, seed, "sparsifying", progress)
    update.on_epoch_end(batch=None)  # the last step moved the zeros: mask them again
    plain = tfmot.sparsity.keras.strip_pruning(pruned)
    return slimnet.build(int(student.input_shape[1]), slimnet.convs_of(plain))


def zeros(model: keras.Model) -> float:
    """Share of the convolution weights that are exactly 0."""
    kernels = [x.get_weights()[0] for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    return float(sum(np.sum(k == 0) for k in kernels) / sum(k.size for k in kernels))
