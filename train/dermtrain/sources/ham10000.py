"""HAM10000: seven classes of pigmented lesions, with lesions, age, sex and site."""

from dermtrain.sources.source import Source, code_in

NAMES = {
    "mel": "melanoma",
    "nv": "nevus",
    "bcc": "basal_cell_carcinoma",
    "akiec": "actinic_keratosis_or_bowen",
    "bkl": "benign_keratosis",
    "df": "dermatofibroma",
    "vasc": "vascular_lesion",
}
AKIEC_CHOICE = (
    "Malignant are melanoma, basal cell carcinoma and akiec. That class mixes actinic keratosis, "
    "which is premalignant, with Bowen's disease, which is a carcinoma in situ, and the table does "
    "not tell them apart; it counts as malignant, because missing a carcinoma weighs more than "
    "referring a keratosis. To decide otherwise, give --malignant melanoma,basal_cell_carcinoma."
)
CITATION = (
    "Tschandl P, Rosendahl C, Kittler H. The HAM10000 dataset, a large collection of multi-source "
    "dermatoscopic images of common pigmented skin lesions. Scientific Data 5, 180161, 2018"
)

HAM10000 = Source(
    name="ham10000",
    title="HAM10000",
    columns=frozenset({"lesion_id", "image_id", "dx", "dx_type"}),
    image="image_id",
    diagnosis=code_in("dx", NAMES),
    malignant=frozenset({"melanoma", "basal_cell_carcinoma", "actinic_keratosis_or_bowen"}),
    choices=(
        AKIEC_CHOICE,
        "Many lesions are photographed several times: they share a lesion_id and stay together.",
    ),
    licence="CC-BY-NC-4.0",
    citation=f"{CITATION}. doi:10.7910/DVN/DBW86T",
    attributes={
        "sex": ("sex",),
        "age": ("age",),
        "site": ("localization",),
        "confirmed": ("dx_type",),
        "collection": ("dataset",),
    },
    lesion="lesion_id",
)
