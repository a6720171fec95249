import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermedge import table
from dermedge.errors import TableError
from dermedge.table import Row, Table

GOOD = "image,label,split\na.jpg,benign,train\nb.jpg,malignant,test\n"
# Spaces around a value are not part of it; a name with a line break is no name.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)
values = texts.map(str.strip)
rows = st.builds(
    Row,
    image=values.filter(bool),
    label=values.filter(bool),
    diagnosis=values,
    patient_id=values,
    lesion_id=values,
    split=st.sampled_from(["", *table.SPLITS]),
    licence=values,
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    return tmp_path


def write(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(source: Path, reason: str) -> None:
    with pytest.raises(TableError, match=reason) as told:
        table.read(source)
    assert told.value.exit_code == 4


@given(st.lists(rows, max_size=5))
def test_what_was_written_is_read_back(written: list[Row]):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        table.write(written, path)
        assert list(table.read_rows(path)) == written


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "ignore")))
def test_any_file_is_a_table_or_a_table_error(data: bytes):
    with tempfile.TemporaryDirectory() as folder:
        for start in (b"", b"image,label\n"):
            path = write(Path(folder), start + data)
            try:
                table.read(path)
            except TableError as error:
                assert str(path) in str(error) or folder in str(error)  # noqa: PT017


def test_a_table_is_read_from_its_file_or_from_its_folder(photos: Path):
    path = write(photos, GOOD)
    for source in (path, photos):
        found = table.read(source)
        assert [row.image for row in found.rows] == ["a.jpg", "b.jpg"]
        assert found.classes == ("benign", "malignant")
        assert found.path(found.rows[0]) == photos / "a.jpg"


def test_the_photographs_may_lie_elsewhere(photos: Path, tmp_path_factory: pytest.TempPathFactory):
    path = write(tmp_path_factory.mktemp("tables"), GOOD)
    found = table.read(path, photos)
    assert found.path(found.rows[1]) == photos / "b.jpg"
    refused(path, "2 photographs are not in .*: a.jpg, b.jpg")


def test_other_names_of_columns_and_splits_are_understood(photos: Path):
    write(photos, "\ufeffimage, label ,group,split\na.jpg, x ,p1,Training\nb.jpg,y,p2,validation\n")
    first, second = table.read(photos).rows
    assert first == Row("a.jpg", "x", patient_id="p1", split="train")
    assert second == Row("b.jpg", "y", patient_id="p2", split="val")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "column image and label is missing"),
        ("label,split\nx,train\n", "column image is missing; found: label, split"),
        ("image,diagnosis\na.jpg,x\n", "column label is missing"),
        ("image,label,label\na.jpg,x,y\n", "more than one column for label"),
        ("image,label,group,patient_id\na.jpg,x,1,2\n", "more than one column for patient_id"),
        ("image,label\n", "has no rows"),
        ("image,label\na.jpg,x\nb.jpg,\n", "image or label is empty: row 3"),
        ("image,label\na.jpg,x\n,y\n", "image or label is empty: row 3"),
        ("image,label\na.jpg,x\nb.jpg\n", "image or label is empty: row 3"),
        ("image,label\na.jpg,x\nb.jpg,x\n", r"only one class \(x\)"),
        ("image,label\na.jpg,x\nb.jpg,y\na.jpg,x\n", "duplicate rows for a.jpg"),
        ("image,label\na.jpg,x\n./a.jpg,y\n", "duplicate rows for a.jpg"),
        ("image,label\na.jpg,x\n../x.jpg,y\n", r"lead outside .*: \.\./x\.jpg"),
        ("image,label\na.jpg,x\nsub/../../x.jpg,y\n", "lead outside"),
        ("image,label\na.jpg,x\n/etc/passwd,y\n", "lead outside .*: /etc/passwd"),
        ("image,label\na.jpg,x\nabsent.jpg,y\n", "1 photographs are not in .*: absent.jpg"),
        ("image,label\na.jpg,x\nb\0.jpg,y\n", "not in|not a CSV"),
        (b"image,label\na.jpg,gutartig\nb.jpg,b\xf6sartig\n", "not a CSV table in UTF-8"),
        (b"\xff\xfei\0m\0a\0g\0e\0", "not a CSV table in UTF-8"),
        (f"image,label\na.jpg,{'x' * 200_000}\n", "not a CSV table"),
    ],
)
def test_a_bad_table_is_refused_with_the_reason(photos: Path, text: str | bytes, reason: str):
    refused(write(photos, text), reason)


