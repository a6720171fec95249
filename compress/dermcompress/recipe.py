"""How far and how gently a model is compressed: settings, and the rungs of the ladder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dermedge.errors import InputError
from dermedge.gate import Gate
from dermtrain import recipe

FULL, SLIM, RANDOM, PEER = "full", "slim", "random", "peer"
NETS = (FULL, SLIM, RANDOM, PEER)
FLOAT, PTQ, EDGE, QAT = "float32", "ptq", "ptq-edge", "qat"
EXPORTS = (FLOAT, "float16", "dynamic", PTQ, EDGE, QAT)
FIRST, LAST = "first", "last"
ALL = "all"
CRITERIA = ("taylor", "l1", "bn", RANDOM)  # see `importance`
_SIZES = "0 or lies in 32 to 1024"


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of the ladder: what is done to the full model, as far as it goes.

    Attributes:
        name: Name of the rung.
        net: `full`; `slim`: channels leave by the recipe's criterion; `random`: the same share
            leaves everywhere, by chance; `peer`: a MobileNetV2 that learns from the full model.
        distil: Epochs in which the full model teaches it.
        sparsity: Share of the weights that become 0.
        export: `float32`, `float16`, `dynamic`, `ptq` (int8 without training), `ptq-edge` (the same
            by ai-edge-quantizer, as a second opinion), `qat` (int8 with training).
        work: Share of the multiply-accumulates that slimming leaves; 0: the recipe's.
        size: Side of the input, pixels; 0: the recipe's.
        keep: Layers that stay float in an int8 file: `first`, `last`, or names of convolutions, see
            `float_layers`.
    """

    name: str = ""
    net: str = SLIM
    distil: int = 0
    sparsity: float = 0.0
    export: str = QAT
    work: float = 0.0
    size: int = 0
    keep: tuple[str, ...] = ()

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        return {
            "a rung has a name of letters, digits and -": self.name.replace("-", "").isalnum(),
            f"net is one of {', '.join(NETS)}": self.net in NETS,
            f"export is one of {', '.join(EXPORTS)}": self.export in EXPORTS,
            "distil is at least 0": self.distil >= 0,
            "sparsity lies in 0 to 0.95": 0 <= self.sparsity <= 0.95,
            "work lies in 0 to 1": 0 <= self.work <= 1,
            f"work goes with net {SLIM} or {RANDOM}": not self.work or self.net in (SLIM, RANDOM),
            f"size is {_SIZES}": _is_size(self.size),
            f"size goes with another net than {FULL}": not self.size or self.net != FULL,
            "a peer learns: distil is at least 1": self.net != PEER or self.distil >= 1,
            f"keep goes with export {PTQ} or {QAT}": not self.keep or self.export in (PTQ, QAT),
        }

    def __str__(self) -> str:
        """What is done, in one line."""
        start = {
            FULL: "the full net",
            SLIM: "channels leave, the rest reconstructed",
            RANDOM: "channels leave by chance, the rest reconstructed",
            PEER: "MobileNetV2, from random weights",
        }
        kinds = {
            FLOAT: "",
            PTQ: "int8 after training",
            EDGE: "int8 after training by ai-edge-quantizer",
            QAT: "int8 learnt (QAT)",
        }
        steps = (
            start[self.net],
            f"{self.work:.0%} of the work left" if self.work else "",
            f"{self.size} pixels" if self.size else "",
            f"taught for {self.distil} epochs" if self.distil else "",
            f"{self.sparsity:.0%} of the weights 0" if self.sparsity else "",
            kinds.get(self.export, self.export),
            f"in float: {', '.join(self.keep)}" if self.keep else "",
        )
        return "; ".join(step for step in steps if step)


FULL_RUNG = Rung("float", FULL, export=FLOAT)


