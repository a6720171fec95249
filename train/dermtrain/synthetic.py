"""The made-up image set: patients, lesions, splits and files, each following from one seed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from dermedge import table
from dermedge.errors import InputError, StorageError
from dermedge.progress import Progress
from dermtrain import dermoscope, lesion, seven

LEAST, SMALLEST = {2: 12, 7: 105}, 32  # photographs by number of classes; pixels
_SHARES = {"val": 0.2, "test": 0.2}
_MALIGNANT = 0.3
_QUALITY = 90
# Each kind of thing draws from its own stream, [seed, kind, number], so that nothing drawn for one
# picture moves another.
_PLAN, _LESION, _SKIN, _VIEW, _KINDS = range(5)

_README = """# A made-up image set

These pictures are made-up. A program drew them: dermkit's `kit data synth`, seed {seed},
{images} images of {size} x {size} pixels. None is a photograph of anyone, and no figure from
this set says anything about skin, about a disease, or about a model on real photographs.

They are for trying the kit out. Outline, colours and inner structure lean on the label, and the two
classes overlap; skin tone, hair, gel and light do not depend on it.

`labels.csv` gives each picture's label, patient, lesion and split. Licence: CC0-1.0.
"""

_README_OF_SEVEN = """# A made-up image set of seven classes

These pictures are made-up. A program drew them: dermkit's `kit data synth --classes 7`,
seed {seed}, {images} images of {size} x {size} pixels. None is a photograph of anyone, and no
figure from this set says anything about skin, about a disease, or about a model on real
photographs.

They are for trying the kit out. The names are those of ISIC 2018's task 3 and of HAM10000 (MEL, NV,
BCC, AKIEC, BKL, DF, VASC); the looks are caricatures, and they overlap. Whoever wants one
probability has to choose which classes count as positive; this set's choice is
`kit train FOLDER --positive MEL,BCC,AKIEC`. Skin tone, hair, gel and light do not depend on the
class.