def test_many_faults_are_cut_short(photos: Path):
    lines = "".join(f"absent{i}.jpg,{i % 2}\n" for i in range(1000))
    with pytest.raises(TableError, match=r"1000 photographs .* and 995 more") as told:
        table.read(write(photos, f"image,label\n{lines}"))
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("name", ["absent", "absent.csv"])
def test_a_source_that_is_not_there_is_refused(tmp_path: Path, name: str):
    refused(tmp_path / name, "no such file or folder")


def test_an_empty_folder_is_no_table(tmp_path: Path):
    refused(tmp_path, "expected a labels.csv, or one folder of photographs for each class")


def test_names_that_begin_with_dots_are_inside(photos: Path):
    (photos / "..a.jpg").touch()
    write(photos, "image,label\n..a.jpg,x\nb.jpg,y\n")
    assert len(table.read(photos).rows) == 2


def test_class_folders_are_a_table(tmp_path: Path):
    for name in ("mole/a.jpg", "mole/deep/b.png", "wart/c.jpg", "loose.jpg", "mole/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = table.read(tmp_path)
    assert found.rows == (
        Row("mole/a.jpg", "mole"),
        Row("mole/deep/b.png", "mole"),
        Row("wart/c.jpg", "wart"),
    )


def test_one_class_folder_is_not_enough(tmp_path: Path):
    (tmp_path / "mole").mkdir()
    (tmp_path / "mole" / "a.jpg").touch()
    refused(tmp_path, r"only one class \(mole\)")


def test_a_folder_of_unlabelled_photographs_is_searched_whatever_its_folders_mean(tmp_path: Path):
    for name in ("mole/a.jpg", "mole/deep/b.png", "loose.JPG", ".hidden/c.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = table.read_unlabelled(tmp_path)
    assert found.rows == tuple(Row(n, "") for n in ("loose.JPG", "mole/a.jpg", "mole/deep/b.png"))
    assert found.root == tmp_path


def test_a_list_of_unlabelled_photographs_needs_their_names_only(photos: Path):
    plain = table.read_unlabelled(write(photos, "image\na.jpg\nb.jpg\n", "list.csv"))
    assert plain.rows == (Row("a.jpg", ""), Row("b.jpg", ""))
    full = table.read_unlabelled(write(photos, "image,label,group\na.jpg,benign,p1\nb.jpg,,\n"))
    assert full.rows == (Row("a.jpg", "", patient_id="p1"), Row("b.jpg", ""))  # labels are not read


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("label\nx\n", "column image is missing; found: label"),
        ("image\n", "has no rows"),
        ("image,group\na.jpg,1\n,2\n", "image is empty: row 3"),
        ("image\na.jpg\n./a.jpg\n", "duplicate rows for a.jpg"),
        ("image\n../x.jpg\n", "lead outside"),
        ("image\nabsent.jpg\n", "1 photographs are not in"),
    ],
)
def test_a_bad_list_of_unlabelled_photographs_is_refused(photos: Path, text: str, reason: str):
    with pytest.raises(TableError, match=reason):
        table.read_unlabelled(write(photos, text))


@pytest.mark.parametrize(("name", "reason"), [("absent", "no such file"), ("", "no photographs")])
def test_a_folder_without_photographs_is_refused(tmp_path: Path, name: str, reason: str):
    with pytest.raises(TableError, match=reason):
        table.read_unlabelled(tmp_path / name)


def test_a_part_keeps_the_rows_of_its_split(photos: Path):
    found = table.read(write(photos, GOOD))
    assert found.part("all") is found
    assert [row.image for row in found.part("test").rows] == ["b.jpg"]
    assert found.part("test").root == found.root


def test_a_part_may_be_of_several_splits(photos: Path):
    write(photos, "image,label,split\na.jpg,x,test\nb.jpg,y,train\nc.jpg,y,val\n")
    found = table.read(photos)
    assert [row.image for row in found.part("val+test").rows] == ["a.jpg", "c.jpg"]