@dataclass(frozen=True, slots=True)
class CompressRecipe:
    """How a model is compressed; read from TOML, see `dermtrain.recipe`.

    Attributes:
        name: Name of the recipe.
        ship: The rungs that are tried in turn until one passes, unless others are asked for; empty:
            all, in their order.
        work: Share of the multiply-accumulates that slimming leaves, where a rung has none itself.
        size: Side of the slim nets' input, pixels, where a rung has none itself; 0: as the full
            model's.
        criterion: What makes a channel matter; see `importance`.
        rounds: In how many rounds channels leave.
        photographs: Training photographs that slimming and the int8 ranges look at.
        views: Views of each photograph that the teacher is asked about: 1, 2 (mirrored) or 4.
        learning_rate: Greatest of Adam while the teacher teaches.
        peer_rate: The same for the peer, which starts from nothing.
        sparsify: Epochs in which weights become 0.
        quantize: Epochs of quantization-aware training.
        batch: Photographs in a step.
        gate: What a model that is shipped may lose.
        rung: The rungs; the full model in float32, `float`, is always the first.
    """

    name: str
    ship: tuple[str, ...] = ()
    work: float = 0.42
    size: int = 0
    criterion: str = "taylor"
    rounds: int = 2
    photographs: int = 192
    views: int = 2
    learning_rate: float = 2e-5
    peer_rate: float = 1e-3
    sparsify: int = 1
    quantize: int = 1
    batch: int = 16
    gate: Gate = field(default_factory=Gate)
    rung: tuple[Rung, ...] = (Rung("slim-distil-qat", SLIM, distil=3),)

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        names = [rung.name for rung in self.rung]
        return {
            "work lies above 0 and is at most 1": 0 < self.work <= 1,
            f"size is {_SIZES}": _is_size(self.size),
            f"criterion is one of {', '.join(CRITERIA)}": self.criterion in CRITERIA,
            "rounds, sparsify and batch are at least 1": min(self.rounds, self.sparsify, self.batch)
            >= 1,
            "quantize is at least 0": self.quantize >= 0,
            "photographs is at least 16": self.photographs >= 16,
            "views is 1, 2 or 4": self.views in (1, 2, 4),
            "learning_rate and peer_rate lie above 0 and are at most 1": all(
                0 < rate <= 1 for rate in (self.learning_rate, self.peer_rate)
            ),
            "no two rungs share a name, and none is called float or all": len(
                {*names, FULL_RUNG.name, ALL}
            )
            == len(names) + 2,
            f"ship names rungs of {', '.join(names)}": {*self.ship} <= {*names},
            "there is a rung": bool(names),
            "ship names no rung twice": len({*self.ship}) == len(self.ship),
        }

    def learns(self, rung: Rung) -> bool:
        """Whether the full model teaches anything on the way to a rung."""
        return bool(rung.distil or rung.sparsity or (rung.export == QAT and self.quantize))

    def attempts(self, names: str = "") -> tuple[tuple[Rung, ...], ...]:
        """The rungs to build, and when: those of a later attempt only if none before them passes.

        Args:
            names: Names with commas between them, or `all`: one attempt with all of them. Nothing:
                those of `ship`, one by one.

        Raises:
            InputError: A name that is no rung's.
        """
        known = {rung.name: rung for rung in self.rung}
        wanted = [name.strip() for name in names.split(",") if name.strip()]
        if not names:
            return tuple((known[name],) for name in self.ship or known)
        if wanted == [ALL]:
            return (self.rung,)
        unknown = [name for name in wanted if name not in {*known, FULL_RUNG.name}]
        if unknown:
            raise InputError(
                f"no rung {', '.join(unknown)} in recipe {self.name}; it has {', '.join(known)}"
            )
        chosen = tuple(rung for name, rung in known.items() if name in wanted)
        if not chosen:
            raise InputError("only the full model is asked for: name a rung to hold against it")
        return (chosen,)


def _is_size(pixels: int) -> bool:
    return pixels == 0 or 32 <= pixels <= 1024


def load(name: str) -> CompressRecipe:
    """Read one shipped with this package by name, or any by path; see `dermtrain.recipe.load`."""
    return recipe.load(CompressRecipe, name, Path(__file__).parent)
