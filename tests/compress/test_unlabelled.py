"""Photographs without labels: which of them may teach, and what the student makes of them."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tf_keras as keras

from dermcompress import answers, candidate, distill, line, workshop
from dermcompress.answers import ask
from dermcompress.distill import Course, Lesson, mimic
from dermcompress.photographs import Photographs, Source
from dermcompress.recipe import FULL, PEER, SLIM, CompressRecipe, Rung
from dermcompress.slim import Seen
from dermcompress.student import Student
from dermcompress.unlabelled import Unlabelled, choose
from dermcompress.workshop import Workshop
from dermedge import image
from dermedge.bundle import open_bundle
from dermedge.contract import Contract, Input
from dermedge.errors import ImageError, InputError
from dermedge.gate import Gate
from dermedge.prepare import prepare
from dermedge.quality import limits_from
from dermedge.table import Row, Table, read_unlabelled
from dermtrain.store import Store

SIDE = 32
SPLITS = ("train",) * 32 + ("val",) * 4 + ("test",) * 4


def drawn(seed: int) -> np.ndarray:
    """A made-up photograph, uint8 (96, 96, 3); no two of them look alike."""
    random, picture = np.random.default_rng([7, seed]), np.full((96, 96, 3), 128.0)
    for cells in (4, 8, 16, 32):
        grid = random.normal(0, 30, (cells, cells, 3))
        picture += cv2.resize(grid, (96, 96), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


def put(path: Path, picture: np.ndarray, quality: int = 95) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image.to_jpeg(picture, quality))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """40 photographs in their splits, each of a patient of its own."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = []
    for number, split in enumerate(SPLITS):
        put(folder / f"{number}.jpg", drawn(number))
        label = ("benign", "malignant")[number % 2]
        rows.append(Row(f"{number}.jpg", label, patient_id=f"p{number}", split=split))
    return Table(folder / "labels.csv", folder, tuple(rows))


def names(found: Unlabelled) -> list[str]:
    return [row.image for table in found.tables for row in table.rows]


# Which of them


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_copy_of_a_held_out_photograph_is_left_out_however_it_was_saved(
    labelled: Table, tmp_path: Path, split: str
) -> None:
    number = SPLITS.index(split)
    picture = drawn(number)
    (tmp_path / "same.jpg").write_bytes((labelled.root / f"{number}.jpg").read_bytes())
    put(tmp_path / "encoded anew.jpg", picture, quality=40)
    put(tmp_path / "deep" / "smaller.jpg", cv2.resize(picture, (60, 60)), quality=80)
    cv2.imwrite(str(tmp_path / "larger.png"), cv2.resize(picture, (200, 200))[:, :, ::-1])
    put(tmp_path / "brighter.jpg", np.clip(picture * 1.1 + 5, 0, 255).astype(np.uint8))
    put(tmp_path / "new.jpg", drawn(100))
    found = choose([read_unlabelled(tmp_path)], labelled)
    assert names(found) == ["new.jpg"]
    assert (found.count, found.held_out, found.known) == (1, 5, 0)
    assert "1 to learn from; 5 left out" in str(found)


