"""DDI, Diverse Dermatology Images: biopsied lesions on all skin tones."""

from dermtrain.sources.source import Source, flag_in, text_in

DDI = Source(
    name="ddi",
    title="DDI: Diverse Dermatology Images",
    columns=frozenset({"DDI_file", "skin_tone", "malignant", "disease"}),
    image="DDI_file",
    diagnosis=text_in("disease"),
    malignancy=flag_in("malignant"),
    malignant=frozenset(),
    choices=(
        "Malignant is what the column malignant says, decided by the authors from the biopsy. "
        "They count actinic keratosis as benign.",
        "Skin tone is one of three pairs of Fitzpatrick types: 12 is I-II, 34 is III-IV, 56 is "
        "V-VI.",
        "The table names neither patients nor lesions.",
    ),
    licence="Stanford University Dataset Research Use Agreement (not for commercial use)",
    citation=(
        "Daneshjou R, Vodrahalli K, Novoa RA, et al. Disparities in dermatology AI performance on "
        "a diverse, curated clinical image set. Science Advances 8, eabq6147, 2022"
    ),
    attributes={"skin_tone": ("skin_tone",)},
    words={"skin_tone": {"12": "I-II", "34": "III-IV", "56": "V-VI"}},
)
