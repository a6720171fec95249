"""Public data sets as they come: recognised, labelled as stated, grouped, and read back."""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge import table as tables
from dermedge.errors import TableError
from dermedge.table import Table
from dermtrain import importing, photographs, sources
from dermtrain.importing import Imported, Wish, gather, write
from dermtrain.sources.source import FITZPATRICK, code_in, flag_in, known, one_hot, slug


def _csv(path: Path, text: str) -> Path:
    """Write lines of which the indentation is not meant."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")
    return path


def _pictures(folder: Path, *names: str) -> Path:
    """A small picture under each name, each of another colour."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8, 3), 5 * number, np.uint8))
    return folder


def _import(path: Path | list[Path], images: Path | None, **wish: object) -> Imported:
    paths = path if isinstance(path, list) else [path]
    return gather(paths, images, Wish(**wish))  # type: ignore[arg-type]


def _labels(imported: Imported) -> dict[str, str]:
    return {Path(row.image).stem: row.label for row in imported.rows}


def _diagnoses(imported: Imported) -> dict[str, str]:
    return {Path(row.image).stem: row.diagnosis for row in imported.rows}


@pytest.fixture
def four(tmp_path: Path) -> Path:
    return _pictures(tmp_path / "images", *(f"ISIC_000000{i}.jpg" for i in range(4)))


def test_isic_2016_has_no_header(tmp_path: Path, four: Path) -> None:
    train = _csv(
        tmp_path / "ISBI2016_ISIC_Part3_Training_GroundTruth.csv",
        "ISIC_0000000,benign\nISIC_0000001,malignant",
    )
    found = _import(train, four)
    assert found.data.source.name == "isic2016"
    assert _labels(found) == {"ISIC_0000000": "benign", "ISIC_0000001": "malignant"}
    # The test part says the same in numbers; given together, the files' names are the splits.
    test = _csv(
        tmp_path / "ISBI2016_ISIC_Part3_Test_GroundTruth.csv", "ISIC_0000002,0.0\nISIC_0000003,1.0"
    )
    both = _import([train, test], four)
    assert [(row.label, row.split) for row in both.rows] == [
        ("benign", "train"),
        ("malignant", "train"),
        ("benign", "test"),
        ("malignant", "test"),
    ]
    with pytest.raises(TableError, match=r"no diagnosis is known.*--label"):
        _import(train, four, label="diagnosis")


def test_isic_2017_what_is_neither_is_a_nevus_and_metadata_add_age_and_sex(
    tmp_path: Path, four: Path
) -> None:
    truth = _csv(
        tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv",
        """image_id,melanoma,seborrheic_keratosis
        ISIC_0000000,0.0,0.0
        ISIC_0000001,1.0,0.0
        ISIC_0000002,0.0,1.0""",
    )
    alone = _import(truth, four)
    assert alone.data.source.name == "isic2017"
    assert alone.data.lacking == ("age and sex",)
    assert list(_diagnoses(alone).values()) == ["nevus", "melanoma", "seborrheic_keratosis"]
    assert list(_labels(alone).values()) == ["benign", "malignant", "benign"]
    metadata = _csv(
        tmp_path / "ISIC-2017_Training_Data_metadata.csv",
        """image_id,age_approximate,sex
        ISIC_0000000,55,female
        ISIC_0000001,unknown,male""",
    )
    both = _import([metadata, truth], four)
    assert both.data.lacking == ()
    assert [dict(row.attributes) for row in both.rows] == [
        {"age": "55", "sex": "female", "source": "isic2017"},
        {"sex": "male", "source": "isic2017"},
        {"source": "isic2017"},
    ]


