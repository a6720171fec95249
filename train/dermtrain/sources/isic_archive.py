"""The ISIC archive's own metadata table, as isic-cli and `kit data pull isic` write it."""

from dermtrain.sources.source import Record, Source, known, text_in

_GROUPS = {"malignant": "malignant", "benign": "benign", "indeterminate": ""}
# Names of licences in the archive -> SPDX.
LICENCES = {"CC-0": "CC0-1.0", "CC-BY": "CC-BY-4.0", "CC-BY-NC": "CC-BY-NC-4.0"}


def _malignancy(record: Record) -> str:
    group = known(record.get("diagnosis_1")).lower()
    if group and group not in _GROUPS:
        raise ValueError(f"diagnosis_1 is {group!r}; known: {', '.join(_GROUPS)}")
    return _GROUPS.get(group, "")


ISIC_ARCHIVE = Source(
    name="isic-archive",
    title="ISIC archive",
    columns=frozenset({"isic_id", "copyright_license", "diagnosis_1"}),
    image="isic_id",
    diagnosis=text_in("diagnosis_3", "diagnosis_2"),
    malignancy=_malignancy,
    malignant=frozenset(),
    choices=(
        "Malignant is what the archive's diagnosis_1 calls malignant.",
        "Indeterminate lesions, among which the archive puts actinic keratosis and atypical "
        "melanocytic proliferations, are neither, and are left out where the label is the "
        "malignancy; to count some of them, name the diagnoses with --malignant.",
        "Each photograph keeps its own licence. CC-BY asks to name the people in the column "
        "attribution of the metadata.",
    ),
    licence="unknown",
    citation="International Skin Imaging Collaboration, ISIC archive, isic-archive.com",
    attributes={
        "sex": ("sex",),
        "age": ("age_approx",),
        "site": ("anatom_site_general", "anatom_site_1"),
        "skin_tone": ("fitzpatrick_skin_type",),
        "confirmed": ("diagnosis_confirm_type",),
        "kind": ("image_type",),
        "attribution": ("attribution",),
    },
    patient="patient_id",
    lesion="lesion_id",
    licence_of="copyright_license",
)
