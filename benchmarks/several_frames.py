"""Is the mean of several frames still calibrated, and what does the agreement rule change?

    python benchmarks/several_frames.py RUN BUNDLE

Each photograph of the validation and test split of a run is seen as through a hand-held camera: ten
views, each moved, turned, zoomed, lit and blurred a little otherwise, with noise; made up, not
filmed. One view is held against the mean of five, and five against the other five, by the edge path
of the bundle.
"""

import argparse
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from dermedge import image, metrics, table
from dermedge.bundle import open_bundle
from dermedge.consensus import Consensus, Recent
from dermedge.contract import Contract
from dermedge.decide import Verdict, decide
from dermedge.delong import auc_difference
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.image import RGB

FRAMES = 5  # that are averaged; twice as many views are made
# Most of each, to both sides: share of the side, degrees, share, share of the light.
SHIFT, TURN, ZOOM, LIGHT = 0.04, 5.0, 0.05, 0.05
MARGIN = 1.15  # the view is cut out of the middle, so that its border stays within the photograph
BLUR, NOISE = 0.8, 4.0  # greatest standard deviation, pixels; standard deviation, grey levels


def view(photograph: RGB, rng: np.random.Generator) -> RGB:
    """The photograph as one frame of a camera in a hand."""
    height, width = photograph.shape[:2]
    right, down, turn, zoom, light = rng.uniform(-1, 1, 5)
    scale = MARGIN * (1 + ZOOM * zoom)
    moved = cv2.getRotationMatrix2D((width / 2, height / 2), TURN * turn, scale)
    moved[:, 2] += SHIFT * width * right, SHIFT * height * down
    seen = cv2.warpAffine(photograph, moved, (width, height), borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.GaussianBlur(seen, (0, 0), max(0.01, BLUR * rng.uniform()))
    noise = rng.normal(0, NOISE, seen.shape)
    return np.clip(seen * (1 + LIGHT * light) + noise, 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    given = parser.parse_args()

    judge = Diagnostician(open_bundle(given.bundle))
    photographs = table.read(given.run)
    rng = np.random.default_rng(0)
    rows = [row for row in photographs.rows if row.split in ("val", "test")]
    found = []
    for row in rows:
        picture = image.read(photographs.root / row.image)
        found.append([judge.diagnose(view(picture, rng)) for _ in range(2 * FRAMES)])
    names = {label.name for label in judge.contract.labels if label.positive}
    malignant = np.array([row.label in names for row in rows])
    for split in ("val", "test"):
        chosen = np.array([row.split == split for row in rows])
        own = [each for each, wanted in zip(found, chosen, strict=True) if wanted]
        tell(split, own, malignant[chosen], judge.contract)


def tell(split: str, found: list[list[Diagnosis]], malignant: np.ndarray, terms: Contract) -> None:
    each = np.array([[one.probability for one in views] for views in found])
    single, mean = each[:, 0], each[:, :FRAMES].mean(1)
    print(f"{split}: {len(found)} photographs, {malignant.sum()} malignant")
    print(f"  standard deviation between views, median: {np.median(each.std(1)):.4f}")
    for name, seen in (("one view", single), (f"mean of {FRAMES}", mean)):
        told = metrics.figures(malignant, seen, terms.decision.threshold)
        print(
            f"  {name}: AUC {told.auc.value:.4f} ({told.auc.low:.3f} to {told.auc.high:.3f}), "
            f"sensitivity {told.sensitivity.value:.3f}, specificity {told.specificity.value:.3f}, "
            f"ECE {told.ece:.4f} (by chance up to {metrics.chance_error(seen):.4f}), "
            f"Brier {told.brier:.4f}"
        )
    gain = auc_difference(malignant, single, mean)
    print(f"  AUC, mean less one view: {gain.interval.value:+.4f}, p {gain.p_value:.3f}")
    first = [_together(views[:FRAMES]) for views in found]
    second = [_together(views[FRAMES:]) for views in found]
    alone = [(views[0].verdict, views[1].verdict) for views in found]
    tell_flips("another view", alone)
    plain = [(_plain(a, terms), _plain(b, terms)) for a, b in zip(first, second, strict=True)]
    tell_flips("five others, by their mean alone", plain)
    ruled = [(a.verdict, b.verdict) for a, b in zip(first, second, strict=True)]
    tell_flips("five others, by mean and agreement", ruled)
    overruled = np.array([2 * one.agreeing <= one.averaged for one in first])
    said = Counter(_plain(one, terms).value for one in np.array(first)[overruled])
    print(f"  too few agree: {overruled.sum()}, malignant {malignant[overruled].sum()}; {said}")
    for verdict in (Verdict.REFER, Verdict.UNCERTAIN, Verdict.CLEAR, Verdict.NOT_ASSESSABLE):
        by_mean = np.array([_plain(one, terms) is verdict for one in first])
        by_rule = np.array([one.verdict is verdict for one in first])
        print(
            f"  {verdict.value}: by the mean alone {by_mean.sum()}, malignant "
            f"{malignant[by_mean].sum()}; with the rule {by_rule.sum()}, malignant "
            f"{malignant[by_rule].sum()}"
        )


def tell_flips(name: str, pairs: list[tuple[Verdict, Verdict]]) -> None:
    other = sum(a is not b for a, b in pairs)
    opposite = sum({a, b} == {Verdict.REFER, Verdict.CLEAR} for a, b in pairs)
    print(f"  {name}: another verdict {other}, the opposite one {opposite}")


def _together(views: list[Diagnosis]) -> Consensus:
    recent = Recent(FRAMES)
    return [recent.add(one, 1) for one in views][-1]


def _plain(together: Consensus, terms: Contract) -> Verdict:
    """What the mean alone would say."""
    if together.probability is None:
        return Verdict.NOT_ASSESSABLE
    return decide(together.probability, terms.decision)


if __name__ == "__main__":
    main()
