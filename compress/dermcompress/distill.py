"""The full model teaches the slim one: gentle training towards its scores and its maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermcompress import answers
from dermcompress.answers import Answers
from dermcompress.graph import Ids
from dermcompress.student import Student
from dermedge.progress import Progress, silent
from dermtrain.features import Source, mirror

_TEMPERATURE = 2.0  # softens both scores, so that the wrong classes teach too (Hinton et al. 2015)
_SAMPLED = 512  # photographs from which a stage's variance is taken


@dataclass(frozen=True, slots=True)
class Lesson:
    """Photographs, and what the full model said of each view of them.

    Attributes:
        source: Pixels of the photographs, uint8, as the student sees them.
        rows: Their numbers.
        answers: Of these rows, in their order.
        more: Further photographs, numbered behind these; the same views of them.
    """

    source: Source
    rows: npt.NDArray[np.int64]
    answers: Answers
    more: Lesson | None = None

    def __len__(self) -> int:
        return len(self.rows) + (0 if self.more is None else len(self.more))

    def take(
        self, view: int, some: npt.NDArray[np.int64], kept: Mapping[str, Ids]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """One view of some photographs, rising: float32 pixels, the teacher's logits, its maps."""
        own = some[some < len(self.rows)]
        pixels = mirror(self.source[self.rows[own]], view).astype(np.float32)
        maps = [
            tf.constant(self.answers.maps[name][view, own][..., ids].astype(np.float32))
            for name, ids in kept.items()
        ]
        taken = tf.constant(pixels), tf.constant(self.answers.logits[view, own]), maps
        if self.more is None:
            return taken
        rest = self.more.take(view, some[len(own) :] - len(self.rows), kept)
        return tf.nest.map_structure(lambda *both: tf.concat(both, 0), taken, rest)


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
    steps = max(1, len(lesson) // course.batch)
    total = course.epochs * steps
    optimizer = keras.optimizers.Adam(_gentle(course.learning_rate, total))
    variances = [_variance(lesson.answers.maps[name]) for name in student.kept]
    step = _step(net or student.watched(), optimizer, variances)
    random = np.random.default_rng(course.seed)
    for epoch in range(course.epochs):
        order = random.permutation(len(lesson))
        for number in range(steps):
            some = np.sort(order[number * course.batch : (number + 1) * course.batch])
            step(*lesson.take(int(random.integers(len(lesson.answers.logits))), some, student.kept))
            progress(stage, epoch * steps + number + 1, total)


def _variance(maps: npt.NDArray[np.float16]) -> float:
    """Of a stage's maps (views, rows, ...), from the first view of some photographs."""
    step = -(-maps.shape[1] // _SAMPLED)
    return float(np.var(maps[0, ::step], dtype=np.float64))


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
            own_logits, own_maps = answers.split(net(pixels, training=True))
            target = tf.nn.softmax(logits / _TEMPERATURE)
            cross = tf.nn.softmax_cross_entropy_with_logits(target, own_logits / _TEMPERATURE)
            loss = _TEMPERATURE**2 * tf.reduce_mean(cross)
            for own, other, unit in zip(own_maps, maps, variances, strict=True):
                loss += tf.reduce_mean(tf.square(own - other)) / unit / len(variances)
        gradients = tape.gradient(loss, net.trainable_variables)
        optimizer.apply_gradients(zip(gradients, net.trainable_variables, strict=True))
        return loss

    return step