def test_isic_2018_seven_classes_and_lesion_groupings(tmp_path: Path) -> None:
    codes = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    lines = [",".join(("image", *codes))]
    for i in range(7):
        lines.append(f"ISIC_{i:07d}," + ",".join("1.0" if i == j else "0.0" for j in range(7)))
    truth = _csv(tmp_path / "truth.csv", "\n".join(lines))
    groups = _csv(
        tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv",
        """image,lesion_id,diagnosis_confirm_type
        ISIC_0000000,HAM_0000550,histopathology
        ISIC_0000001,HAM_0000550,single image expert consensus""",
    )
    images = _pictures(tmp_path / "images", *(f"ISIC_{i:07d}.jpg" for i in range(7)))
    found = _import([truth, groups], images)
    assert found.data.source.name == "isic2018"
    assert [row.diagnosis for row in found.rows] == [
        "melanoma",
        "nevus",
        "basal_cell_carcinoma",
        "actinic_keratosis_or_bowen",
        "benign_keratosis",
        "dermatofibroma",
        "vascular_lesion",
    ]
    malignant = [row.label == "malignant" for row in found.rows]
    assert malignant == [True, False, True, True, False, False, False]
    assert [row.lesion_id for row in found.rows] == ["HAM_0000550"] * 2 + [""] * 5
    assert found.rows[0].attributes["confirmed"] == "histopathology"
    # Whoever decides otherwise on actinic keratosis names what counts.
    other = _import(truth, images, malignant=("melanoma", "Basal cell carcinoma"))
    assert [row.label for row in other.rows].count("malignant") == 2
    seven = _import(truth, images, label="diagnosis")
    assert len({row.label for row in seven.rows}) == 7


def test_isic_2019_actinic_keratosis_is_not_malignant_and_unknown_is_left_out(
    tmp_path: Path, four: Path
) -> None:
    truth = _csv(
        tmp_path / "ISIC_2019_Training_GroundTruth.csv",
        """image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK
        ISIC_0000000,0.0,0.0,0.0,1.0,0.0,0.0,0.0,0.0,0.0
        ISIC_0000001,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,0.0
        ISIC_0000002,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0""",
    )
    metadata = _csv(
        tmp_path / "ISIC_2019_Training_Metadata.csv",
        """image,age_approx,anatom_site_general,lesion_id,sex
        ISIC_0000000,55.0,anterior torso,BCN_0000003,female
        ISIC_0000001,,,,""",
    )
    found = _import([truth, metadata], four)
    assert found.data.source.name == "isic2019"
    assert list(_labels(found).values()) == ["benign", "malignant"]
    assert list(_diagnoses(found).values()) == ["actinic_keratosis", "squamous_cell_carcinoma"]
    assert found.left_out == {"the malignancy is not known": 1}
    first, second = found.rows
    assert first.lesion_id == "BCN_0000003"
    assert dict(first.attributes) == {
        "age": "55",
        "site": "anterior torso",
        "sex": "female",
        "source": "isic2019",
    }
    assert dict(second.attributes) == {"source": "isic2019"}


@pytest.mark.parametrize("version", [1, 2])
def test_isic_2020_benign_photographs_may_name_no_diagnosis(
    version: int, tmp_path: Path, four: Path
) -> None:
    lesion = ("lesion_id,", "IL_7972535,", "IL_1,", "IL_2,") if version == 2 else ("",) * 4
    table = _csv(
        tmp_path / "train.csv",
        f"""image_name,patient_id,{lesion[0]}sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target
        ISIC_0000000,IP_7279968,{lesion[1]}male,45.0,head/neck,unknown,benign,0
        ISIC_0000001,IP_7279968,{lesion[2]}female,50.0,,melanoma,malignant,1
        ISIC_0000002,IP_3075186,{lesion[3]}female,50.0,torso,nevus,benign,0""",
    )
    found = _import(table, four)
    assert found.data.source.name == "isic2020"
    assert list(_labels(found).values()) == ["benign", "malignant", "benign"]
    assert [row.patient_id for row in found.rows] == ["IP_7279968"] * 2 + ["IP_3075186"]
    assert found.rows[0].lesion_id == ("IL_7972535" if version == 2 else "")
    assert found.rows[0].diagnosis == ""
    by_name = _import(table, four, label="diagnosis")
    assert by_name.left_out == {"the diagnosis is not known": 1}


