"""ISIC 2019 challenge: eight classes and unknown, one column each."""

from dermtrain.sources.ham10000 import CITATION
from dermtrain.sources.source import Companion, Source, one_hot

ISIC_2019 = Source(
    name="isic2019",
    title="ISIC 2019 challenge",
    columns=frozenset({"image", "MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"}),
    image="image",
    diagnosis=one_hot(
        {
            "MEL": "melanoma",
            "NV": "nevus",
            "BCC": "basal_cell_carcinoma",
            "AK": "actinic_keratosis",
            "BKL": "benign_keratosis",
            "DF": "dermatofibroma",
            "VASC": "vascular_lesion",
            "SCC": "squamous_cell_carcinoma",
            "UNK": "",
        }
    ),
    malignant=frozenset({"melanoma", "basal_cell_carcinoma", "squamous_cell_carcinoma"}),
    choices=(
        "Malignant are melanoma, basal cell carcinoma and squamous cell carcinoma. Actinic "
        "keratosis is premalignant and does not count as malignant here, because squamous cell "
        "carcinoma has a class of its own beside it. The photographs that come from HAM10000 had "
        "Bowen's disease, a carcinoma in situ, in one class with it; to count them all, give "
        "--malignant with actinic_keratosis among the names.",
        "UNK (none of the eight) occurs in the test part only; it names no diagnosis and may be "
        "malignant or not, so these photographs are left out.",
        "Lesions come from the metadata table of the training part; the test part has none.",
    ),
    licence="CC-BY-NC-4.0",
    citation=(
        f"{CITATION}; Codella NCF, et al. arXiv:1710.05006, 2017; Hernandez-Perez C, Combalia M, "
        "Podlipnik S, et al. BCN20000: dermoscopic lesions in the wild. Scientific Data 11, 641, "
        "2024"
    ),
    attributes={"sex": ("sex",), "age": ("age_approx",), "site": ("anatom_site_general",)},
    lesion="lesion_id",
    companions=(Companion("lesion, age, sex and site", frozenset({"image", "age_approx", "sex"})),),
    official_splits=True,
)
