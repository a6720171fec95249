import dataclasses
import errno
import hashlib
import io
import os
import stat
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge import archive, contract, seal
from dermedge.archive import CARD, CONTRACT, GOLDEN, MODEL, NOVELTY, SUMS
from dermedge.bundle import open_bundle, pack
from dermedge.errors import BundleError, StorageError


@pytest.fixture(scope="module")
def files(tiny_bundles: tuple[Path, Path]) -> dict[str, bytes]:
    with zipfile.ZipFile(tiny_bundles[1]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sums(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same files with checksums that fit."""
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in files.items()
        if name != SUMS
    ]
    return {**files, SUMS: "".join(lines).encode()}


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in entries:
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return path


def refused(path: Path, reason: str) -> None:
    with pytest.raises(BundleError, match=reason) as told:
        open_bundle(path)
    assert told.value.exit_code == 5
    assert str(path) in str(told.value)


def test_a_bundle_brings_back_what_was_packed(tmp_path: Path, files: dict[str, bytes]):
    terms = contract.parse(files[CONTRACT].decode())
    packed = pack(tmp_path / "a.kit", terms, files[MODEL], "# Größe\n")
    found = open_bundle(tmp_path / "a.kit")
    assert (found.contract, found.model, found.card) == (packed, files[MODEL], "# Größe\n")
    assert found.sha256 == hashlib.sha256((tmp_path / "a.kit").read_bytes()).hexdigest()
    assert packed.model.sha256 == hashlib.sha256(files[MODEL]).hexdigest()


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, files: dict[str, bytes]):
    terms = contract.parse(files[CONTRACT].decode())
    for name in ("a.kit", "b.kit"):
        pack(tmp_path / name, terms, files[MODEL], "card")
    assert (tmp_path / "a.kit").read_bytes() == (tmp_path / "b.kit").read_bytes()


def test_the_contract_names_the_model_that_is_packed(tmp_path: Path, files: dict[str, bytes]):
    terms = contract.parse(files[CONTRACT].decode())
    elsewhere = dataclasses.replace(terms, model=contract.Model("weights.npz", "f" * 64, "keras"))
    assert pack(tmp_path / "a.kit", elsewhere, files[MODEL], "") == terms


def test_a_full_disk_leaves_no_half_bundle(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    terms = contract.parse(files[CONTRACT].decode())
    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(StorageError, match="No space left"):
        pack(tmp_path / "a.kit", terms, files[MODEL], "card")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["absent.kit", "folder.kit"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str):
    (tmp_path / "folder.kit").mkdir()
    refused(tmp_path / name, "is not a bundle file; `kit compress RUN` makes small.kit")


@pytest.mark.parametrize("data", [b"", b"not a zip file", b"PK\x03\x04" + bytes(50)])
def test_what_is_no_zip_file_is_refused(tmp_path: Path, data: bytes):
    (tmp_path / "a.kit").write_bytes(data)
    refused(tmp_path / "a.kit", "not a whole bundle")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_off_bundle_is_refused(tmp_path: Path, tiny_bundles: tuple[Path, Path], share: float):
    data = tiny_bundles[0].read_bytes()
    (tmp_path / "a.kit").write_bytes(data[: int(len(data) * share)])
    refused(tmp_path / "a.kit", "not a whole bundle")


@pytest.mark.parametrize("name", [CONTRACT, MODEL, CARD])
def test_a_wrong_checksum_is_refused_by_name(tmp_path: Path, files: dict[str, bytes], name: str):
    altered = {**files, name: files[name] + b" "}
    path = zipped(tmp_path / "a.kit", *altered.items())
    refused(path, f"checksum of {name} is wrong")


@pytest.mark.parametrize("text", [b"", b"nonsense", b"0" * 64 + b"  ../x\n", b"\xff\xfe"])
def test_a_list_of_checksums_that_does_not_fit_is_refused(
    tmp_path: Path, files: dict[str, bytes], text: bytes
):
    refused(zipped(tmp_path / "a.kit", *{**files, SUMS: text}.items()), "wrong|UTF-8")


def test_a_checksum_for_a_file_that_is_not_there_is_refused(
    tmp_path: Path, files: dict[str, bytes]
):
    more = files[SUMS] + b"0" * 64 + b"  more.txt\n"
    refused(zipped(tmp_path / "a.kit", *{**files, SUMS: more}.items()), "checksum of SHA256SUMS")


def test_swapped_model_bytes_are_refused_even_with_checksums_that_fit(
    tmp_path: Path, files: dict[str, bytes], tiny_bundles: tuple[Path, Path]
):
    swapped = sums({**files, MODEL: open_bundle(tiny_bundles[0]).model})
    path = zipped(tmp_path / "a.kit", *swapped.items())
    refused(path, "is not the model that the contract names")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b'"format": 3', b'"format": 1', "expected contract format 3, found 1"),
        (b'"kind": "tflite"', b'"kind": "keras"', "expected the contract of model.tflite"),
        (b'"notice"', b'"remark"', "unknown keys"),
        (b'"temperature"', b"temperature", "not JSON"),
        (b"Research", b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_contract_that_is_not_understood_is_refused(
    tmp_path: Path, files: dict[str, bytes], before: bytes, after: bytes, reason: str
):
    assert before in files[CONTRACT]
    altered = sums({**files, CONTRACT: files[CONTRACT].replace(before, after, 1)})
    refused(zipped(tmp_path / "a.kit", *altered.items()), reason)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.sh",
        "/etc/passwd",
        "..\\evil",
        "more.txt",
        "sub/",
        "./contract.json",
        "MODEL.TFLITE",
    ],
)
def test_an_entry_that_does_not_belong_there_is_refused(
    tmp_path: Path, files: dict[str, bytes], name: str
):
    path = zipped(tmp_path / "a.kit", *files.items(), (name, b"x"))
    refused(path, "and perhaps")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.kit"]


@pytest.mark.parametrize("name", [CONTRACT, MODEL, CARD, SUMS])
def test_a_missing_entry_is_refused(tmp_path: Path, files: dict[str, bytes], name: str):
    rest = {k: data for k, data in files.items() if k != name}
    refused(zipped(tmp_path / "a.kit", *rest.items()), "and perhaps")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path: Path, files: dict[str, bytes]):
    path = zipped(tmp_path / "a.kit", *files.items(), (MODEL, b"another"))
    refused(path, "and perhaps")


def test_a_symbolic_link_is_not_followed(tmp_path: Path, files: dict[str, bytes]):
    link = zipfile.ZipInfo(MODEL)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    rest = [(name, data) for name, data in files.items() if name != MODEL]
    refused(zipped(tmp_path / "a.kit", *rest, (link, b"/etc/passwd")), "model.tflite is a link")


def test_an_entry_that_unpacks_to_too_much_is_refused(tmp_path: Path, files: dict[str, bytes]):
    bomb = sums({**files, CARD: bytes(2 << 20)})
    path = zipped(tmp_path / "a.kit", *bomb.items())
    refused(path, "MODEL_CARD.md would unpack to 2097152 bytes")


def test_an_entry_that_lies_about_its_size_never_fills_the_memory(
    tmp_path: Path, files: dict[str, bytes]
):
    size = 32 << 20
    path = zipped(tmp_path / "a.kit", *{**files, CARD: bytes(size)}.items())
    honest = path.read_bytes()
    lying = honest.replace(size.to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lying != honest
    path.write_bytes(lying)
    tracemalloc.start()
    try:
        refused(path, "not a whole bundle")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(tmp_path: Path, files: dict[str, bytes], method: int):
    path = tmp_path / "a.kit"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    refused(path, "packed in an unknown way")


@given(
    changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=4),
    from_end=st.booleans(),
    kept=st.just(1.0) | st.floats(0, 1),
)
@settings(max_examples=400)
def test_an_altered_bundle_is_refused_or_says_the_same(
    tiny_bundles: tuple[Path, Path], changes: list[tuple[int, int]], from_end: bool, kept: float
):
    whole = tiny_bundles[1].read_bytes()
    altered = bytearray(whole)
    for place, value in changes:
        # The directory of a zip file lies at its end: half of the examples look there.
        place = -1 - place % 400 if from_end else place % len(altered)
        altered[place] = value
    original = open_bundle(tiny_bundles[1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.kit"
        path.write_bytes(altered[: int(len(altered) * kept)])
        try:
            found = open_bundle(path)
        except BundleError:
            return
    assert dataclasses.replace(found, path=original.path, sha256=original.sha256) == original


def test_an_inverted_byte_is_seen_or_does_not_matter(
    tiny_bundles: tuple[Path, Path], tmp_path: Path
):
    whole = tiny_bundles[1].read_bytes()
    original = open_bundle(tiny_bundles[1])
    path = tmp_path / "a.kit"
    for place in [*range(0, len(whole), 37), *range(len(whole) - 330, len(whole))]:
        altered = bytearray(whole)
        altered[place] ^= 0xFF
        path.write_bytes(altered)
        try:
            found = open_bundle(path)
        except BundleError:
            continue
        assert (found.contract, found.model, found.card) == (
            original.contract,
            original.model,
            original.card,
        )


def test_the_limits_name_exactly_the_files_of_a_bundle(files: dict[str, bytes]):
    assert set(files) == {CONTRACT, MODEL, CARD, SUMS}
    assert set(archive.LIMITS) == {*files, GOLDEN, NOVELTY}


def test_a_bundle_may_bring_golden_vectors(tmp_path: Path, files: dict[str, bytes]):
    terms = contract.parse(files[CONTRACT].decode())
    pack(tmp_path / "a.kit", terms, files[MODEL], "card", "{}")
    assert open_bundle(tmp_path / "a.kit").golden == "{}"
    pack(tmp_path / "b.kit", terms, files[MODEL], "card")
    assert open_bundle(tmp_path / "b.kit").golden == ""


def test_what_nobody_could_open_is_not_packed(tmp_path: Path, files: dict[str, bytes]):
    terms = contract.parse(files[CONTRACT].decode())
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md would unpack to"):
        pack(tmp_path / "a.kit", terms, files[MODEL], "x" * (archive.LIMITS[CARD] + 1))
    assert list(tmp_path.iterdir()) == []


def peak_of_refusing(path: Path, reason: str) -> int:
    """Bytes of memory that it took at most."""
    tracemalloc.start()
    try:
        refused(path, reason)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_small_file_that_unpacks_to_a_large_model_is_refused(
    tmp_path: Path, files: dict[str, bytes]
):
    size = 64 << 20  # within the limit of a model
    path = zipped(tmp_path / "a.kit", *sums({**files, MODEL: bytes(size)}).items())
    assert path.stat().st_size < 100_000
    assert peak_of_refusing(path, f"model.tflite would unpack to {size} bytes") < 8 << 20


@pytest.mark.parametrize("disguised", [False, True])
def test_a_long_list_of_entries_never_fills_the_memory(
    tmp_path: Path, tiny_bundles: tuple[Path, Path], disguised: bool
):
    whole = tiny_bundles[1].read_bytes()
    end = whole.rindex(b"PK\x05\x06")
    start = whole.index(b"PK\x01\x02")
    listed = whole[start:end] * 20_000
    entries = 2 if disguised else 0xFFFF
    lying = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, entries, entries, len(listed), start, 0)
    (tmp_path / "a.kit").write_bytes(whole[:start] + listed + lying)
    assert peak_of_refusing(tmp_path / "a.kit", "it lists") < 8 << 20


@pytest.mark.parametrize("sealed", [True, False])
def test_a_list_of_entries_hidden_in_the_comment_never_reaches_the_zip_reader(
    tmp_path: Path,
    tiny_bundles: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    sealed: bool,
):
    whole, many = tiny_bundles[1].read_bytes(), 100_000
    start = whole.index(b"PK\1\2")
    entry = whole[start : whole.index(b"PK\1\2", start + 4)]
    words = (b"dermkit seal 1\n" if sealed else b"").ljust(2000, b" ")
    # The last entry has a comment of its own: all that lies between it and the hidden record.
    last = entry[:32] + struct.pack("<H", 22 + len(words)) + entry[34:]
    listed = entry * many + last
    record = struct.Struct("<4s4H2LH")
    # As it should be: one entry is listed, and a comment follows that is as long as a seal.
    honest = record.pack(*(b"PK\5\6", 0, 0, 1, 1, len(last), start + many * len(entry)), seal.SIZE)
    size = len(listed) + len(honest) + len(words)
    hidden = record.pack(b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, size, start, 0)
    data = whole[:start] + listed + honest + (words + hidden).ljust(seal.SIZE, b" ")
    # What the zip reader lists if it is let: it takes the last record.
    (tmp_path / "a.kit").write_bytes(data)
    with (tmp_path / "a.kit").open("rb") as stream, zipfile.ZipFile(stream) as archived:
        counted = len(archived.infolist())
    assert counted == many + 1

    def never(*given: object) -> None:
        raise AssertionError("it was read as a zip")

    monkeypatch.setattr(zipfile, "ZipFile", never)
    with (tmp_path / "a.kit").open("rb") as stream:
        tracemalloc.start()
        try:
            with pytest.raises(zipfile.BadZipFile, match="ends more than once"):
                archive.read(stream, tmp_path / "a.kit")
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
    refused(tmp_path / "a.kit", "seal of .* is damaged" if sealed else "ends more than once")


def test_a_zip_for_more_than_4_gb_is_refused(tmp_path: Path, tiny_bundles: tuple[Path, Path]):
    whole = tiny_bundles[1].read_bytes()
    end = whole.rindex(b"PK\x05\x06")
    start = whole.index(b"PK\x01\x02")
    listed = whole[start:end] + b"PK\6\7" + bytes(16)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 4, 4, len(listed), start, 0)
    (tmp_path / "a.kit").write_bytes(whole[:start] + listed + last)
    refused(tmp_path / "a.kit", "more than 4 GB")


@pytest.mark.parametrize("before", [True, False])
def test_bytes_before_or_after_the_zip_are_refused(
    tmp_path: Path, tiny_bundles: tuple[Path, Path], before: bool
):
    whole = tiny_bundles[1].read_bytes()
    (tmp_path / "a.kit").write_bytes(b"#!/bin/sh\n" + whole if before else whole + b"\n")
    refused(tmp_path / "a.kit", "not a whole bundle")


def test_what_is_larger_than_any_bundle_is_not_even_read(tmp_path: Path):
    with (tmp_path / "a.kit").open("wb") as stream:
        stream.truncate(archive.MAX_BYTES + 1)
    assert peak_of_refusing(tmp_path / "a.kit", "a bundle has") < 1 << 20


NAMES = st.sampled_from(
    [
        *(CONTRACT, MODEL, CARD, SUMS, GOLDEN, CONTRACT.upper(), "Model.tflite", "model.tflite/"),
        *("../x", "/etc/passwd", "..\\x", "a\x00b", "", "C:x", "é" * 99, "x" * 65_000),
    ]
)
ENTRIES = st.tuples(
    NAMES,
    st.none() | st.binary(max_size=200),
    st.sampled_from([0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO]),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(
    keep=st.sets(st.sampled_from([CONTRACT, MODEL, CARD, SUMS]), min_size=2),
    more=st.lists(ENTRIES, max_size=4),
    changes=st.lists(st.tuples(st.integers(1, 1 << 13), st.binary(max_size=8)), max_size=3),
    sealed=st.none() | st.binary(max_size=400),
)
@settings(max_examples=1000)
def test_a_malformed_bundle_is_refused_without_a_crash(
    files: dict[str, bytes], keep: set[str], more: list, changes: list, sealed: bytes | None
):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archived:
        for name in sorted(keep):
            archived.writestr(name, files[name])
        for name, data, mode, method in more:
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, method
            archived.writestr(entry, files.get(name, b"") if data is None else data)
    data = bytearray(made.getvalue())
    for place, piece in changes:
        data[-place : -place + len(piece)] = piece
    if sealed is not None:
        data[-2:] = seal.SIZE.to_bytes(2, "little")
        data += (b"dermkit seal 1\n" + sealed).ljust(seal.SIZE)
    if keep == {CONTRACT, MODEL, CARD, SUMS} and not (more or changes or sealed is not None):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.kit"
        path.write_bytes(data)
        try:
            found = open_bundle(path)
        except BundleError:
            return
    assert found.model == files[MODEL]
    assert found.contract == contract.parse(files[CONTRACT].decode())
