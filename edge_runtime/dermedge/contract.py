"""What a model expects and promises: `contract.json`, read strictly and written whole."""

from __future__ import annotations

import dataclasses
import json
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dermedge import atomic
from dermedge.errors import BundleError

FORMAT = 3
NOTICE = (
    "Research software, not a medical device. It does not diagnose: a doctor does. "
    "When in doubt, or when a lesion changes, see one."
)

# The kinds of output that a model may have: see `dermedge.model.Outputs`.
KINDS = LOGITS, MAP, EMBEDDING = ("logits", "map", "embedding")

# How novelty is measured: see `dermedge.novelty.Subspace`.
RESIDUAL = "residual"
_MAX_DIMENSIONS, _MAX_COMPONENTS = 1 << 14, 256

# How the notice of a model begins that was shipped although its gate said no.
FAILED_GATE = "THIS MODEL FAILED ITS GATE"

# What is said where no class is named; a class of this name could not be told from it.
RESERVED = ("uncertain", "not assessable")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Model:
    """The file that holds the weights. `kind` is `tflite` in a bundle, `keras` in a run folder."""

    file: str
    sha256: str
    kind: str


@dataclass(frozen=True, slots=True)
class Input:
    """How a photograph becomes the input array: see `dermedge.prepare`.

    With scale 1 and offset 0, the default, the model takes the pixels as they are (uint8, 0 to 255)
    and normalises them itself, so that no deployment can get the normalisation wrong.
    """

    height: int
    width: int
    colour: str = "rgb"
    resize: str = "stretch"
    interpolation: str = "area"
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Label:
    """One class. `positive` classes are summed into the probability that is reported.

    A model may do without: then the top class is reported, see `dermedge.decide`.
    """

    id: int
    name: str
    positive: bool


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor of the model, in order; the first holds the scores."""

    name: str
    kind: str = LOGITS


@dataclass(frozen=True, slots=True)
class Calibration:
    """probabilities = softmax(logits / temperature); fitted on validation (Guo et al. 2017)."""

    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Decision:
    """Operating points found on validation and frozen.

    `thresholds` maps each operating point ("sensitivity>=0.90") to a probability; `chosen_for`
    names the one in use. Inside `uncertain_band` (low, high) validation was too small to place the
    threshold: the decision there is "uncertain".

    Without positive classes an operating point ("accuracy>=0.90") is the probability of the top
    class from which on validation was right so often; everything below is uncertain, and the band
    begins at 0. 1 says that no probability was enough: everything is uncertain.
    """

    thresholds: Mapping[str, float]
    chosen_for: str
    uncertain_band: tuple[float, float]

    @property
    def threshold(self) -> float:
        """The threshold in use, a probability."""
        return self.thresholds[self.chosen_for]


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Bounds outside of which a photograph is "not assessable": see `dermedge.quality`."""

    min_side: int = 64
    min_sharpness: float = 0.0
    min_brightness: float = 0.0
    max_brightness: float = 255.0
    max_glare: float = 1.0


@dataclass(frozen=True, slots=True)
class Novelty:
    """When a photograph is unlike the training photographs and so "not assessable".

    What is measured is in `dermedge.novelty`; its numbers lie in the bundle beside the contract.

    Attributes:
        measure: `residual`.
        dimensions: Length of the model's embedding.
        components: Directions in which the training photographs may differ.
        threshold: The distance up to which a photograph is judged.
        false_alarms: Share of photographs like those of validation that lie beyond it, at most.
        training: Photographs that the directions come from.
        validation: Photographs that the threshold comes from.
    """

    measure: str
    dimensions: int
    components: int
    threshold: float
    false_alarms: float
    training: int
    validation: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the model comes from and what was measured before it left."""

    data: str
    licence: str
    made_up: bool
    split: str
    weights: str
    recipe: str
    seed: int
    versions: Mapping[str, str]
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contract:
    """What a model expects and promises; without `novelty` it judges whatever it is shown."""

    model: Model
    input: Input
    labels: tuple[Label, ...]
    outputs: tuple[Output, ...]
    calibration: Calibration
    decision: Decision
    quality: QualityLimits
    provenance: Provenance
    novelty: Novelty | None = None
    notice: str = NOTICE
    format: int = FORMAT

    @property
    def positive(self) -> tuple[int, ...]:
        """Ids of the positive classes, in order."""
        return tuple(label.id for label in self.labels if label.positive)

    @property
    def failed_gate(self) -> bool:
        """Whether the model was shipped although it failed its gate; its notice says why."""
        return self.notice.startswith(FAILED_GATE)

    def to_json(self) -> str:
        """The text of `contract.json`.

        Raises:
            BundleError: A figure is not a number, which no JSON can hold.
        """
        values = dataclasses.asdict(self)
        try:
            return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        except ValueError as error:
            raise BundleError(f"a figure of the contract is not a number: {error}") from error

    def save(self, path: Path) -> None:
        """Write `contract.json`, whole or not at all."""
        atomic.write_text(path, self.to_json())


def load(path: Path) -> Contract:
    """Read and validate a `contract.json`.

    Raises:
        BundleError: The file is absent, is not JSON, or breaks the format.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} can't be read: {error}") from error
    return parse(text, str(path))