`labels.csv` gives each picture's label, patient, lesion and split. Licence: CC0-1.0.
"""


@dataclass(frozen=True, slots=True)
class Shot:
    """One photograph to draw. Patients and lesions are numbered from 0 through the whole set.

    `kind` is one of `seven.KINDS`, or empty in a set of two classes.
    """

    patient: int
    lesion: int
    malignant: bool
    split: str
    kind: str = ""

    @property
    def label(self) -> str:
        """Name of its class."""
        return self.kind or ("malignant" if self.malignant else "benign")


def make_set(
    out: Path,
    images: int = 240,
    seed: int = 0,
    size: int = 512,
    progress: Progress | None = None,
    classes: int = 2,
) -> Path:
    """Write a made-up image set: `images/*.jpg`, `labels.csv` and `README.md`.

    The folder appears whole or not at all, and the same arguments give the same bytes.

    Args:
        out: The folder to make; it may exist if it is empty.
        images: How many photographs, from 12 on; from 105 on for seven classes.
        seed: Of everything in the set, from 0 on.
        size: Side of the square pictures in pixels, from 32 on.
        progress: Told of the photographs drawn.
        classes: 2 (benign, malignant), or 7 under the names of ISIC 2018's task 3.

    Returns:
        Path of labels.csv.

    Raises:
        InputError: `out` holds something already, or a number is too small.
        StorageError: The disk is full, or the folder can't be written.
    """
    _check(images, seed, size, classes)
    with _whole_folder(out) as folder:
        (folder / "images").mkdir()
        rows = []
        for number, shot in enumerate(plan(images, seed, classes)):
            rows.append(_row(number, shot))
            (folder / rows[-1].image).write_bytes(_jpeg(number, shot, seed, size))
            if progress:
                progress("drawing", number + 1, images)
        table.write(rows, folder / table.TABLE)
        text = _README if classes == 2 else _README_OF_SEVEN
        readme = text.format(images=images, seed=seed, size=size)
        (folder / "README.md").write_text(readme, encoding="utf-8", newline="\n")
    return out / table.TABLE


def plan(images: int, seed: int, classes: int = 2) -> tuple[Shot, ...]:
    """Share photographs out to patients, lesions, classes and splits.

    Every split has at least two lesions, hence both classes, if there are 12 photographs or more;
    with 105 it has eleven, and so each of seven classes.
    """
    two = _plan(images, seed)
    return two if classes == 2 else _with_kinds(two, seed)


def _with_kinds(shots: tuple[Shot, ...], seed: int) -> tuple[Shot, ...]:
    """Give every lesion one of the seven classes; each split has each of them."""
    rng = np.random.default_rng([seed, _KINDS])
    names, shares = list(seven.KINDS), [kind.share for kind in seven.KINDS.values()]
    kinds: dict[int, str] = {}
    for split in ("train", *_SHARES):
        lesions = list(dict.fromkeys(shot.lesion for shot in shots if shot.split == split))
        drawn = [*names, *rng.choice(names, len(lesions) - len(names), p=shares).tolist()]
        kinds |= dict(zip(rng.permutation(lesions).tolist(), drawn, strict=True))
    return tuple(
        replace(shot, kind=kinds[shot.lesion], malignant=kinds[shot.lesion] in seven.POSITIVE)
        for shot in shots
    )


def _plan(images: int, seed: int) -> tuple[Shot, ...]:
    rng = np.random.default_rng([seed, _PLAN])
    quotas = {split: round(share * images) for split, share in _SHARES.items()}
    quotas["train"] = images - sum(quotas.values())
    patients = [p for split, quota in quotas.items() for p in _patients(rng, quota, split)]
    shots, lesions = [], 0
    # The order is shuffled, so that neither a number nor a name tells the split.
    for patient, place in enumerate(rng.permutation(len(patients))):
        split, kinds = patients[place]
        for malignant, photographs in kinds:
            shots += [Shot(patient, lesions, malignant, split)] * photographs
            lesions += 1
    return tuple(shots)


def _patients(
    rng: np.random.Generator, quota: int, split: str
) -> list[tuple[str, list[tuple[bool, int]]]]:
    """Patients of one split, each a list of lesions: (malignant, photographs)."""
    counts: list[int] = []
    while sum(counts) < quota:
        # The first has one photograph, so that a second lesion follows.
        counts.append(min(int(rng.integers(1, 3)), quota - sum(counts)) if counts else 1)
    bad = min(max(round(_MALIGNANT * len(counts)), 1), len(counts) - 1)
    labels = rng.permutation(np.arange(len(counts)) < bad).tolist()
    kinds = list(zip(labels, counts, strict=True))
    patients = []
    while kinds:
        own = int(rng.integers(1, 5))
        patients.append((split, kinds[:own]))
        kinds = kinds[own:]
    return patients


def draw(number: int, shot: Shot, seed: int, size: int) -> dermoscope.RGB:
    """Draw photograph `number` of the set: uint8 (size, size, 3), RGB.

    Photographs of one lesion share its build and the patient's skin; view and light are their own.
    """
    streams = [(seed, _LESION, shot.lesion), (seed, _SKIN, shot.patient), (seed, _VIEW, number)]
    first, second, third = (np.random.default_rng(stream) for stream in streams)
    own = (*streams[0], 1)
    if shot.kind:
        pigment = seven.maps_of_kind(shot.kind, seven.draw_kind(shot.kind, first, own), size)
    else:
        pigment = lesion.maps(lesion.sample(first, shot.malignant, own), size)
    return dermoscope.draw_pigment(
        pigment,
        dermoscope.sample_skin(second, (*streams[1], shot.lesion)),
        dermoscope.sample_view(third, (*streams[2], 1)),
    )


def _jpeg(number: int, shot: Shot, seed: int, size: int) -> bytes:
    pixels = cv2.cvtColor(draw(number, shot, seed, size), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _row(number: int, shot: Shot) -> table.Row:
    return table.Row(
        image=f"images/SYN_{number + 1:05d}.jpg",
        label=shot.label,
        diagnosis=table.MADE_UP,
        patient_id=f"SYN_P{shot.patient + 1:04d}",
        lesion_id=f"SYN_L{shot.lesion + 1:04d}",
        split=shot.split,
        licence="CC0-1.0",
    )


def _check(images: int, seed: int, size: int, classes: int) -> None:
    if classes not in LEAST:
        raise InputError(f"classes has to be {' or '.join(map(str, LEAST))}, not {classes}")
    least = {"images": (images, LEAST[classes]), "seed": (seed, 0), "size": (size, SMALLEST)}
    for name, (value, bound) in least.items():
        if value < bound:
            raise InputError(f"{name} has to be {bound} or more, not {value}")


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out`; move it into place only if the body succeeds."""
    target = out.resolve()
    temporary = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"{out} is not empty: choose another folder or remove it")
        temporary.mkdir(parents=True)
        yield temporary
        if target.exists():
            target.rmdir()
        temporary.rename(target)
    except OSError as error:
        raise StorageError(
            f"{out} could not be written: {error.strerror or error}. Nothing was left behind; make "
            "room or choose another folder, then run the command again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
