"""The full model teaches the slim one: gentle training towards its pooled features and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermedge.progress import Progress, silent
from dermtrain import backbone
from dermtrain.features import BATCH, mirror

_TEMPERATURE = 2.0  # softens both scores, so that the wrong classes teach too (Hinton et al. 2015)


@dataclass(frozen=True, slots=True)
class Lesson:
    """Photographs, and what the full model says of each view of them.

    Attributes:
        pixels: uint8 (rows, size, size, 3).
        logits: float32 (views, rows, classes).
        pooled: float32 (views, rows, channels).
    """

    pixels: npt.NDArray[np.uint8]
    logits: npt.NDArray[np.float32]
    pooled: npt.NDArray[np.float32]

    def take(
        self, view: int, rows: npt.NDArray[np.int64]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Pixels (float32), the teacher's logits and pooled features for one view of some rows."""
        pixels = mirror(self.pixels[rows], view).astype(np.float32)
        logits, pooled = self.logits[view, rows], self.pooled[view, rows]
        return tf.constant(pixels), tf.constant(logits), tf.constant(pooled)


def lesson(
    teacher: keras.Model, pixels: npt.NDArray[np.uint8], views: int, progress: Progress = silent
) -> Lesson:
    """Ask the full model once about every view of every photograph."""
    pooled = keras.layers.GlobalAveragePooling2D()(teacher.get_layer(backbone.TOP).output)
    both = keras.Model(teacher.input, [teacher.output, pooled])
    run = tf.function(lambda x: both(x, training=False), reduce_retracing=True)
    answers: list[list] = [[], []]
    for view in range(views):
        for start in range(0, len(pixels), BATCH):
            batch = mirror(pixels[start : start + BATCH], view).astype(np.float32)
            for answer, part in zip(answers, run(tf.constant(batch)), strict=True):
                answer.append(part.numpy())
            progress(
                "asking the teacher", view * len(pixels) + start + len(batch), views * len(pixels)
            )
    logits, features = (np.concatenate(a).reshape(views, len(pixels), -1) for a in answers)
    return Lesson(pixels, logits, features)


def mimic(
    student: keras.Model,
    lesson: Lesson,
    epochs: int,
    learning_rate: float,
    batch: int,
    seed: int,
    stage: str,
    progress: Progress = silent,
) -> None:
    """Train a student of two outputs, [logits, pooled], in place with Adam.

    Loss: T^2 KL(teacher || student) of the scores at temperature T, plus the squared error of the
    pooled features in units of their variance over photographs.

    Args:
        student: From `slimnet.build`, or that net wrapped by TFMOT.
        lesson: The teacher's answers.
        epochs: How often each photograph is seen, each time in a random view.
        learning_rate: Greatest of Adam; it rises for a tenth of the steps, then falls to 0 on a
            cosine. High rates throw a reconstruction away.
        batch: Photographs in a step.
        seed: Of order and views.
        stage: Name of this training for the progress.
        progress: Told of the steps done.
    """
    steps = max(1, len(lesson.pixels) // batch)
    optimizer = keras.optimizers.Adam(_gentle(learning_rate, epochs * steps))
    step = _step(student, optimizer, float(lesson.pooled.var(axis=1).mean()))
    random = np.random.default_rng(seed)
    for epoch in range(epochs):
        order = random.permutation(len(lesson.pixels))
        for number in range(steps):
            rows = np.sort(order[number * batch : (number + 1) * batch])
            step(*lesson.take(int(random.integers(len(lesson.logits))), rows))
            progress(stage, epoch * steps + number + 1, epochs * steps)


def _gentle(rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    rising = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - rising), warmup_target=rate, warmup_steps=rising
    )


def _step(student: keras.Model, optimizer: keras.optimizers.Optimizer, variance: float):
    @tf.function(reduce_retracing=True)
    def step(pixels: tf.Tensor, logits: tf.Tensor, pooled: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            own_logits, own_pooled = student(pixels, training=True)
            target = tf.nn.softmax(logits / _TEMPERATURE)
            cross = tf.nn.softmax_cross_entropy_with_logits(target, own_logits / _TEMPERATURE)
            scores = _TEMPERATURE**2 * tf.reduce_mean(cross)
            features = tf.reduce_mean(tf.square(own_pooled - pooled)) / variance
            loss = scores + features
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables, strict=True))
        return loss

    return step
