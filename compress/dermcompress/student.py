"""A net on its way through the line: its weights, where it is watched, and how large it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermcompress import rebuild
from dermcompress.graph import Ids, nodes
from dermcompress.widths import positions, reads
from dermtrain import backbone, weights

# Where a ResNet50 is watched by its teacher: the end of each stage from conv3 on.
STAGE_ENDS = ("conv3_block4_out", "conv4_block6_out", backbone.TOP)
_KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Student:
    """A net, and which of its teacher's channels it still has.

    Attributes:
        net: float32 (batch, side, side, 3), RGB, 0 to 255 -> float32 (batch, classes), logits.
        kept: Stage end -> numbers of the teacher's channels there that this net has, in order;
            empty for a net of another kind, which is taught by scores alone.
    """

    net: keras.Model
    kept: Mapping[str, Ids]

    @property
    def side(self) -> int:
        """Side of the input, pixels."""
        return int(self.net.input_shape[1])

    def watched(self) -> keras.Model:
        """The same net with further outputs.

        Returns:
            Pixels -> [logits, class-activation map, features that the head reads, and the maps at
            the stage ends, in the order of `kept`].
        """
        known = {node.name: node for node in nodes(self.net)}
        (head,) = known[backbone.LOGITS].sources
        names = (head, *known[head].sources, *self.kept)
        maps = [self.net.get_layer(name).output for name in names]
        # Without a name it would be called by how many there were before, also in its .tflite file.
        return keras.Model(self.net.input, [self.net.output, *maps], name=self.net.name)

    def save(self, path: Path) -> None:
        """Write weights and kept channels as .npz, whole or not at all."""
        more = {f"{_KEPT}/{name}": np.asarray(ids) for name, ids in self.kept.items()}
        weights.save(self.net, path, more)


def of(net: keras.Model, stays: Mapping[str, npt.NDArray[np.bool_]] | None = None) -> Student:
    """A net as a student: the full one, or one of which `slim` tells what stayed."""
    names = {layer.name for layer in net.layers}
    ends = [name for name in STAGE_ENDS if name in names]
    if stays is None:
        full = {name: np.arange(net.get_layer(name).output_shape[-1]) for name in ends}
        return Student(net, full)
    return Student(net, {name: np.flatnonzero(stays[name]) for name in ends})


def load(template: keras.Model, path: Path, side: int) -> Student:
    """Read what `Student.save` wrote; `template` is a net of the same layers, of any widths."""
    arrays = weights.read(path)
    kept = arrays.pop(_KEPT, {})
    net = rebuild.with_shapes(template, arrays, side)
    return Student(net, {name: ids.astype(np.int64) for name, ids in kept.items()})


def macs(net: keras.Model) -> int:
    """Multiply-accumulates of the convolutions and dense layers for one photograph."""
    total = 0
    for node in nodes(net):
        if times := positions(node):
            total += times * int(node.layer.output_shape[-1]) * reads(node)
    return total


def parameters(net: keras.Model) -> int:
    """Weights of the net."""
    return int(net.count_params())


def zeros(net: keras.Model) -> float:
    """Share of the kernel weights that are exactly 0."""
    kernels = [n.layer.get_weights()[0] for n in nodes(net) if positions(n)]
    return float(sum(np.sum(k == 0) for k in kernels) / sum(k.size for k in kernels))