def test_ham10000_photographs_may_lie_in_parts(tmp_path: Path) -> None:
    table = _csv(
        tmp_path / "HAM10000_metadata.csv",
        """lesion_id,image_id,dx,dx_type,age,sex,localization,dataset
        HAM_0000118,ISIC_0027419,bkl,histo,80.0,male,scalp,vidir_modern
        HAM_0000118,ISIC_0025030,bkl,histo,80.0,male,scalp,vidir_modern
        HAM_0002730,ISIC_0026769,akiec,histo,0.0,unknown,unknown,rosendahl""",
    )
    images = _pictures(
        tmp_path,
        "HAM10000_images_part_1/ISIC_0025030.jpg",
        "HAM10000_images_part_1/ISIC_0026769.jpg",
        "HAM10000_images_part_2/ISIC_0027419.jpg",
    )
    found = _import(table, images)
    assert found.data.source.name == "ham10000"
    assert [row.image for row in found.rows] == [
        "HAM10000_images_part_2/ISIC_0027419.jpg",
        "HAM10000_images_part_1/ISIC_0025030.jpg",
        "HAM10000_images_part_1/ISIC_0026769.jpg",
    ]
    assert [row.label for row in found.rows] == ["benign", "benign", "malignant"]
    assert [row.lesion_id for row in found.rows] == ["HAM_0000118", "HAM_0000118", "HAM_0002730"]
    assert dict(found.rows[2].attributes) == {
        "age": "0",
        "confirmed": "histo",
        "collection": "rosendahl",
        "source": "ham10000",
    }


_PAD = (
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,"
    "skin_cancer_history,cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,"
    "diameter_1,diameter_2,diagnostic,itch,grew,hurt,changed,bleed,elevation,img_id,biopsed"
)


def test_pad_ufes_20_with_its_own_spelling_and_lesions_that_repeat(tmp_path: Path) -> None:
    table = _csv(
        tmp_path / "metadata.csv",
        f"""{_PAD}
        PAT_771,1491,True,True,ITALY,ITALY,69,False,MALE,False,True,True,True,3.0,FACE,6.0,3.0,BCC,True,UNK,False,UNK,False,True,PAT_771_1491_390.png,True
        PAT_1516,1765,,,,,8,,,,,,,,ARM,,,NEV,False,False,False,False,False,False,PAT_1516_1765_530.png,False
        PAT_2,1765,,,,,8,,FEMALE,,,,,1.0,ARM,,,ACK,False,False,False,False,False,False,PAT_2_1765_1.png,False""",
    )
    # The photographs may have been saved anew under another ending.
    images = _pictures(
        tmp_path, "a/PAT_771_1491_390.jpg", "b/PAT_1516_1765_530.png", "b/PAT_2_1765_1.png"
    )
    found = _import(table, images)
    assert found.data.source.name == "pad-ufes-20"
    assert list(_labels(found).values()) == ["malignant", "benign", "benign"]
    assert dict(found.rows[0].attributes) == {
        "sex": "male",
        "age": "69",
        "site": "face",
        "skin_tone": "III",
        "biopsied": "yes",
        "source": "pad-ufes-20",
    }
    assert dict(found.rows[1].attributes) == {
        "age": "8",
        "site": "arm",
        "biopsied": "no",
        "source": "pad-ufes-20",
    }
    assert {(row.patient_id, row.lesion_id) for row in found.rows} == {
        ("PAT_771", "1491"),
        ("PAT_1516", "1765"),
        ("PAT_2", "1765"),
    }


def test_fitzpatrick17k_says_malignancy_itself_and_wrong_labels_are_left_out(
    tmp_path: Path,
) -> None:
    table = _csv(
        tmp_path / "fitzpatrick17k.csv",
        """md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url,url_alphanum
        5e82a45b,3,3,drug induced pigmentary changes,inflammatory,non-neoplastic,,https://x.example/1.jpg,x1.jpg
        b0923367,5,3,actinic keratosis,malignant epidermal,malignant,1 Diagnostic,https://x.example/2.jpg,x2.jpg
        9bc21ae9,-1,2,dermatofibroma,benign dermal,benign,,https://x.example/3.jpg,x3.jpg
        a0000000,-1,-1,lipoma,benign dermal,benign,3 Wrongly labelled,https://x.example/4.jpg,x4.jpg""",
    )
    images = _pictures(tmp_path, "5e82a45b.jpg", "b0923367.jpg", "9bc21ae9.jpg")
    found = _import(table, images)
    assert found.data.source.name == "fitzpatrick17k"
    assert [row.label for row in found.rows] == ["benign", "malignant", "benign"]
    assert [row.attributes.get("skin_tone") for row in found.rows] == ["III", "V", "II"]
    assert found.left_out == {"marked as wrongly labelled": 1}
    other = _import(table, images, malignant=("dermatofibroma",))
    assert [row.label for row in other.rows] == ["benign", "benign", "malignant"]


