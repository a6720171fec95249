"""A recipe: TOML -> one frozen dataclass, validated once, passed whole."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

from dermedge.errors import InputError
from dermtrain.augment import Augment

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEAD, STAGES = "head", ("conv1", "conv2", "conv3", "conv4", "conv5")
SCHEDULES, BN_POLICIES = ("constant", "plateau", "cosine"), ("frozen", "affine", "adapt")
SOURCES, BALANCES, KEEPS = (
    ("cache", "pixels"),
    ("weights", "draw", "none"),
    ("best", "last", "simplest"),
)


class Checked(Protocol):
    """A frozen dataclass of plain values that can say which of its rules are kept."""

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        ...


_R = TypeVar("_R", bound=Checked)


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of training; the next begins at this one's plateau, never earlier.

    Attributes:
        name: Name of the phase.
        train: The lowest part that trains: `head`, a stage (`conv5`), or a block (`conv4_block4`);
            what lies above it trains too, what lies below is frozen.
        epochs: The phase ends after so many at the latest.
        patience: Epochs without a better validation AUC that make a plateau.
        learning_rate: Greatest of AdamW.
        schedule: `constant`; `plateau`: tenfold lower at the first plateau, the second one ends the
            phase; `cosine`: falls to 0 over `epochs`.
        warmup: Epochs in which the rate rises to its greatest, since Adam's first steps are as long
            as all others and know least.
        source: `cache`: views of each photograph whose features at the freeze boundary are computed
            once; `pixels`: a fresh view every time, the frozen part computed every time.
        views: Views in the cache: the photograph as it is, and augmented ones.
        bn: `frozen`: batch normalisation does not move; `affine`: its scale and shift train, its
            statistics stay; `adapt`: those too follow the data, slowly. A part that is frozen keeps
            all of it.
        balance: `weights`: every class weighs the same in the loss; `draw`: every class is drawn
            equally often; `none`.
        label_smoothing: Share of the target spread over all classes.
        average: Decay of the weight average, per step; 0 keeps none. What is validated and kept is
            the average (Polyak & Juditsky 1992).
        keep: Weights with which the phase ends: those of its `best` epoch on validation, or of its
            `last`; for the head also the `simplest` that is hardly worse than the best one, see
            `transfer.train_head`.
    """

    name: str = ""
    train: str = HEAD
    epochs: int = 8
    patience: int = 2
    learning_rate: float = 1e-5
    schedule: str = "plateau"
    warmup: float = 1.0
    source: str = "cache"
    views: int = 2
    bn: str = "affine"
    balance: str = "weights"
    label_smoothing: float = 0.0
    average: float = 0.0
    keep: str = "best"

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        stage, _, block = self.train.partition("_")
        choices = {
            "schedule": (self.schedule, SCHEDULES),
            "source": (self.source, SOURCES),
            "bn": (self.bn, BN_POLICIES),
            "balance": (self.balance, BALANCES),
            "keep": (self.keep, KEEPS),
        }
        return {
            "a phase has a name": bool(self.name),
            f"train is head, one of {', '.join(STAGES)}, or a block such as conv4_block4": (
                self.train == HEAD
                or (stage in STAGES and not block)
                or (stage in STAGES[1:] and block[:5] == "block" and block[5:].isdecimal())
            ),
            "epochs is at least 0": self.epochs >= 0,
            "patience and views are at least 1": min(self.patience, self.views) >= 1,
            "learning_rate lies above 0 and is at most 1": 0 < self.learning_rate <= 1,
            "keep is best or simplest for the head, best or last for others": self.keep
            != ("last" if self.train == HEAD else "simplest"),
            "warmup lies in 0 to epochs": 0 <= self.warmup <= max(self.epochs, 1),
            "label_smoothing lies in 0 to 0.5": 0 <= self.label_smoothing <= 0.5,
            "average lies in 0 to 0.9999": 0 <= self.average <= 0.9999,
            **{
                f"{key} is one of {', '.join(known)}": value in known
                for key, (value, known) in choices.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained.

    Attributes:
        name: Name of the recipe.
        val: Share of the photographs for validation, where the table names none.
        test: Share of the photographs for the test, where the table names none.
        batch: Photographs in a step.
        weight_decay: Decoupled (AdamW).
        crop: Side of augmented views as a share of the photograph's, cut at the same scale; 0 keeps
            all of it. Smaller views are learnt from in less time.
        unfreeze_early: Let a phase unfreeze learnt layers before their time, with a warning in
            place of an error: to see what it costs.
        augment: How augmented views are drawn.
        phase: The phases in order; the first trains the head alone.
    """

    name: str
    val: float = 0.15
    test: float = 0.2
    batch: int = 32
    weight_decay: float = 0.05
    crop: float = 0.0
    unfreeze_early: bool = False
    augment: Augment = field(default_factory=Augment)
    phase: tuple[Phase, ...] = (Phase("transfer"),)

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        names = [phase.name for phase in self.phase]
        parts = [depth(phase.train) for phase in self.phase]
        return {
            "val and test lie above 0 and leave half to train": min(self.val, self.test) > 0
            and self.val + self.test <= 0.5,
            "batch is at least 1": self.batch >= 1,
            "crop is 0 or lies in 0.3 to 1": self.crop == 0 or 0.3 <= self.crop <= 1,
            "weight_decay lies in 0 to 1": 0 <= self.weight_decay <= 1,
            "the first phase, and no other, trains the head alone": bool(parts)
            and [part[0] for part in parts].count(len(STAGES)) == 1
            and parts[0][0] == len(STAGES),
            "phases unfreeze from the top": parts == sorted(parts, reverse=True),
            "no two phases share a name": len(set(names)) == len(names),
        }


def depth(train: str) -> tuple[int, int]:
    """Where a part begins: number of its stage from the pixels (the head's is 5), and of its block.

    Parts compare as they lie in the net; what is not a part lies below everything.
    """
    stage, _, block = train.partition("_block")
    if stage == HEAD:
        return len(STAGES), 1
    if stage not in STAGES or (block and not block.isdecimal()):
        return -1, 1
    return STAGES.index(stage), int(block or 1)


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

    A field that is itself a recipe is a table, a tuple of such an array of tables, a tuple of
    anything else an array.

    Raises:
        InputError: An unknown key, a wrong type, or a value out of range.
    """
    hints = get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise InputError(f"{where}: unknown keys {unknown}; known: {', '.join(hints)}")
    recipe = kind(**{key: _value(hints[key], v, where, key) for key, v in values.items()})
    broken = [rule for rule, holds in recipe.rules().items() if not holds]
    if broken:
        raise InputError(f"{where}: expected that {'; and that '.join(broken)}")
    return recipe


def _value(kind: Any, value: Any, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return parse(kind, value, f"{where}: {key}")  # type: ignore[type-var]
    each = next(iter(get_args(kind)), None)
    if each and isinstance(value, list):
        return tuple(_value(each, v, where, f"{key} {i}") for i, v in enumerate(value, 1))
    plain = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}.get(kind, ())
    if not isinstance(value, plain) or (isinstance(value, bool) and kind is not bool):
        table = "a table" if dataclasses.is_dataclass(kind) else "tables"
        if each and not dataclasses.is_dataclass(each):
            table = f"an array of {each.__name__}"
        name = getattr(kind, "__name__", "") if plain else table
        raise InputError(f"{where}: {key}: expected {name}, found {value!r}")
    return value


def to_toml(recipe: Checked) -> str:
    """A recipe with every value resolved, as TOML."""
    values = dataclasses.asdict(recipe)  # type: ignore[call-overload]
    tables = {k: v for k, v in values.items() if _is_table(v)}
    lines = [_lines({k: v for k, v in values.items() if k not in tables})]
    for key, value in tables.items():
        if isinstance(value, dict):
            lines.append(f"\n[{key}]\n{_lines(value)}")
        else:
            lines += [f"\n[[{key}]]\n{_lines(one)}" for one in value]
    return "".join(lines)


def _is_table(value: object) -> bool:
    """Whether a value is a table of TOML, or an array of them."""
    first = value[0] if isinstance(value, (tuple, list)) and value else value
    return isinstance(first, dict)


def _lines(values: dict[str, Any]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def shipped(package: Path) -> Path:
    """The folder of a package's recipes: inside it in the wheel, beside it in the repository."""
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    # A JSON string is a TOML string, but for the one control character that only TOML escapes.
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    return text.replace("\x7f", "\\u007f")
