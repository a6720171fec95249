"""The full model teaches the slim one: gentle training towards its scores and its maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermcompress.graph import Ids
from dermcompress.student import Student
from dermedge.progress import Progress, silent
from dermtrain.features import BATCH, Source, half, mirror

_TEMPERATURE = 2.0  # softens both scores, so that the wrong classes teach too (Hinton et al. 2015)
_GRID = 4  # maps are compared on so many cells a side: sizes of teacher and student may differ


@dataclass(frozen=True, slots=True)
class Lesson:
    """Photographs, and what the full model said of each view of them.

    Attributes:
        source: Pixels of the photographs, uint8, as the student sees them.
        rows: Their numbers.
        logits: float32 (views, rows, classes).
        maps: Stage end -> float16 (views, rows, cells, cells, channels).
    """

    source: Source
    rows: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    maps: Mapping[str, npt.NDArray[np.float16]]

    def take(
        self, view: int, some: npt.NDArray[np.int64], kept: Mapping[str, Ids]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """One view of some photographs: pixels (float32), the teacher's logits, its maps."""
        pixels = mirror(self.source[self.rows[some]], view).astype(np.float32)
        maps = [
            tf.constant(self.maps[name][view, some][..., ids].astype(np.float32))
            for name, ids in kept.items()
        ]
        return tf.constant(pixels), tf.constant(self.logits[view, some]), maps


@dataclass(frozen=True, slots=True)
class Course:
    """How a student learns.

    Attributes:
        epochs: How often each photograph is seen, each time in a random view.
        learning_rate: Greatest of Adam; it rises for a tenth of the steps, then falls to 0 on a
            cosine. High rates throw a reconstruction away.
        batch: Photographs in a step.
        seed: Of order and views.
    """

    epochs: int
    learning_rate: float
    batch: int
    seed: int


def ask(
    teacher: Student,
    source: Source,
    rows: npt.NDArray[np.int64],
    views: int,
    progress: Progress = silent,
) -> tuple[npt.NDArray[np.float32], dict[str, npt.NDArray[np.float16]]]:
    """Ask the full model once about every view of every photograph.

    Args:
        teacher: The full model.
        source: Pixels as the teacher sees them.
        rows: Numbers of the photographs.
        views: 1, 2 (mirrored) or 4.
        progress: Told of the photographs done.

    Returns:
        The `logits` and `maps` of a `Lesson`.
    """
    net = teacher.watched()
    run = tf.function(lambda x: _answer(net(x, training=False)), reduce_retracing=True)
    parts: list[list] = []
    for view in range(views):
        for start in range(0, len(rows), BATCH):
            batch = mirror(source[rows[start : start + BATCH]], view).astype(np.float32)
            logits, maps = run(tf.constant(batch))
            parts.append([logits.numpy(), *(half(grid.numpy()) for grid in maps)])
            done = view * len(rows) + start + len(batch)
            progress("asking the teacher", done, views * len(rows))
    logits, *maps = (
        np.concatenate(part).reshape(views, len(rows), *part[0].shape[1:])
        for part in zip(*parts, strict=True)
    )
    return logits, dict(zip(teacher.kept, maps, strict=True))


def mimic(
    student: Student,
    lesson: Lesson,
    course: Course,
    stage: str,
    progress: Progress = silent,
    net: keras.Model | None = None,
) -> None:
    """Train a student in place with Adam.

    Loss: T^2 KL(teacher || student) of the scores at temperature T, plus the mean over the stage
    ends of the squared error of the maps, those in units of their variance.

    Args:
        student: Whose channels are compared with which of the teacher's.
        lesson: The teacher's answers.
        course: How.
        stage: Name of this training for the progress.
        progress: Told of the steps done.
        net: What learns, if it is not the student's own net: that net wrapped by TFMOT, with the
            outputs of `Student.watched`.
    """
    steps = max(1, len(lesson.rows) // course.batch)
    total = course.epochs * steps
    optimizer = keras.optimizers.Adam(_gentle(course.learning_rate, total))
    variances = [float(lesson.maps[name].astype(np.float32).var()) for name in student.kept]
    step = _step(net or student.watched(), optimizer, variances)
    random = np.random.default_rng(course.seed)
    for epoch in range(course.epochs):
        order = random.permutation(len(lesson.rows))
        for number in range(steps):
            some = np.sort(order[number * course.batch : (number + 1) * course.batch])
            step(*lesson.take(int(random.integers(len(lesson.logits))), some, student.kept))
            progress(stage, epoch * steps + number + 1, total)


def _answer(outputs: list) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Of the outputs of `Student.watched`: logits, and the stages' maps as means over a grid."""
    logits, _, _, *maps = outputs
    return logits, [_cells(m) for m in maps]


def _cells(maps: tf.Tensor) -> tf.Tensor:
    """Means over the cells of a grid, (batch, cells, cells, channels)."""
    _, height, width, _ = maps.shape.as_list()
    return tf.einsum("gh,nhwc,kw->ngkc", _overlap(height), maps, _overlap(width))


def _overlap(side: Any) -> npt.NDArray[np.float32]:
    """How much of each cell each of `side` pixels fills, (cells, side); every row sums to 1."""
    pixel, cell = np.arange(side), np.arange(_GRID)[:, None] * side / _GRID
    end = np.minimum(pixel + 1, cell + side / _GRID)
    return (np.clip(end - np.maximum(pixel, cell), 0, None) * _GRID / side).astype(np.float32)


def _gentle(rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    rising = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - rising), warmup_target=rate, warmup_steps=rising
    )


def _step(
    net: keras.Model, optimizer: keras.optimizers.Optimizer, variances: list[float]
) -> Callable[..., tf.Tensor]:
    @tf.function(reduce_retracing=True)
    def step(pixels: tf.Tensor, logits: tf.Tensor, maps: list[tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            own_logits, own_maps = _answer(net(pixels, training=True))
            target = tf.nn.softmax(logits / _TEMPERATURE)
            cross = tf.nn.softmax_cross_entropy_with_logits(target, own_logits / _TEMPERATURE)
            loss = _TEMPERATURE**2 * tf.reduce_mean(cross)
            for own, other, unit in zip(own_maps, maps, variances, strict=True):
                loss += tf.reduce_mean(tf.square(own - other)) / unit / len(variances)
        gradients = tape.gradient(loss, net.trainable_variables)
        optimizer.apply_gradients(zip(gradients, net.trainable_variables, strict=True))
        return loss

    return step