def test_ddi_with_pairs_of_skin_types(tmp_path: Path) -> None:
    table = _csv(
        tmp_path / "ddi_metadata.csv",
        """,DDI_ID,DDI_file,skin_tone,malignant,disease
        0,1,000001.png,56,TRUE,melanoma-in-situ
        4,5,000005.png,12,True,basal-cell-carcinoma
        263,264,000264.png,34,FALSE,actinic-keratosis""",
    )
    images = _pictures(tmp_path / "images", "000001.png", "000005.png", "000264.png")
    found = _import(table, images)
    assert found.data.source.name == "ddi"
    assert [row.label for row in found.rows] == ["malignant", "malignant", "benign"]
    assert [row.attributes["skin_tone"] for row in found.rows] == ["V-VI", "I-II", "III-IV"]
    assert found.rows[2].diagnosis == "actinic_keratosis"


def test_isic_archive_indeterminate_lesions_are_neither_and_each_keeps_its_licence(
    tmp_path: Path, four: Path
) -> None:
    table = _csv(
        tmp_path / "metadata.csv",
        """isic_id,attribution,copyright_license,age_approx,diagnosis_1,diagnosis_3,lesion_id,sex
        ISIC_0000000,Clinic A,CC-0,55,Benign,Nevus,IL_1,female
        ISIC_0000001,Clinic B,CC-BY,30,Malignant,"Melanoma, NOS",IL_2,male
        ISIC_0000002,Clinic B,CC-BY-NC,70,Indeterminate,Solar or actinic keratosis,IL_3,male""",
    )
    found = _import(table, four)
    assert found.data.source.name == "isic-archive"
    assert [(row.label, row.licence) for row in found.rows] == [
        ("benign", "CC0-1.0"),
        ("malignant", "CC-BY-4.0"),
    ]
    assert found.left_out == {"the malignancy is not known": 1}
    assert _diagnoses(found)["ISIC_0000001"] == "melanoma_nos"
    counted = _import(table, four, malignant=("melanoma_nos", "Solar or actinic keratosis"))
    assert [row.label for row in counted.rows] == ["benign", "malignant", "malignant"]


def test_class_folders(tmp_path: Path) -> None:
    _pictures(tmp_path, "Melanoma/a.jpg", "Spitz nevus/b.jpg", "Spitz nevus/c.jpg")
    found = _import(tmp_path, None)
    assert found.data.source.name == "class-folders"
    assert _labels(found) == {"a": "malignant", "b": "benign", "c": "benign"}
    named = _import(tmp_path, None, label="diagnosis")
    assert _labels(named) == {"a": "melanoma", "b": "spitz_nevus", "c": "spitz_nevus"}


def test_class_folders_of_other_things_ask_what_counts(tmp_path: Path) -> None:
    _pictures(tmp_path, "cat/a.jpg", "dog/b.jpg")
    with pytest.raises(TableError, match=r"only one class \(benign\).*cat, dog.*--malignant"):
        _import(tmp_path, None)
    assert set(_labels(_import(tmp_path, None, label="diagnosis")).values()) == {"cat", "dog"}
    with pytest.raises(TableError, match=r"--malignant names bird, .*it has cat, dog"):
        _import(tmp_path, None, malignant=("bird",))


def test_a_folder_of_tables_reads_those_that_belong_together(tmp_path: Path, four: Path) -> None:
    _csv(tmp_path / "t" / "notes.csv", "a,b\n1,2")
    for part, number in (("Training", 0), ("Validation", 1), ("Test_v2", 2)):
        _csv(
            tmp_path / "t" / f"ISIC-2017_{part}_Part3_GroundTruth.csv",
            f"image_id,melanoma,seborrheic_keratosis\nISIC_000000{number},{number % 2}.0,0.0",
        )
    found = _import(tmp_path / "t", four)
    assert {Path(row.image).stem: row.split for row in found.rows} == {
        "ISIC_0000000": "train",
        "ISIC_0000001": "val",
        "ISIC_0000002": "test",
    }


