"""Magnitude pruning with TFMOT: small weights become 0, which zips well; it gives no speed."""

from __future__ import annotations

import tensorflow_model_optimization as tfmot
import tf_keras as keras

from dermcompress import rebuild
from dermcompress.distill import Course, Lesson, mimic
from dermcompress.student import Student
from dermedge.progress import Progress, silent
from dermtrain import backbone

# Few weights, and every one of them counts.
_KEPT_WHOLE = ("normalise", "conv1_conv", backbone.HEAD)
_EVERY = 4  # steps between two prunings


def sparsify(
    student: Student, lesson: Lesson, sparsity: float, course: Course, progress: Progress = silent
) -> Student:
    """Prune to a share of zeros on a polynomial schedule, the teacher mending what it costs.

    Zhu & Gupta 2017. The schedule reaches `sparsity` within three quarters of the steps.

    Returns:
        A plain net again, its kernels sparse; the one given stays as it is.
    """
    steps = course.epochs * max(1, len(lesson) // course.batch)
    end = max(1, steps * 3 // 4)
    every = min(_EVERY, end)
    end -= end % every  # where it prunes for the last time: at a step between it would fall short
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, sparsity, begin_step=0, end_step=end, frequency=every
    )

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        if type(layer) is keras.layers.Conv2D and layer.name not in _KEPT_WHOLE:
            return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)
        return layer

    # The clone wraps the very layers that it is given, so it is given a copy. Each wrapper counts
    # its training steps and prunes by the schedule; the callback sets the counts to 0.
    copy = Student(rebuild.resized(student.net, student.side), student.kept)
    pruned = keras.models.clone_model(copy.watched(), clone_function=wrap)
    update = tfmot.sparsity.keras.UpdatePruningStep()
    update.set_model(pruned)
    update.on_train_begin()
    mimic(student, lesson, course, "sparsifying", progress, net=pruned)
    update.on_epoch_end(batch=None)  # the last step moved the zeros: mask them again
    plain = tfmot.sparsity.keras.strip_pruning(pruned)
    sparse = rebuild.resized(student.net, student.side)
    for layer in sparse.layers:
        layer.set_weights(plain.get_layer(layer.name).get_weights())
    return Student(sparse, student.kept)
