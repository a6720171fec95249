"""A recipe: TOML -> one frozen dataclass, validated once, passed whole."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dermedge.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5")


class Checked(Protocol):
    """A frozen dataclass of plain values that can say which of its rules are kept."""

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        ...


_R = TypeVar("_R", bound=Checked)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained.

    Attributes:
        name: Name of the recipe.
        val: Share of the photographs for validation, where the table names none.
        test: Share of the photographs for the test, where the table names none.
        views: Views of a photograph that are learnt from: 1, 2 (mirrored) or 4 (upside down too).
        stage: The lowest stage that fine-tuning trains; what lies below stays frozen.
        patience: Steps without a better validation AUC that make a plateau.
        epochs: Fine-tuning ends after so many at the latest; 0 leaves it out.
        learning_rate: Of fine-tuning; rises in the first epoch, falls tenfold at the first plateau.
        weight_decay: Decoupled (AdamW).
        batch: Photographs in a step.
        label_smoothing: Share of the target spread over all classes.
    """

    name: str
    val: float = 0.15
    test: float = 0.2
    views: int = 2
    stage: str = "conv5"
    patience: int = 2
    epochs: int = 8
    learning_rate: float = 1e-5
    weight_decay: float = 0.3
    batch: int = 32
    label_smoothing: float = 0.0

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        return {
            "val and test lie above 0 and leave half to train": min(self.val, self.test) > 0
            and self.val + self.test <= 0.5,
            "views is 1, 2 or 4": self.views in (1, 2, 4),
            f"stage is one of {', '.join(STAGES)}": self.stage in STAGES,
            "patience and batch are at least 1": min(self.patience, self.batch) >= 1,
            "epochs is at least 0": self.epochs >= 0,
            "learning_rate lies above 0 and is at most 1": 0 < self.learning_rate <= 1,
            "weight_decay lies in 0 to 1": 0 <= self.weight_decay <= 1,
            "label_smoothing lies in 0 to 0.5": 0 <= self.label_smoothing <= 0.5,
        }


def load(kind: type[_R], name: str, package: Path) -> _R:
    """Read a recipe by the name of one shipped with a package's folder, or by its own path.

    Raises:
        InputError: No such recipe, not TOML, an unknown key, or a value out of range.
    """
    folder = shipped(package)
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml")))
        raise InputError(f"no recipe {name!r}; shipped: {known}, or give a .toml file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    return parse(kind, {"name": path.stem, **values}, str(path))


def parse(kind: type[_R], values: dict[str, Any], where: str) -> _R:
    """Validate the values of a recipe; `where` names them in errors.

    Raises:
        InputError: An unknown key, a wrong type, or a value out of range.
    """
    fields = {field.name: str(field.type) for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise InputError(f"{where}: unknown keys {unknown}; known: {', '.join(fields)}")
    for key, value in values.items():
        kinds = {"int": (int,), "float": (int, float), "str": (str,)}[fields[key]]
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise InputError(f"{where}: {key}: expected {fields[key]}, found {value!r}")
    recipe = kind(**values)
    broken = [rule for rule, holds in recipe.rules().items() if not holds]
    if broken:
        raise InputError(f"{where}: expected that {'; and that '.join(broken)}")
    return recipe


def to_toml(recipe: Checked) -> str:
    """A recipe with every value resolved, as TOML."""
    values = dataclasses.asdict(recipe)  # type: ignore[call-overload]
    return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def shipped(package: Path) -> Path:
    """The folder of a package's recipes: inside it in the wheel, beside it in the repository."""
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def _toml(value: object) -> str:
    # A JSON string is a TOML string, but for the one control character that only TOML escapes.
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    return text.replace("\x7f", "\\u007f")