def test_every_source_is_told_from_every_other_and_states_its_choices() -> None:
    for source in sources.SOURCES:
        assert sources.recognised(source.columns) is source
        assert sources.named(source.name) is source
        assert source.choices
        assert any("malignant" in choice.lower() for choice in source.choices)
        assert source.licence
        assert source.citation
        for companion in source.companions:
            assert sources.recognised(companion.columns) is None
    with pytest.raises(TableError, match="known: isic2016"):
        sources.named("isic2015")


def test_missing_photographs_are_listed_or_skipped(tmp_path: Path, four: Path) -> None:
    lines = "\n".join(f"ISIC_{i:07d},{'malignant' if i % 2 else 'benign'}" for i in range(12))
    table = _csv(tmp_path / "truth.csv", lines)
    match = r"8 of 12 photographs are not in .*: ISIC_0000004, .* and 3 more.*--skip-missing"
    with pytest.raises(TableError, match=match):
        _import(table, four)
    found = _import(table, four, skip_missing=True)
    assert len(found.rows) == 4
    assert found.left_out == {"the photograph is not there": 8}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "no known data set has the columns a, b; known: isic2016"),
        ("image_id,melanoma,seborrheic_keratosis\nx,0\n", "1 lines do not have the 3 cells"),
        ("image_id,melanoma,seborrheic_keratosis\nISIC_0000000,2,0\n", "melanoma is '2', expected"),
        ("image_id,melanoma,seborrheic_keratosis\nISIC_0000000,nan,0\n", "melanoma is 'nan'"),
        ("image_id,melanoma,seborrheic_keratosis\nISIC_0000000,1,1\n", "two classes at once"),
        ("lesion_id,image_id,dx,dx_type\nL,ISIC_0000000,xyz,histo\n", "dx is 'xyz'; known: mel"),
        ("ISIC_0000000,benign\nISIC_0000001,maybe\n", "'maybe'; expected malignant or benign"),
        ("ISIC_0000000,benign\nISIC_0000000,malignant\n", "contradict each other"),
        ("ISIC_0000000,benign\n", r"only one class \(benign\)"),
    ],
)
def test_tables_that_can_not_be_right_are_refused(
    text: str, message: str, tmp_path: Path, four: Path
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        _import(path, four)


def test_a_table_that_does_not_belong_is_named(tmp_path: Path, four: Path) -> None:
    ham = _csv(tmp_path / "ham.csv", "lesion_id,image_id,dx,dx_type\nL,ISIC_0000000,mel,histo")
    other = _csv(tmp_path / "other.csv", "a,b,c\n1,2,3")
    truth = _csv(tmp_path / "truth.csv", "ISIC_0000000,benign")
    with pytest.raises(TableError, match=r"other\.csv is not a table of ham10000"):
        _import([ham, other], four)
    with pytest.raises(TableError, match="several data sets: ham10000, isic2016"):
        _import([ham, truth], four)
    with pytest.raises(TableError, match=r"ham\.csv is not a table of ddi"):
        gather([ham], four, Wish(), "ddi")


def test_two_different_photographs_of_one_name_are_refused_and_two_copies_are_not(
    tmp_path: Path,
) -> None:
    root = _pictures(tmp_path, "part_1/x.jpg", "part_2/x.jpg", "part_2/y.jpg")
    found = photographs.beneath(root)
    assert found.find("y") == "part_2/y.jpg"
    with pytest.raises(TableError, match=r"several photographs named x: part_1/x\.jpg and part_2"):
        found.find("x")
    (root / "part_2/x.jpg").write_bytes((root / "part_1/x.jpg").read_bytes())
    assert photographs.beneath(root).find("x.png") == "part_1/x.jpg"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "../images/x.jpg", "", ".", ".."])
def test_a_name_in_a_table_never_leads_outside(name: str, tmp_path: Path) -> None:
    _pictures(tmp_path, "outside.jpg", "images/x.jpg")
    assert photographs.beneath(tmp_path / "images").find(name) == ""


