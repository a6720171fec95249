"""The split: no patient, lesion or near-duplicate in two parts, every class in each part."""

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge import image
from dermedge import table as tables
from dermedge.errors import TableError
from dermedge.progress import Progress
from dermedge.table import SPLITS, Row, Table
from dermtrain import duplicates, synthetic
from dermtrain import split as splitting
from dermtrain.duplicates import NEAR_BITS
from dermtrain.split import group, near_pairs, split

NOWHERE = Path("labels.csv")


@pytest.fixture(autouse=True, scope="module")
def _photographs_that_are_not_there_look_all_different() -> Iterator[None]:
    """256 bits drawn from the name: two such are never within a few bits."""
    read = duplicates.hashes

    def look(paths: Sequence[Path], progress: Progress) -> np.ndarray:
        if any(path.is_file() for path in paths):
            return read(paths, progress)
        digests = b"".join(hashlib.sha256(path.name.encode()).digest() for path in paths)
        return np.frombuffer(digests, np.uint8).reshape(-1, 32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "hashes", look)
        yield


def _groups(table: Table) -> np.ndarray:
    return group(table, near_pairs(table))


def _table(*rows: Row, root: Path = Path()) -> Table:
    return Table(NOWHERE, root, rows)


def _drawn(seed: int, groups: int, field: str) -> Table:
    """A table of `groups` patients (or lesions) with one to four photographs each."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(groups):
        label = "malignant" if number % 3 == 0 else "benign"
        for _ in range(random.integers(1, 5)):
            row = Row(f"{len(rows)}.jpg", label)
            rows.append(replace(row, **{field: f"id{number}"}))
    return _table(*(rows[i] for i in random.permutation(len(rows))))


def _splits_of(table: Table, field: str) -> dict[str, set[str]]:
    found = defaultdict(set)
    for row in table.rows:
        found[getattr(row, field)].add(row.split)
    return found


def _names(table: Table) -> list[str]:
    return [row.split for row in table.rows]


@given(
    seed=st.integers(0, 10_000),
    groups=st.integers(80, 160),
    field=st.sampled_from(["patient_id", "lesion_id"]),
    val=st.floats(0.1, 0.25),
    test=st.floats(0.1, 0.25),
)
@settings(max_examples=25)
def test_groups_stay_whole_classes_are_everywhere_and_shares_are_near_what_was_asked(
    seed: int, groups: int, field: str, val: float, test: float
) -> None:
    given_table = _drawn(seed, groups, field)
    found = split(given_table, val, test, seed).table
    assert [row.image for row in found.rows] == [row.image for row in given_table.rows]
    assert all(len(where) == 1 for where in _splits_of(found, field).values())
    assert {(row.split, row.label) for row in found.rows} == {
        (name, label) for name in SPLITS for label in ("benign", "malignant")
    }
    for name, share in (("val", val), ("test", test)):
        assert _names(found).count(name) / len(found.rows) == pytest.approx(share, abs=0.08)
        malignant = [row.label == "malignant" for row in found.part(name).rows]
        everywhere = [row.label == "malignant" for row in found.rows]
        assert np.mean(malignant) == pytest.approx(np.mean(everywhere), abs=0.2)


def test_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    table = _drawn(0, 60, "patient_id")
    first = split(table, 0.15, 0.2, 3)
    assert split(table, 0.15, 0.2, 3) == first
    assert _names(split(table, 0.15, 0.2, 4).table) != _names(first.table)
    assert "patient" in first.how
    assert "seed 3" in first.how


def test_patient_counts_before_lesion_and_lesion_before_near_duplicates() -> None:
    rows = [
        Row("a.png", "benign", patient_id="P1", lesion_id="L1"),
        Row("b.png", "benign", patient_id="P1", lesion_id="L2"),
        Row("c.png", "benign", patient_id="P2", lesion_id="L1"),  # lesions count within a patient
        Row("d.png", "benign", lesion_id="L1"),
        Row("e.png", "benign", lesion_id="L1"),
        Row("unknown.png", "benign"),
        Row("like.png", "benign"),
    ]
    pairs = np.array([[0, 2, 3], [5, 6, 9]])  # what is known of a and c counts, not their looks
    a, b, c, d, e, unknown, like = group(_table(*rows), pairs)
    assert a == b
    assert d == e
    assert unknown == like
    assert len({a, c, d, unknown}) == 4


@pytest.mark.parametrize(("scale", "quality"), [(1.0, 50), (0.7, 70), (0.5, 90)])
def test_same_picture_encoded_anew_and_smaller_stays_with_the_first(
    tmp_path: Path, scale: float, quality: int
) -> None:
    synthetic.make_set(tmp_path / "set", 12, size=384)
    table = tables.read(tmp_path / "set")
    # One photograph of each lesion: others of one lesion may well be alike.
    firsts = {row.lesion_id: row.image for row in table.rows}.values()
    copies = []
    for name in firsts:
        picture = image.read(table.root / name)[:, :, ::-1]
        smaller = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        copies.append(name.replace(".jpg", "_copy.jpg"))
        cv2.imwrite(str(table.root / copies[-1]), smaller, [cv2.IMWRITE_JPEG_QUALITY, quality])
    rows = (Row(name, "benign") for name in [*firsts, *copies])
    numbers = list(_groups(_table(*rows, root=table.root)))
    assert numbers[: len(firsts)] == numbers[len(firsts) :]
    assert len(set(numbers)) == len(firsts)


def _look(monkeypatch: pytest.MonkeyPatch, bits: np.ndarray) -> None:
    """Photograph `i.jpg` has the hash `bits[i]`."""
    packed = np.packbits(bits, axis=1)
    monkeypatch.setattr(
        duplicates, "hashes", lambda paths, progress: packed[[int(path.stem) for path in paths]]
    )


def test_near_duplicates_of_near_duplicates_stay_together_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a line of photographs, each a few bits from the next, every close pair has to meet,
    # whatever the order in which they come.
    random = np.random.default_rng(0)
    bits = np.zeros((30, 256), np.uint8)
    for number in range(30):
        bits[number, : 6 * (number % 15)] = 1
    bits[15:] ^= random.integers(0, 2, 256, np.uint8)
    order = random.permutation(30)
    rows = [Row(f"{i}.jpg", "benign") for i in order]
    _look(monkeypatch, bits)
    numbers = _groups(_table(*rows))
    for i, j in zip(*np.triu_indices(30, 1), strict=True):
        near = (bits[order[i]] != bits[order[j]]).sum() <= NEAR_BITS
        assert numbers[i] == numbers[j] or not near
    assert len(set(numbers)) == 2


def test_many_near_duplicates_of_different_patients_enter_the_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = _drawn(0, 90, "patient_id")
    rows = tuple(replace(row, image=f"{i}.jpg") for i, row in enumerate(drawn.rows))
    bits = np.random.default_rng(0).integers(0, 2, (len(rows), 256)).astype(np.uint8)
    bits[-12:] = bits[:12]
    _look(monkeypatch, bits)
    found = split(replace(drawn, rows=rows), 0.15, 0.2, 0)
    names = _names(found.table)
    assert names[-12:] == names[:12]
    assert "and by near-duplicates between them" in found.how
    assert all(len(where) == 1 for where in _splits_of(found.table, "patient_id").values())
    for name, share in (("val", 0.15), ("test", 0.2)):
        assert names.count(name) / len(names) == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_near_duplicates_of_two_patients_end_in_one_split_and_nobody_else_moves(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = _drawn(seed, 90, "patient_id")
    table = replace(
        drawn, rows=tuple(replace(row, image=f"{i}.jpg") for i, row in enumerate(drawn.rows))
    )
    bits = np.random.default_rng(seed).integers(0, 2, (len(table.rows), 256)).astype(np.uint8)
    _look(monkeypatch, bits)
    alone = split(table, 0.15, 0.2, seed)
    assert "moved" not in alone.how
    places = _names(alone.table)
    first, second = places.index("test"), places.index("train")
    bits[second] = bits[first]
    _look(monkeypatch, bits)
    joined = split(table, 0.15, 0.2, seed)
    assert joined.table.rows[first].split == joined.table.rows[second].split
    assert all(len(where) == 1 for where in _splits_of(joined.table, "patient_id").values())
    patients = {table.rows[first].patient_id, table.rows[second].patient_id}
    assert "moved beside a near-duplicate" in joined.how
    assert all(
        before.split == after.split
        for before, after in zip(alone.table.rows, joined.table.rows, strict=True)
        if before.patient_id not in patients
    )


def _given(*names: str) -> Table:
    """Three patients for each class in each of these splits."""
    return _table(
        *(
            Row(f"{s}{c}{i}.jpg", c, patient_id=f"{s}{c}{i}", split=s)
            for s in names
            for c in ("benign", "malignant")
            for i in range(3)
        )
    )


def test_complete_split_column_is_kept() -> None:
    table = _given(*SPLITS)
    kept = split(table, 0.15, 0.2, 0)
    assert kept.table == table
    assert kept.how == "as given by the table"


@pytest.mark.parametrize("names", [("train", "val"), ("", "train", "test"), ("fold1", "fold2")])
def test_incomplete_split_column_is_drawn_anew(names: tuple[str, ...]) -> None:
    found = split(_given(*names), 0.2, 0.2, 0)
    assert set(_names(found.table)) == set(SPLITS)
    assert found.how.startswith("drawn by patient")


def test_resplit_ignores_the_column_even_where_a_patient_is_torn() -> None:
    table = _given(*SPLITS)
    torn = replace(table, rows=(*table.rows, replace(table.rows[0], image="x.jpg", split="test")))
    found = split(torn, 0.2, 0.2, 0, anew=True).table
    assert all(len(where) == 1 for where in _splits_of(found, "patient_id").values())


@pytest.mark.parametrize("names", [SPLITS, ("train", "val")], ids=["complete", "incomplete"])
def test_patient_in_two_given_splits_is_refused(names: tuple[str, ...]) -> None:
    table = _given(*names)
    torn = replace(table, rows=(*table.rows, replace(table.rows[0], image="x.jpg", split="val")))
    with pytest.raises(TableError, match=r"same patient in two splits.*trainbenign0.*--resplit"):
        split(torn, 0.15, 0.2, 0)


def test_lesion_in_two_given_splits_is_refused() -> None:
    rows = [replace(row, patient_id="", lesion_id=row.patient_id) for row in _given(*SPLITS).rows]
    torn = [*rows, replace(rows[0], image="x.jpg", split="test")]
    with pytest.raises(TableError, match="same lesion in two splits"):
        split(_table(*torn), 0.15, 0.2, 0)


def test_given_split_without_one_of_the_classes_is_refused() -> None:
    rows = [r for r in _given(*SPLITS).rows if (r.split, r.label) != ("test", "malignant")]
    with pytest.raises(TableError, match="split test has no photograph of malignant"):
        split(_table(*rows), 0.15, 0.2, 0)


@pytest.mark.parametrize("patients", [1, 2])
def test_too_few_groups_of_a_class_are_refused(patients: int) -> None:
    malignant = [Row(f"m{i}.jpg", "malignant", patient_id=f"M{i % patients}") for i in range(6)]
    benign = [Row(f"b{i}.jpg", "benign", patient_id=f"B{i}") for i in range(30)]
    with pytest.raises(TableError, match="too few patients, lesions or photographs"):
        split(_table(*malignant, *benign), 0.15, 0.2, 0)


@pytest.mark.parametrize("fault", ["text", "cut off", "far too large"])
def test_unreadable_photograph_is_named(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "odd.png"
    if fault == "text":
        path.write_text("not a picture")
    else:
        ok, data = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (64, 64, 3)))
        assert ok
        content = data.tobytes()[:2000]
        if fault == "far too large":  # a header that promises 20,000 x 20,000 pixels
            side = (20_000).to_bytes(4, "big")
            head = b"IHDR" + side + side + content[24:29]
            content = content[:12] + head + zlib.crc32(head).to_bytes(4, "big") + content[33:]
        path.write_bytes(content)
    with pytest.raises(TableError, match=r"odd\.png can't be read"):
        near_pairs(_table(Row("odd.png", "benign"), root=tmp_path))


def test_no_lesion_of_the_real_photographs_lies_in_two_splits(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tables.read(real_data / "isic2017")
    pairs = near_pairs(table)
    assert 1 <= len(pairs) < 20
    monkeypatch.setattr(splitting, "near_pairs", lambda table, progress: pairs)  # look once
    found = split(table, 0.15, 0.2, 1)  # a seed whose draw alone tears a near-duplicate pair
    lesions = _splits_of(found.table, "lesion_id")
    lesions.pop("")
    assert len(lesions) > 100
    assert all(len(where) == 1 for where in lesions.values())
    assert all(found.table.rows[i].split == found.table.rows[j].split for i, j, _ in pairs)
    names = _names(found.table)
    assert names.count("val") / len(names) == pytest.approx(0.15, abs=0.03)
    assert names.count("test") / len(names) == pytest.approx(0.2, abs=0.03)
    assert "near-duplicate (1342 photographs)" in found.how
    assert "lesion (579 photographs)" in found.how
    assert ", 1 moved beside a near-duplicate" in found.how


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 150),
    limit=st.integers(0, 40),
    spread=st.floats(0.0, 0.5),
)
@settings(max_examples=40)
def test_near_pairs_are_those_that_comparing_bit_by_bit_finds(
    seed: int, count: int, limit: int, spread: float
) -> None:
    random = np.random.default_rng(seed)
    centres = random.integers(0, 2, (5, 256))
    bits = centres[random.integers(0, 5, count)] ^ (random.random((count, 256)) < spread * 0.2)
    packed = np.packbits(bits.astype(np.uint8), axis=1).reshape(count, 32)
    found = {tuple(int(n) for n in pair) for pair in duplicates.near_pairs(packed, limit)}
    distance = (bits[:, None] != bits[None]).sum(axis=2)
    expected = {
        (i, j, int(distance[i, j]))
        for i in range(count)
        for j in range(i + 1, count)
        if distance[i, j] <= limit
    }
    assert found == expected


def test_bits_are_counted_alike_with_an_older_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.default_rng(0).integers(0, 2**63, (50, 7), np.uint64)
    expected = [[int(word).bit_count() for word in row] for row in words]
    assert duplicates._ones(words).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert duplicates._ones(words).tolist() == expected
