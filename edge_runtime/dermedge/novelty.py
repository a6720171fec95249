"""Is a photograph unlike those that the model has learnt from: how far its embedding lies off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dermedge.contract import RESIDUAL, Novelty
from dermedge.errors import BundleError

if TYPE_CHECKING:
    from dermedge.bundle import Bundle

FALSE_ALARMS = 0.02  # of photographs like those of validation
COMPONENTS = 32
# With fewer training photographs their main directions are chance.
MIN_TRAINING = 8 * COMPONENTS

_DTYPE = np.dtype("<f2")
_HINT = "unlike the training photographs: is the lesion in the picture and sharp?"


@dataclass(frozen=True, slots=True, eq=False)
class Subspace:
    """Where the embeddings of the training photographs lie, each scaled to length 1.

    Attributes:
        mean: float32 (d,), their mean.
        basis: float32 (k, d), their k main directions around it; orthonormal.
    """

    mean: npt.NDArray[np.float32]
    basis: npt.NDArray[np.float32]

    def distance(self, embedding: npt.NDArray[np.floating]) -> float:
        """How far one embedding, float (d,), lies off the subspace: 0 to about 2.

        The residual of principal component analysis, as in ViM (Wang et al. 2022), there without
        scaling to length 1.

        Raises:
            BundleError: An embedding of another length.
        """
        if embedding.shape != self.mean.shape:
            raise BundleError(
                f"model and contract disagree: expected an embedding {self.mean.shape}, found "
                f"{embedding.shape}"
            )
        off = (_unit(embedding) - self.mean).astype(np.float32)
        return float(np.linalg.norm(off - (self.basis @ off) @ self.basis))

    def to_bytes(self) -> bytes:
        """Mean, then directions, little-endian float16: what `parse` reads."""
        return np.vstack([self.mean, self.basis]).astype(_DTYPE).tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """What a bundle brings to tell the unlike: the contract's terms and the subspace."""

    terms: Novelty
    subspace: Subspace

    def ratio(self, embedding: npt.NDArray[np.floating]) -> float:
        """Distance over the contract's threshold: above 1 a photograph is unlike."""
        return self.subspace.distance(embedding) / self.terms.threshold


def of(bundle: Bundle) -> Watch | None:
    """What a bundle brings; None if it judges nothing.

    Raises:
        BundleError: See `parse`.
    """
    terms = bundle.contract.novelty
    return None if terms is None else Watch(terms, parse(bundle.novelty, terms))


def judge(watch: Watch | None, embedding: npt.NDArray[np.floating] | None) -> float | None:
    """How unlike a photograph is, see `Watch.ratio`; None where nothing tells.

    Raises:
        BundleError: An embedding of another length than the contract's.
    """
    return None if watch is None or embedding is None else watch.ratio(embedding)


def problems(ratio: float | None) -> tuple[str, ...]:
    """What keeps a photograph from being judged, in words; empty if nothing does."""
    return (_HINT,) if ratio is not None and ratio > 1 else ()


def parse(data: bytes, terms: Novelty) -> Subspace:
    """Read `novelty.f16`.

    Raises:
        BundleError: Of another size than the contract says, or with what is no number.
    """
    shape = (1 + terms.components, terms.dimensions)
    if len(data) != math.prod(shape) * _DTYPE.itemsize:
        raise BundleError(
            f"expected {shape[0]} rows of {shape[1]} numbers for novelty, found {len(data)} bytes"
        )
    rows = np.frombuffer(data, _DTYPE).reshape(shape).astype(np.float32)
    if not np.abs(rows).max() <= 1.01:  # parts of unit vectors, rounded; no number fails as well
        raise BundleError("the numbers for novelty are not parts of unit vectors")
    return Subspace(rows[0], rows[1:])


def fit(
    training: npt.NDArray[np.floating],
    validation: npt.NDArray[np.floating],
    false_alarms: float = FALSE_ALARMS,
) -> Watch | None:
    """Learn where the training photographs lie, and how far off validation lies.

    The threshold is that of split conformal prediction (Vovk et al. 2005): of photographs drawn
    like those of validation, at most the share `false_alarms` lies beyond it, on average.

    Args:
        training: Embeddings, float (n, d), from the very model that will be used.
        validation: The same of photographs that it has not learnt from.
        false_alarms: 0 to 1.

    Returns:
        None where nothing can be learnt: too few photographs, or embeddings that do not vary.
    """
    count = len(validation)
    rank = math.ceil((1 - false_alarms) * (count + 1))
    if len(training) < MIN_TRAINING or rank > count:
        return None
    # As it will be read again: the threshold belongs to the rounded numbers.
    exact = _principal(training)
    rows = np.vstack([exact.mean, exact.basis]).astype(_DTYPE).astype(np.float32)
    subspace = Subspace(rows[0], rows[1:])
    threshold = sorted(subspace.distance(one) for one in validation)[rank - 1]
    if threshold <= np.finfo(np.float32).eps:
        return None
    terms = Novelty(
        measure=RESIDUAL,
        dimensions=rows.shape[1],
        components=len(rows) - 1,
        threshold=threshold,
        false_alarms=false_alarms,
        training=len(training),
        validation=count,
    )
    return Watch(terms, subspace)


def _principal(training: npt.NDArray[np.floating]) -> Subspace:
    rows = np.stack([_unit(one) for one in training])
    mean = rows.mean(axis=0)
    _, _, directions = np.linalg.svd(rows - mean, full_matrices=False)
    # Short embeddings keep half of their directions, or nothing would be off.
    kept = directions[: min(COMPONENTS, rows.shape[1] // 2)]
    return Subspace(mean.astype(np.float32), kept.astype(np.float32))


def _unit(embedding: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    wide = embedding.astype(np.float64)  # squares of what float32 holds overflow it
    return wide / max(float(np.linalg.norm(wide)), float(np.finfo(np.float32).tiny))
