"""What the kit knows about one public data set: a description, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MALIGNANT, BENIGN = "malignant", "benign"

# One line of a published table: column -> value as it stands.
Record = Mapping[str, str]

_UNKNOWN = frozenset({"", "unknown", "unk", "nan", "na", "n/a", "none", "null", "-1", "-1.0"})
FITZPATRICK = {"1": "I", "2": "II", "3": "III", "4": "IV", "5": "V", "6": "VI"}


@dataclass(frozen=True, slots=True)
class Companion:
    """A second table that is published beside the first.

    Attributes:
        adds: What it brings, in words.
        columns: It is recognised by these.
        image: The column that names the photograph.
    """

    adds: str
    columns: frozenset[str]
    image: str = "image"


@dataclass(frozen=True, slots=True)
class Source:
    """One public data set.

    Attributes:
        name: As given to `--format`, and the attribute `source` of its photographs.
        title: For people.
        columns: Its table is recognised by these.
        image: The column that names the photograph, with or without its ending.
        diagnosis: A record -> its diagnosis in the kit's words, empty if the record names none.
        malignant: The diagnoses that count as malignant.
        choices: What was decided here, and why, in whole sentences.
        licence: Of the photographs, an SPDX name where there is one.
        citation: How the authors want to be cited.
        malignancy: A record -> malignant, benign or empty; for sets that say it themselves.
        left_out: A record -> why it is left out, empty if it is not.
        attributes: The kit's name of an attribute -> the columns of which the first known counts.
        words: The kit's name of an attribute -> raw value -> the kit's word for it.
        patient: The column of the patient's name, if any.
        lesion: The column of the lesion's name, if any.
        licence_of: The column that gives each photograph's own licence, if any.
        companions: Further tables.
        official_splits: Whether it comes as training, validation and test tables, told apart by
            the names of the files.
    """

    name: str
    title: str
    columns: frozenset[str]
    image: str
    diagnosis: Callable[[Record], str]
    malignant: frozenset[str]
    choices: tuple[str, ...]
    licence: str
    citation: str
    malignancy: Callable[[Record], str] | None = None
    left_out: Callable[[Record], str] = lambda record: ""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    patient: str = ""
    lesion: str = ""
    licence_of: str = ""
    companions: tuple[Companion, ...] = ()
    official_splits: bool = False


def known(value: str | None) -> str:
    """The value without blanks around it; empty if it means `unknown`."""
    text = (value or "").strip()
    return "" if text.lower() in _UNKNOWN else text


def slug(text: str) -> str:
    """`Basal cell carcinoma` -> `basal_cell_carcinoma`."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def code_in(column: str, names: Mapping[str, str]) -> Callable[[Record], str]:
    """The diagnosis stands in one column as a code.

    The reader raises ValueError for a code that the set does not have.
    """

    def diagnosis(record: Record) -> str:
        code = known(record.get(column))
        if code and code not in names:
            raise ValueError(f"{column} is {code!r}; known: {', '.join(names)}")
        return names.get(code, "")

    return diagnosis


def text_in(*columns: str) -> Callable[[Record], str]:
    """The diagnosis stands in words in the first known of these columns."""

    def diagnosis(record: Record) -> str:
        return slug(next((text for c in columns if (text := known(record.get(c)))), ""))

    return diagnosis


def one_hot(names: Mapping[str, str], otherwise: str = "") -> Callable[[Record], str]:
    """The diagnosis is the column that holds 1, or `otherwise` if none does.

    The reader raises ValueError for anything but one number between 0 and 1 in each column, and
    for several columns above 0.5.
    """

    def diagnosis(record: Record) -> str:
        chosen = [column for column in names if _share(record, column) > 0.5]
        if len(chosen) > 1:
            raise ValueError(f"two classes at once: {', '.join(chosen)}")
        return names[chosen[0]] if chosen else otherwise

    return diagnosis


def flag_in(column: str, true: str = MALIGNANT, false: str = BENIGN) -> Callable[[Record], str]:
    """The malignancy stands in one column: 1, 1.0, true or malignant; or the reverse.

    The reader raises ValueError for anything else.
    """
    answers = {"1": true, "1.0": true, "true": true, "malignant": true}
    answers |= {"0": false, "0.0": false, "false": false, "benign": false}

    def malignancy(record: Record) -> str:
        given = known(record.get(column)).lower()
        if given and given not in answers:
            raise ValueError(f"{column} is {given!r}; expected malignant or benign, 1 or 0")
        return answers.get(given, "")

    return malignancy


def unnamed(record: Record) -> str:
    """No record of the set names a diagnosis."""
    return ""


def _share(record: Record, column: str) -> float:
    text = (record.get(column) or "").strip()
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{column} is {text!r}, expected 0 or 1")
    return share
