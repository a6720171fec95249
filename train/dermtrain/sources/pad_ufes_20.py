"""PAD-UFES-20: photographs by smartphone, six diagnoses, with patients and skin types."""

from dermtrain.sources.source import FITZPATRICK, Source, code_in

PAD_UFES_20 = Source(
    name="pad-ufes-20",
    title="PAD-UFES-20",
    # `fitspatrick` is how the table spells it.
    columns=frozenset({"patient_id", "lesion_id", "fitspatrick", "diagnostic", "img_id"}),
    image="img_id",
    diagnosis=code_in(
        "diagnostic",
        {
            "ACK": "actinic_keratosis",
            "BCC": "basal_cell_carcinoma",
            "MEL": "melanoma",
            "NEV": "nevus",
            "SCC": "squamous_cell_carcinoma",
            "BOD": "squamous_cell_carcinoma",
            "SEK": "seborrheic_keratosis",
        },
    ),
    malignant=frozenset({"basal_cell_carcinoma", "squamous_cell_carcinoma", "melanoma"}),
    choices=(
        "Malignant are basal cell carcinoma, squamous cell carcinoma (the authors count Bowen's "
        "disease among it) and melanoma, as the authors do. Actinic keratosis is premalignant and "
        "does not count as malignant here, because squamous cell carcinoma has a class of its own; "
        "to count it, give --malignant with actinic_keratosis among the names.",
        "Cancers are proven by biopsy; many of the others were diagnosed by looking alone, so the "
        "attribute biopsied goes with the label.",
        "Lesion numbers repeat from patient to patient; the kit groups by patient.",
    ),
    licence="CC-BY-4.0",
    citation=(
        "Pacheco AGC, Lima GR, Salomao AS, et al. PAD-UFES-20: a skin lesion dataset composed of "
        "patient data and clinical images collected from smartphones. Data in Brief 32, 106221, "
        "2020. doi:10.17632/zr7vgbcyr2.1"
    ),
    attributes={
        "sex": ("gender",),
        "age": ("age",),
        "site": ("region",),
        "skin_tone": ("fitspatrick",),
        "biopsied": ("biopsed",),
    },
    words={"skin_tone": FITZPATRICK, "biopsied": {"true": "yes", "false": "no"}},
    patient="patient_id",
    lesion="lesion_id",
)