def test_what_was_written_is_read_back_and_the_photographs_are_found(
    tmp_path: Path, four: Path
) -> None:
    table = _csv(
        tmp_path / "train.csv",
        """image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target
        ISIC_0000000,IP_7279968,male,45.0,head/neck,unknown,benign,0
        ISIC_0000001,IP_7279968,female,50.0,,melanoma,malignant,1""",
    )
    found = _import(table, four)
    written = write(found, tmp_path / "out")
    read = tables.read(tmp_path / "out")
    assert read.rows == found.rows
    assert tables.read(written).rows == found.rows
    assert all(read.path(row).is_file() for row in read.rows)
    assert not list((tmp_path / "out").rglob("*.jpg"))
    story = (tmp_path / "out" / "SOURCE.md").read_text()
    assert "CC-BY-NC-4.0: 2" in story
    assert "1 patients, 0 lesions" in story
    assert "Malignant is target = 1" in story
    # Beside the photographs, the table needs no word on where they are.
    write(found, four)
    assert not (four / "images.txt").exists()
    assert tables.read(four).rows == found.rows


def test_real_pad_ufes_20_photographs_get_the_same_labels_from_the_published_columns(
    real_data: Path, tmp_path: Path
) -> None:
    given_table: Table = tables.read(real_data / "pad-ufes-20")
    columns = ["patient_id", "lesion_id", "fitspatrick", "diagnostic", "img_id", "biopsed"]
    path = tmp_path / "metadata.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        for row in given_table.rows:
            name = Path(row.image).stem + ".png"
            writer.writerow([row.patient_id, row.lesion_id, "", row.diagnosis, name, ""])
    found = _import(path, real_data / "pad-ufes-20")
    assert [(r.image, r.label, r.patient_id, r.lesion_id, r.licence) for r in found.rows] == [
        (r.image, r.label, r.patient_id, r.lesion_id, r.licence) for r in given_table.rows
    ]


@given(st.text(max_size=30))
def test_slugs_are_safe_names_and_stay_as_they_are(text: str) -> None:
    found = slug(text)
    assert slug(found) == found
    assert not set(found) - set("abcdefghijklmnopqrstuvwxyz0123456789_")


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_one_hot_gives_the_one_column_above_a_half_or_none(shares: list[float]) -> None:
    read = one_hot({"A": "a", "B": "b", "C": "c"}, "none")
    record = dict(zip("ABC", map(str, shares), strict=True))
    above = [name for name, share in zip("abc", shares, strict=True) if share > 0.5]
    if len(above) > 1:
        with pytest.raises(ValueError, match="two classes"):
            read(record)
    else:
        assert read(record) == (above[0] if above else "none")


@given(st.text(max_size=12))
@settings(max_examples=200)
def test_readers_of_codes_and_flags_answer_or_name_the_odd_value(text: str) -> None:
    for read, words in (
        (code_in("dx", {"mel": "melanoma"}), {"mel"}),
        (flag_in("dx"), {"0", "0.0", "false", "benign", "1", "1.0", "true", "malignant"}),
    ):
        given_word = known(text)
        if (
            not given_word
            or given_word in words
            or (len(words) > 1 and given_word.lower() in words)
        ):
            assert read({"dx": text}) in ("", "melanoma", "malignant", "benign")
        else:
            with pytest.raises(ValueError, match="dx is"):
                read({"dx": text})


def test_skin_types_are_the_six_of_fitzpatrick() -> None:
    assert [FITZPATRICK[str(i)] for i in range(1, 7)] == ["I", "II", "III", "IV", "V", "VI"]


def test_commands_import_nothing_heavy() -> None:
    heavy = "{'numpy', 'cv2', 'scipy', 'PIL', 'imagehash', 'requests', 'tensorflow', 'isic_cli'}"
    code = f"import sys, dermtrain.cli_data; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_labels_must_be_one_of_two(four: Path) -> None:
    with pytest.raises(TableError, match="malignancy or diagnosis, got 'kind'"):
        gather([four], None, Wish("kind"))
    assert importing.LABELS == ("malignancy", "diagnosis")
