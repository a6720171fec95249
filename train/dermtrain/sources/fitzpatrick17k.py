"""Fitzpatrick17k: clinical photographs of 114 conditions, with skin types."""

from dermtrain.sources.source import BENIGN, FITZPATRICK, MALIGNANT, Record, Source, known, text_in

_PARTITION = {"malignant": MALIGNANT, "benign": BENIGN, "non-neoplastic": BENIGN}


def _malignancy(record: Record) -> str:
    partition = known(record.get("three_partition_label")).lower()
    if partition and partition not in _PARTITION:
        raise ValueError(f"three_partition_label is {partition!r}; known: {', '.join(_PARTITION)}")
    return _PARTITION.get(partition, "")


def _left_out(record: Record) -> str:
    return "marked as wrongly labelled" if record.get("qc", "").strip().startswith("3") else ""


FITZPATRICK_17K = Source(
    name="fitzpatrick17k",
    title="Fitzpatrick17k",
    columns=frozenset({"md5hash", "fitzpatrick_scale", "label", "three_partition_label"}),
    image="md5hash",
    diagnosis=text_in("label"),
    malignancy=_malignancy,
    left_out=_left_out,
    malignant=frozenset(),
    choices=(
        "Malignant is what three_partition_label calls malignant. Its authors put actinic "
        "keratosis there, unlike PAD-UFES-20 and ISIC 2019: a premalignant lesion counts as "
        "malignant in this set. To decide otherwise, name the diagnoses with --malignant.",
        "Non-neoplastic conditions (inflammations and the like) count as benign.",
        "Photographs that the authors' quality control marks as wrongly labelled (qc begins "
        "with 3) are left out.",
        "Skin tone is fitzpatrick_scale, else fitzpatrick_centaur; -1 is unknown. Annotators saw "
        "the photograph only.",
        "The set names neither patients nor lesions and is known to hold near-duplicates; the kit "
        "keeps them together as far as it finds them.",
    ),
    licence="CC-BY-NC-SA-3.0",
    citation=(
        "Groh M, Harris C, Soenksen L, et al. Evaluating deep neural networks trained on clinical "
        "images in dermatology with the Fitzpatrick 17k dataset. CVPR Workshops, 2021. "
        "arXiv:2104.09957"
    ),
    attributes={
        "skin_tone": ("fitzpatrick_scale", "fitzpatrick_centaur"),
        "partition": ("nine_partition_label",),
    },
    words={"skin_tone": FITZPATRICK},
)
