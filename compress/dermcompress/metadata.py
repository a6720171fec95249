"""Describe a .tflite file to those who open it without our contract: TFLite metadata, labels.

The tables are those of the published metadata_schema.fbs (file identifier M001), which MediaPipe
ships and TensorFlow does not; each field is written by its number there.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import flatbuffers
import numpy as np
import numpy.typing as npt

from dermcompress import flatbuffer
from dermedge import __version__
from dermedge.contract import Contract, Output
from dermedge.errors import InputError

ENTRY = "TFLITE_METADATA"
LABELS = "labels.txt"
_IDENTIFIER = b"M001"
_PARSER = "1.0.0"  # the first metadata parser knows every field used here
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same inputs give the same bytes

# Members of the schema's enums and unions.
_RGB = np.int8(1)
_AXIS_LABELS = np.int8(2)
_FEATURE, _IMAGE = np.uint8(1), np.uint8(2)
_NORMALISATION = np.uint8(1)


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of the schema: its values by field number."""

    fields: Mapping[int, _Scalar | _Part]


_Scalar: TypeAlias = np.int8 | np.uint8 | np.uint32
_Part: TypeAlias = str | npt.NDArray[np.float32] | list[_Table] | _Table


def with_metadata(model: bytes, terms: Contract, title: str) -> bytes:
    """Add a description of model, input and outputs, and the labels as a file behind the model.

    Metadata that the file has is replaced. Scores stay logits: the description says so, since
    readers such as MediaPipe show them as they are.

    Args:
        model: A .tflite file that takes RGB and gives the scores, (1, classes), first.
        terms: Its contract, with one output for each of the file's.
        title: Name of the model.

    Returns:
        The file, described; the same inputs give the same bytes.

    Raises:
        InputError: No .tflite file; its outputs are not those of the contract; the model takes BGR,
            or a label has a line break: TFLite metadata can't say either.
    """
    content = flatbuffer.read(model)
    _expect_describable(terms)
    _expect_outputs(flatbuffer.outputs(content), terms)
    _attach(content, _pack(_model(terms, title)))
    return _with_labels(flatbuffer.write(content), terms)


def _expect_describable(terms: Contract) -> None:
    if terms.input.colour != "rgb":
        raise InputError(
            f"TFLite metadata knows RGB only, the contract says {terms.input.colour}; export a "
            "model that takes RGB"
        )
    broken = [label.name for label in terms.labels if label.name.splitlines() != [label.name]]
    if broken:
        raise InputError(f"{LABELS} holds one label a line; rename {broken}")


def _expect_outputs(found: tuple[flatbuffer.Tensor, ...], terms: Contract) -> None:
    scores = (1, len(terms.labels))
    if len(found) != len(terms.outputs) or found[0].shape != scores:
        listed = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in found)
        raise InputError(
            f"expected {len(terms.outputs)} outputs, the first with the scores {scores}; the file "
            f"gives {listed}; put them in order with flatbuffer.order_outputs"
        )


def _attach(content: Any, packed: bytes) -> None:
    """Put the metadata into its buffer, a new one if the file has none yet."""
    data = np.frombuffer(packed, np.uint8)
    content.metadata = content.metadata or []
    for entry in content.metadata:
        if entry.name == ENTRY.encode():
            content.buffers[entry.buffer].data = data
            return
    buffer, entry = flatbuffer.schema.BufferT(), flatbuffer.schema.MetadataT()
    buffer.data = data
    entry.name, entry.buffer = ENTRY, len(content.buffers)
    content.buffers.append(buffer)
    content.metadata.append(entry)


def _with_labels(model: bytes, terms: Contract) -> bytes:
    """Append labels.txt as a zip whose offsets count from the start of the whole file."""
    whole = io.BytesIO(model)
    # Stored, not packed: the readers map the text from the file as it is.
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        entry = zipfile.ZipInfo(LABELS, _EPOCH)
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, "".join(f"{label.name}\n" for label in terms.labels))
    return whole.getvalue()