@pytest.mark.parametrize("split", ["val", "tset", "", "val+test"])
def test_a_part_without_rows_names_those_that_there_are(photos: Path, split: str):
    found = table.read(write(photos, GOOD))
    with pytest.raises(TableError, match="its splits: test, train"):
        found.part(split)


def test_a_table_without_splits_is_taken_whole_only_where_that_is_asked(photos: Path):
    plain = table.read(write(photos, "image,label\na.jpg,x\nb.jpg,y\n"))
    assert plain.part_or_all("test") is plain
    with pytest.raises(TableError, match=r"its splits: \(empty\)"):
        plain.part("test")
    parted = table.read(write(photos, GOOD))
    assert len(parted.part_or_all("test").rows) == 1
    with pytest.raises(TableError, match="no rows in split 'val'"):
        parted.part_or_all("val")


def of(*found: Row) -> Table:
    return Table(Path("labels.csv"), Path(), found)


def test_the_same_patient_in_two_splits_is_refused():
    torn = of(
        Row("a", "x", patient_id="p1", split="train"), Row("b", "y", patient_id="p1", split="test")
    )
    with pytest.raises(TableError, match=r"same patient in two splits.*p1 \(test, train\)"):
        table.check_splits(torn, "patient")
    table.check_splits(torn, "lesion")


def test_the_same_lesion_in_two_splits_is_refused():
    torn = of(
        Row("a", "x", lesion_id="7", split="train"), Row("b", "y", lesion_id="7", split="val")
    )
    with pytest.raises(TableError, match=r"same lesion in two splits.*7 \(train, val\)"):
        table.check_splits(torn, "lesion")


def test_lesion_numbers_may_repeat_from_patient_to_patient():
    found = of(
        Row("a", "x", patient_id="p1", lesion_id="1", split="train"),
        Row("b", "y", patient_id="p2", lesion_id="1", split="test"),
    )
    table.check_splits(found, "lesion")
    table.check_splits(found, "patient")


def test_unknown_patients_and_rows_without_a_split_are_nobodys():
    found = of(
        Row("a", "x", split="train"),
        Row("b", "y", split="test"),
        Row("c", "x", patient_id="p1", split="train"),
        Row("d", "y", patient_id="p1"),
    )
    table.check_splits(found, "patient")


def test_a_run_folder_brings_its_own_split_and_knows_where_its_photographs_lie(
    photos: Path, tmp_path_factory: pytest.TempPathFactory
):
    run = tmp_path_factory.mktemp("run")
    write(run, GOOD, "split.csv")
    write(run, f"{photos}\n", "images.txt")
    found = table.read(run)
    assert (found.source, found.root) == (run / "split.csv", photos)
    assert len(found.part("test").rows) == 1


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (b"/not/there/any/more\n", "lay in /not/there/any/more: not there"),
        (b"\xff\xfe\xfa", "does not say where its photographs lie"),
        (None, "does not say where its photographs lie"),
    ],
)
def test_a_run_whose_photographs_have_moved_takes_their_new_folder(
    photos: Path, tmp_path_factory: pytest.TempPathFactory, images: bytes | None, reason: str
):
    run = tmp_path_factory.mktemp("run")
    write(run, GOOD, "split.csv")
    if images is not None:
        write(run, images, "images.txt")
    refused(run, reason)
    assert table.read(run, photos).root == photos


@pytest.mark.parametrize(("diagnosis", "made_up"), [("made-up", True), ("nevus", False)])
def test_made_up_photographs_and_licences_are_known(diagnosis: str, made_up: bool):
    found = of(Row("a", "x", diagnosis=diagnosis), Row("b", "y", licence="CC0-1.0"))
    assert found.made_up is made_up
    assert found.licences == "CC0-1.0, unknown"


def test_the_real_tables_are_read(real_data: Path):
    for name, count in (("isic2017", 1921), ("pad-ufes-20", 341)):
        found = table.read(real_data / name)
        assert len(found.rows) == count
        assert found.classes == ("benign", "malignant")
        assert not found.made_up