def parse(text: str, where: str = "contract.json") -> Contract:
    """Build a contract from its JSON text; `where` names the source in errors.

    Raises:
        BundleError: Not JSON, an unknown format number or key, a missing key, a value out of range.
    """
    try:
        data = json.loads(text)
        # What can't be written again is refused: NaN, infinities, half characters.
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON: {error}") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT or isinstance(found, bool):
        raise BundleError(
            f"{where}: expected contract format {FORMAT}, found {reprlib.repr(found)}. "
            "Install the version of dermkit that wrote it, or make the bundle again."
        )
    contract = _build(Contract, data, where)
    _check(contract, where)
    return contract


def _build(cls: type[_T], data: Any, where: str) -> _T:
    """Fill a dataclass from a JSON object, strictly: every key known, every type right."""
    if not isinstance(data, dict):
        raise BundleError(f"{where}: expected an object, found {type(data).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    missing = sorted(set(fields) - set(data))
    if unknown or missing:
        raise BundleError(f"{where}: unknown keys {unknown}, missing keys {missing}")
    hints = get_type_hints(cls)
    return cls(**{name: _value(hints[name], data[name], f"{where}: {name}") for name in fields})


def _value(kind: Any, value: Any, where: str) -> Any:
    """Convert one JSON value to the annotated type, or say where it is wrong."""
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        return _tuple(get_args(kind), value, where)
    if origin in (Union, UnionType):  # something, or None
        return None if value is None else _value(get_args(kind)[0], value, where)
    if kind is Any:
        return value
    if origin is Mapping:
        return _mapping(get_args(kind)[1], value, where)
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    if kind is float or type(value) is not kind:
        raise BundleError(f"{where}: expected {kind.__name__}, found {reprlib.repr(value)}")
    return value


def _mapping(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BundleError(f"{where}: expected an object, found {type(value).__name__}")
    return {key: _value(kind, item, f"{where}.{key}") for key, item in value.items()}


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise BundleError(f"{where}: expected a list, found {type(value).__name__}")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise BundleError(f"{where}: expected {len(kinds)} values, found {len(value)}")
    return tuple(
        _value(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
    )


def _check(contract: Contract, where: str) -> None:
    """Refuse values that parse but can't be meant."""
    spec, decision = contract.input, contract.decision
    low, high = decision.uncertain_band
    rules = {
        "input.height and width lie between 16 and 4096": min(spec.height, spec.width) >= 16
        and max(spec.height, spec.width) <= 4096,
        "input.colour is rgb or bgr": spec.colour in ("rgb", "bgr"),
        "input.resize is stretch, pad or crop": spec.resize in ("stretch", "pad", "crop"),
        "input.interpolation is area or linear": spec.interpolation in ("area", "linear"),
        "input.scale is above 0": spec.scale > 0,
        "labels are numbered 0, 1, … and are at least two": len(contract.labels) >= 2
        and [label.id for label in contract.labels] == list(range(len(contract.labels))),
        "labels have different names": len({x.name for x in contract.labels})
        == len(contract.labels),
        "not all labels are positive": len(contract.positive) < len(contract.labels),
        "no label is named like a decision": not {x.name for x in contract.labels} & set(RESERVED),
        "without positive labels the uncertain band begins at 0": bool(contract.positive)
        or low == 0,
        "the first output is of kind logits": bool(contract.outputs)
        and contract.outputs[0].kind == LOGITS,
        f"outputs are of kind {', '.join(KINDS)}": all(x.kind in KINDS for x in contract.outputs),
        "calibration.temperature lies between 0.001 and 1000": 1e-3
        <= contract.calibration.temperature
        <= 1e3,
        "decision.chosen_for is one of the thresholds": decision.chosen_for in decision.thresholds,
        "thresholds are probabilities": all(0 <= t <= 1 for t in decision.thresholds.values()),
        "uncertain_band is low, high within 0 to 1": 0 <= low <= high <= 1,
        "uncertain_band holds the threshold": low
        <= decision.thresholds.get(decision.chosen_for, low)
        <= high,
        "model.file is a plain name": contract.model.file == Path(contract.model.file).name
        and contract.model.file not in ("", ".."),
        **_novelty_rules(contract),
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise BundleError(f"{where}: expected that {'; and that '.join(broken)}")


def _novelty_rules(contract: Contract) -> dict[str, bool]:
    terms = contract.novelty
    if terms is None:
        return {}
    return {
        "novelty needs an output of kind embedding": EMBEDDING
        in {output.kind for output in contract.outputs},
        f"novelty.measure is {RESIDUAL}": terms.measure == RESIDUAL,
        f"novelty.components lie between 1 and {_MAX_COMPONENTS}, below dimensions": 1
        <= terms.components
        < min(terms.dimensions, _MAX_COMPONENTS + 1),
        f"novelty.dimensions are {_MAX_DIMENSIONS} at most": terms.dimensions <= _MAX_DIMENSIONS,
        "novelty.threshold is at least 1e-7": terms.threshold >= 1e-7,
        "novelty.false_alarms lie between 0 and 1": 0 < terms.false_alarms < 1,
        "novelty.training and validation are above 0": min(terms.training, terms.validation) > 0,
    }