def test_what_training_or_another_one_shows_is_left_out(labelled: Table, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    put(one / "of training.jpg", cv2.resize(drawn(0), (70, 70)))
    put(one / "new.jpg", drawn(100))
    put(one / "new again.jpg", drawn(100), quality=50)
    put(other / "and again.jpg", cv2.resize(drawn(100), (128, 128)))
    put(other / "newer.jpg", drawn(101))
    found = choose([read_unlabelled(one), read_unlabelled(other)], labelled)
    assert names(found) == ["new again.jpg", "newer.jpg"]  # the first of each, by name
    assert [table.root for table in found.tables] == [one, other]
    assert (found.held_out, found.known) == (0, 3)
    assert found.as_dict() == {
        "count": 2,
        "from": ["one", "other"],
        "licence": "unknown",
        "left_out": {"held_out": 0, "known": 3},
    }


def test_another_photograph_of_a_held_out_patient_is_left_out(
    labelled: Table, tmp_path: Path
) -> None:
    held_out, trained = SPLITS.index("test"), SPLITS.index("train")
    for number in range(100, 103):
        put(tmp_path / f"{number}.jpg", drawn(number))
    listed = f"image,group\n100.jpg,p{held_out}\n101.jpg,p{trained}\n102.jpg,\n"
    (tmp_path / "more.csv").write_text(listed)
    found = choose([read_unlabelled(tmp_path / "more.csv")], labelled)
    assert names(found) == ["101.jpg", "102.jpg"]
    assert (found.held_out, found.known) == (1, 0)


def test_a_lesion_counts_within_its_patient_where_both_are_known(
    labelled: Table, tmp_path: Path
) -> None:
    rows = tuple(replace(row, lesion_id="1") for row in labelled.rows)
    (anonymous,) = (replace(rows[-1], patient_id="", lesion_id="IL_7"),)
    table = replace(labelled, rows=(*rows[:-1], anonymous))
    for number in range(100, 103):
        put(tmp_path / f"{number}.jpg", drawn(number))
    listed = "image,patient_id,lesion_id\n100.jpg,new,1\n101.jpg,other,IL_7\n102.jpg,,IL_8\n"
    (tmp_path / "more.csv").write_text(listed)
    found = choose([read_unlabelled(tmp_path / "more.csv")], table)
    assert names(found) == ["100.jpg", "102.jpg"]
    assert found.held_out == 1


def test_a_table_without_patients_leaves_out_by_the_lesion_alone(
    labelled: Table, tmp_path: Path
) -> None:
    rows = tuple(replace(row, lesion_id=f"IL_{i}") for i, row in enumerate(labelled.rows))
    held_out, trained = SPLITS.index("test"), SPLITS.index("train")
    for number in range(100, 102):
        put(tmp_path / f"{number}.jpg", drawn(number))
    listed = f"image,lesion_id\n100.jpg,IL_{held_out}\n101.jpg,IL_{trained}\n"
    (tmp_path / "more.csv").write_text(listed)
    found = choose([read_unlabelled(tmp_path / "more.csv")], replace(labelled, rows=rows))
    assert names(found) == ["101.jpg"]


def test_without_any_nothing_is_read(labelled: Table) -> None:
    found = choose([], labelled, lambda *_: pytest.fail("read"))
    assert found == Unlabelled()
    assert found.count == 0


def test_a_source_of_which_nothing_is_new_is_no_source(labelled: Table, tmp_path: Path) -> None:
    put(tmp_path / "new" / "a.jpg", drawn(100))
    put(tmp_path / "again" / "a.jpg", drawn(100))
    found = choose([read_unlabelled(tmp_path / name) for name in ("new", "again")], labelled)
    assert [table.root.name for table in found.tables] == ["new"]
    assert found.known == 1


def test_nothing_new_at_all_is_refused(labelled: Table) -> None:
    with pytest.raises(
        InputError, match=r"nothing new to learn from.*: 0 to learn from; 8 left out.*, 32 that"
    ):
        choose([read_unlabelled(labelled.root)], labelled)


def test_photographs_that_cant_be_read_are_named(labelled: Table, tmp_path: Path) -> None:
    put(tmp_path / "new.jpg", drawn(100))
    for number in range(7):
        (tmp_path / f"odd{number}.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"7 photographs: .*odd0\.png can't be read.*and 2 more"):
        choose([read_unlabelled(tmp_path)], labelled)


# What is learnt from them


@pytest.mark.tensorflow
def test_a_lesson_gives_further_photographs_as_if_all_were_one(
    teacher: Student, toys: Seen, lesson: Lesson, tmp_path: Path
) -> None:
    cut = [np.arange(40), np.arange(40, 41), np.arange(41, len(lesson))]
    parts = [
        Lesson(toys.pixels, rows, ask(teacher, toys.pixels, rows, 2, tmp_path / str(i)))
        for i, rows in enumerate(cut)
    ]
    joined = replace(parts[0], more=replace(parts[1], more=parts[2]))
    assert len(joined) == len(lesson)
    for some in ([0, 39, 40, 41, 95], [3, 7], [40], [60, 61]):
        for view in range(2):
            own, whole = (x.take(view, np.array(some), teacher.kept) for x in (joined, lesson))
            np.testing.assert_array_equal(own[0], whole[0])
            np.testing.assert_allclose(own[1], whole[1], atol=1e-5)
            for one, other in zip(own[2], whole[2], strict=True):
                np.testing.assert_allclose(one, other, atol=1e-2)


@pytest.mark.tensorflow
def test_each_epoch_shows_every_photograph_once_the_further_ones_too(
    teacher: Student, toys: Seen, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[np.ndarray] = []

    def step(*_: object) -> object:
        return lambda pixels, *_: shown.append(pixels.numpy())

    monkeypatch.setattr(distill, "_step", step)
    more = Lesson(255 - toys.pixels, lesson.rows, lesson.answers)
    told: list[tuple] = []
    course = Course(epochs=2, learning_rate=1e-3, batch=24, seed=0)
    mimic(teacher, replace(lesson, more=more), course, "", lambda *each: told.append(each))
    assert told[-1] == ("", 16, 16)
    seen = np.concatenate(shown[:8]).sum((1, 2, 3))  # mirrored or not
    every = np.concatenate([toys.pixels, 255 - toys.pixels]).astype(np.float32).sum((1, 2, 3))
    np.testing.assert_array_equal(np.sort(seen), np.sort(every))


TAUGHT = Rung("taught", FULL, distil=1)
LEARNT = Rung("learnt", FULL, export="qat")
UNTAUGHT = Rung("untaught", FULL, export="ptq")
HOW = CompressRecipe(
    "tests",
    ship=("taught",),
    work=0.6,
    rounds=1,
    photographs=16,
    views=1,
    learning_rate=1e-4,
    batch=8,
    rung=(TAUGHT, LEARNT, UNTAUGHT),
)
Open = Callable[..., Workshop]


class Told:
    """The last that was said of each stage of a workshop."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.totals: dict[str, int] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.totals[stage] = total
        if stage == "asking the teacher" and done == total:
            self.asked.append(total)


@pytest.fixture(scope="module")
def further(labelled: Table, tmp_path_factory: pytest.TempPathFactory) -> Unlabelled:
    """Eight photographs of one folder and three of another, and a copy of one of the test."""
    folder = tmp_path_factory.mktemp("further")
    for number in range(8):
        put(folder / "clinic" / f"{number}.jpg", drawn(100 + number))
    put(folder / "clinic" / "copy.jpg", drawn(SPLITS.index("test")), quality=60)
    for number in range(3):
        put(folder / "archive" / f"{number}.jpg", drawn(200 + number))
    tables = [read_unlabelled(folder / name) for name in ("clinic", "archive")]
    return choose(tables, labelled)


@pytest.fixture
def opened(learnt: keras.Model, terms: Contract, labelled: Table, tmp_path: Path) -> Open:
    """Opens a workshop of the small net; all of one test share a store."""

    def open_(further: Unlabelled, progress: Callable, how: CompressRecipe = HOW) -> Workshop:
        own = replace(terms, input=Input(SIDE, SIDE))
        source = Source(learnt, own, labelled, further)
        return Workshop(source, how, 0, Store(tmp_path / "store", 8 * 10**9), progress=progress)

    return open_


def kept(folder: Path) -> set[Path]:
    return set((folder / "store").glob("compress-*/*"))


@pytest.mark.tensorflow
def test_other_splits_or_labels_of_the_same_photographs_find_nothing_of_the_old_ones(
    learnt: keras.Model, terms: Contract, labelled: Table, tmp_path: Path
) -> None:
    def key(rows: tuple[Row, ...]) -> str:
        table = replace(labelled, rows=rows)
        source = Source(learnt, replace(terms, input=Input(SIDE, SIDE)), table)
        return Photographs(source, 8, Store(tmp_path / "store", 8 * 10**9)).key

    first, *rest = labelled.rows
    other = next(row.label for row in rest if row.label != first.label)
    split = next(row.split for row in rest if row.split != first.split)
    keys = [
        key((changed, *rest))
        for changed in (first, replace(first, label=other), replace(first, split=split))
    ]
    assert len({*keys}) == 3
    assert key(labelled.rows) == keys[0]


@pytest.mark.tensorflow
def test_a_peer_of_its_own_side_learns_and_is_found_again_as_it_was(opened: Open) -> None:
    rung, told = Rung("peer", PEER, distil=1, size=40), Told()
    first = opened(Unlabelled(), told).student(rung)
    assert told.totals["teaching peer"] == 4  # 32 photographs in batches of 8
    again = Told()
    second = opened(Unlabelled(), again).student(rung)
    assert "teaching peer" not in again.totals
    assert first.side == second.side == 40
    for one, other in zip(first.net.get_weights(), second.net.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.tensorflow
def test_the_full_model_is_asked_about_exactly_these_and_training_and_once(
    opened: Open, further: Unlabelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def asking(teacher: Student, source: np.ndarray, rows: np.ndarray, *more: object) -> object:
        seen.append(source[rows])
        return ask(teacher, source, rows, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(answers, "ask", asking)
    before, told, again = Told(), Told(), Told()
    opened(Unlabelled(), before).student(TAUGHT)
    assert before.asked == [32]
    seen.clear()
    shop = opened(further, told)
    shop.student(TAUGHT)
    assert sorted(told.asked) == [3, 8]  # what it said of training was there already
    expected = [
        prepare(image.read(table.path(row)), Input(SIDE, SIDE))[0]
        for table in (shop.source.table.part("train"), *further.tables)
        for row in table.rows
    ]
    order = sorted(range(3), key=lambda i: (32, 8, 3).index(len(seen[i])))
    np.testing.assert_array_equal(np.concatenate([seen[i] for i in order]), expected)
    opened(further, again).student(TAUGHT)
    assert again.asked == []


@pytest.mark.tensorflow
def test_distilling_sparsifying_and_learning_int8_see_them_and_nothing_else_does(
    opened: Open, further: Unlabelled, tmp_path: Path
) -> None:
    told, sparse = Told(), Rung("sparse", FULL, distil=1, sparsity=0.5)
    shop, without = opened(further, told), opened(Unlabelled(), Told())
    built = shop.build(sparse)
    for stage in ("teaching full", "sparsifying", "learning int8"):
        assert told.totals[stage] == (32 + 11) // 8, stage
    assert built.made["representative"] == without.photographs.chosen(SIDE).as_dict()
    terms = candidate.pack(tmp_path / "sparse.kit", sparse, built, shop, note=pytest.fail)
    found = terms.provenance.metrics
    assert (found["val"]["n"], found["test"]["n"]) == (4, 4)
    figures = without.photographs.at(SIDE).figures
    assert terms.quality == limits_from([figures[row] for row in without.photographs.train])
    assert found["made"]["unlabelled"] == {
        "count": 11,
        "from": ["clinic", "archive"],
        "licence": "unknown",
        "left_out": {"held_out": 1, "known": 0},
    }
    said = "taught it on 11 unlabelled photographs, too: clinic, archive (licence: unknown)"
    assert said in open_bundle(tmp_path / "sparse.kit").card


@pytest.mark.tensorflow
def test_what_was_learnt_is_kept_by_what_it_was_learnt_from(
    opened: Open,
    further: Unlabelled,
    labelled: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workshop, "mimic", lambda *_, **__: None)
    monkeypatch.setattr(Workshop, "_export", lambda *_: b"model")
    monkeypatch.setattr(Workshop, "_worst", lambda *_: ())

    def build(given: Unlabelled) -> dict[str, int]:
        """How many files of each rung are new; what it says of unlabelled photographs."""
        shop, new = opened(given, Told()), {}
        for rung in (TAUGHT, LEARNT, UNTAUGHT):
            before = kept(tmp_path)
            said = shop.build(rung).made["unlabelled"]
            assert said == (given.as_dict() if given.tables and HOW.learns(rung) else None)
            new[rung.name] = len(kept(tmp_path) - before)
        return new

    anew = {"taught": 3, "learnt": 2, "untaught": 0}  # net, file and notes; file and notes
    nothing = dict.fromkeys(anew, 0)
    assert build(Unlabelled()) == {**anew, "untaught": 2}
    assert build(further) == anew
    assert build(Unlabelled()) == build(further) == nothing
    folder = tmp_path / "clinic"
    for number in (100, 101):
        put(folder / f"{number}.jpg", drawn(number))
    assert build(choose([read_unlabelled(folder)], labelled)) == anew
    assert build(choose([read_unlabelled(folder)], labelled)) == nothing
    put(folder / "101.jpg", drawn(300))
    assert build(choose([read_unlabelled(folder)], labelled)) == anew
    (folder / "101.jpg").unlink()
    assert build(choose([read_unlabelled(folder)], labelled)) == anew


@pytest.mark.tensorflow
def test_interrupted_it_goes_on_with_what_was_asked_already(
    opened: Open, further: Unlabelled
) -> None:
    def stop_at(wanted: str, total: int) -> Callable:
        def progress(stage: str, _: int, whole: int) -> None:
            if (stage, whole) == (wanted, total):
                raise KeyboardInterrupt

        return progress

    for stage, total in (("asking the teacher", 8), ("teaching full", 5)):
        with pytest.raises(KeyboardInterrupt):
            opened(further, stop_at(stage, total)).student(TAUGHT)
    told = Told()
    shop = opened(further, told)
    before = shop.full.net.get_weights()
    taught = shop.student(TAUGHT)
    assert told.asked == []
    assert told.totals["teaching full"] == 5
    # It learnt as a copy: the full model itself teaches, and is what other rungs start from.
    assert all(map(np.array_equal, shop.full.net.get_weights(), before))
    assert not all(map(np.array_equal, taught.net.get_weights(), before))


@pytest.mark.tensorflow
def test_the_whole_line_says_how_many_and_packs_it(
    learnt: keras.Model,
    terms: Contract,
    labelled: Table,
    further: Unlabelled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = replace(terms, input=Input(SIDE, SIDE))
    run = SimpleNamespace(contract=own, model=lambda: learnt, table=lambda *_: labelled)
    monkeypatch.setattr(line.runs, "open_run", lambda _: run)
    half = Rung("half", FULL, distil=1, export="float16")
    how = replace(HOW, ship=("half",), rung=(half,), gate=Gate(1, 1, 1))
    given = tuple(table.root for table in further.tables)
    said: list[str] = []
    with Store(tmp_path / "store", 8 * 10**9) as store:
        what = line.Job(tmp_path, tmp_path / "out", how, unlabelled=given)
        line.compress(what, store, said.append)
    assert said[0] == str(further)
    assert said[0].startswith("unlabelled photographs: 11 to learn from; 1 left out")
    packed = open_bundle(tmp_path / "out" / line.SMALL).contract.provenance.metrics["made"]
    assert packed["unlabelled"] == further.as_dict()
    assert str(tmp_path) not in str(packed)


# What can't be used


def refused(folder: Path, *given: Path, rungs: str = "") -> str:
    """What `kit compress` says of unlabelled photographs, before it opens the run."""
    what = line.Job(folder / "run", folder / "out", HOW, rungs=rungs, unlabelled=given)
    with Store(folder / "store", 10**9) as store, pytest.raises(InputError) as error:
        line.compress(what, store, lambda _: None)
    assert error.value.exit_code == 4
    return str(error.value)


@pytest.mark.tensorflow
def test_rungs_that_learn_nothing_have_no_use_for_them(tmp_path: Path) -> None:
    put(tmp_path / "new.jpg", drawn(100))
    said = refused(tmp_path, tmp_path, rungs="untaught")
    assert "unlabelled photographs would do nothing" in said
    assert "distil, sparsity, or export qat" in said


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("absent", None, "absent: no such file or folder"),
        ("empty", "", "empty: no photographs in this folder, nor in those beneath it"),
        ("list.csv", "picture\na.jpg\n", "column image is missing; found: picture"),
        ("list.csv", "image\n", "list.csv has no rows"),
        ("list.csv", "image\n../a.jpg\n", "paths that lead outside"),
        ("list.csv", "image\ngone.jpg\n", "1 photographs are not in"),
        ("photo.jpg", "\xff\xd8", "not a CSV table|column image is missing"),
    ],
)
def test_sources_without_photographs_are_refused(
    tmp_path: Path, name: str, text: str | None, reason: str
) -> None:
    if text == "":
        (tmp_path / name).mkdir()
    elif text is not None:
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    assert re.search(reason, refused(tmp_path, tmp_path / name))


@pytest.mark.parametrize(
    ("rung", "learns"),
    [
        (TAUGHT, True),
        (UNTAUGHT, False),
        (Rung("a", FULL, export="float32"), False),
        (Rung("a", SLIM, sparsity=0.5, export="ptq"), True),
        (Rung("a", FULL, export="qat"), True),
    ],
)
def test_what_learns_is_what_the_full_model_teaches(rung: Rung, learns: bool) -> None:
    assert HOW.learns(rung) is learns
    assert replace(HOW, quantize=0).learns(replace(rung, distil=0, sparsity=0.0)) is False
