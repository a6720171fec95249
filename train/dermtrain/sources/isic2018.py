"""ISIC 2018 challenge, task 3: seven classes, one column each (the photographs of HAM10000)."""

from dermtrain.sources.ham10000 import AKIEC_CHOICE, CITATION, NAMES
from dermtrain.sources.source import Companion, Source, one_hot

ISIC_2018 = Source(
    name="isic2018",
    title="ISIC 2018 challenge, task 3: lesion diagnosis",
    columns=frozenset({"image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"}),
    image="image",
    diagnosis=one_hot({code.upper(): name for code, name in NAMES.items()}),
    malignant=frozenset({"melanoma", "basal_cell_carcinoma", "actinic_keratosis_or_bowen"}),
    choices=(
        AKIEC_CHOICE,
        "Lesions come from the lesion groupings, which are published for the training part only.",
    ),
    licence="CC-BY-NC-4.0",
    citation=(
        "Codella N, Rotemberg V, Tschandl P, et al. Skin lesion analysis toward melanoma detection "
        "2018: a challenge hosted by the International Skin Imaging Collaboration (ISIC). "
        f"arXiv:1902.03368, 2019; and {CITATION}"
    ),
    attributes={"confirmed": ("diagnosis_confirm_type",)},
    lesion="lesion_id",
    companions=(Companion("lesions", frozenset({"image", "lesion_id", "diagnosis_confirm_type"})),),
    official_splits=True,
)