def _model(terms: Contract, title: str) -> _Table:
    """ModelMetadata."""
    origin = terms.provenance
    made_up = " Its data are made-up pictures." if origin.made_up else ""
    given = [_scores(terms), *(_further(output) for output in terms.outputs[1:])]
    graph = _Table({2: [_image(terms)], 3: given})
    return _Table(
        {
            0: title,
            1: f"{terms.notice}{made_up}",
            2: origin.versions.get("dermkit", __version__),
            3: [graph],  # SubGraphMetadata
            4: "dermkit",
            5: f"Data: {origin.licence}",
            7: _PARSER,
        }
    )


def _image(terms: Contract) -> _Table:
    """TensorMetadata of the input: ImageProperties, NormalizationOptions, Stats.

    The schema's normalisation is (pixel - mean) / std, the contract's pixel * scale + offset: raw
    pixels have mean 0 and std 1.
    """
    spec = terms.input
    size = _Table({0: np.uint32(spec.width), 1: np.uint32(spec.height)})
    mean, std = (0.0 - spec.offset) / spec.scale, 1 / spec.scale
    options = _Table({0: _floats(mean), 1: _floats(std)})
    extremes = _Table({0: _floats(255 * spec.scale + spec.offset), 1: _floats(spec.offset)})
    return _Table(
        {
            0: "image",
            1: f"Photograph of one lesion, RGB, {spec.width} x {spec.height} pixels, resized by "
            f"{spec.resize} ({spec.interpolation}).",
            3: _content(_IMAGE, _Table({0: _RGB, 1: size})),
            4: [_Table({0: _NORMALISATION, 1: options})],  # ProcessUnit
            5: extremes,
        }
    )


def _scores(terms: Contract) -> _Table:
    """TensorMetadata of the first output; it names the labels file."""
    labels = _Table({0: LABELS, 1: "One class a line.", 2: _AXIS_LABELS})  # AssociatedFile
    temperature = terms.calibration.temperature
    return _Table(
        {
            0: "scores",
            1: f"One logit a class; probabilities are softmax(logits / {temperature:.6g}).",
            3: _content(_FEATURE, _Table({})),
            6: [labels],
        }
    )


def _further(output: Output) -> _Table:
    """TensorMetadata of any other output."""
    content = _content(_FEATURE, _Table({}))
    return _Table({0: output.name, 1: f"Kind: {output.kind}.", 3: content})


def _floats(value: float) -> npt.NDArray[np.float32]:
    return np.array([value], np.float32)


def _content(kind: np.uint8, properties: _Table) -> _Table:
    """Content: a union takes two fields, its kind and its table."""
    return _Table({0: kind, 1: properties})


def _pack(table: _Table) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, table), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, part: _Part) -> int:
    """Write what a field refers to, innermost first, and return its offset."""
    if isinstance(part, str):
        return builder.CreateString(part)
    if isinstance(part, np.ndarray):
        return builder.CreateNumpyVector(part)
    if isinstance(part, _Table):
        return _write_table(builder, part)
    offsets = [_write(builder, table) for table in part]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _write_table(builder: flatbuffers.Builder, table: _Table) -> int:
    put = {
        np.int8: builder.PrependInt8Slot,
        np.uint8: builder.PrependUint8Slot,
        np.uint32: builder.PrependUint32Slot,
    }
    # Nothing can be written while a table is open, so whatever it refers to stands first.
    offsets = {
        number: _write(builder, value)
        for number, value in table.fields.items()
        if not isinstance(value, np.generic)
    }
    builder.StartObject(max(table.fields, default=-1) + 1)
    for number, value in table.fields.items():
        if number in offsets:
            builder.PrependUOffsetTRelativeSlot(number, offsets[number], 0)
        else:
            put[type(value)](number, value, 0)
    return builder.EndObject()
