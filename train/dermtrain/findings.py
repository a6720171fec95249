"""What a check may find, and what each kind of finding means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding.

    Attributes:
        name: In check.json.
        title: For people.
        why: What it does to a model or its figures.
        error: Whether the table must not be trained on or reported from as it is.
    """

    name: str
    title: str
    why: str
    error: bool


UNREADABLE = Kind(
    "unreadable",
    "Unreadable photographs",
    "They can't be prepared: kit train refuses the table.",
    True,
)
TORN_PATIENT = Kind(
    "patient_in_two_splits",
    "Patients in two splits",
    "The test would ask about patients that the training has seen.",
    True,
)
TORN_LESION = Kind(
    "lesion_in_two_splits",
    "Lesions in two splits",
    "The test would ask about lesions that the training has seen.",
    True,
)
TORN_DUPLICATES = Kind(
    "near_duplicates_in_two_splits",
    "Near-duplicates in two splits",
    "The test would ask about photographs that the training has seen.",
    True,
)
TWO_LABELS_FILE = Kind(
    "same_file_with_two_labels",
    "The same file with two labels",
    "One of the labels is wrong.",
    True,
)
TWO_LABELS_NEAR = Kind(
    "near_duplicates_with_two_labels",
    "Near-duplicates with two labels",
    "Either a label is wrong, or two lesions look alike: to be looked at.",
    False,
)
TWO_LABELS_LESION = Kind(
    "lesion_with_two_labels",
    "Lesions with two labels",
    "A lesion may change, or a label is wrong: to be looked at.",
    False,
)
SAME_FILE = Kind(
    "same_file",
    "The same file more than once",
    "Copies count more than once in training and in every figure.",
    False,
)
NEAR = Kind(
    "near_duplicates",
    "Near-duplicates",
    "Nearly the same photograph, scaled, saved or cut anew; they count more than once.",
    False,
)
KINDS = (
    *(UNREADABLE, TORN_PATIENT, TORN_LESION, TORN_DUPLICATES, TWO_LABELS_FILE),
    *(TWO_LABELS_NEAR, TWO_LABELS_LESION, SAME_FILE, NEAR),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: One of KINDS.
        name: The patient, the lesion, the file, or what ties the photographs together.
        rows: Numbers of the rows it is about.
    """

    kind: Kind
    name: str
    rows: tuple[int, ...]
