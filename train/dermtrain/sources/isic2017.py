"""ISIC 2017 challenge, part 3: melanoma, seborrheic keratosis, else nevus."""

from dermtrain.sources.source import Companion, Source, one_hot

ISIC_2017 = Source(
    name="isic2017",
    title="ISIC 2017 challenge, part 3: lesion classification",
    columns=frozenset({"image_id", "melanoma", "seborrheic_keratosis"}),
    image="image_id",
    diagnosis=one_hot(
        {"melanoma": "melanoma", "seborrheic_keratosis": "seborrheic_keratosis"}, "nevus"
    ),
    malignant=frozenset({"melanoma"}),
    choices=(
        "Malignant is melanoma, the only cancer in the set. A photograph that is neither melanoma "
        "nor seborrheic keratosis is a nevus: the challenge has these three and no others.",
        "The set names neither patients nor lesions, though some photographs show the same lesion; "
        "the kit keeps near-duplicates together, which does not find every such pair.",
    ),
    licence="CC0-1.0",
    citation=(
        "Codella NCF, Gutman D, Celebi ME, et al. Skin lesion analysis toward melanoma detection: "
        "a challenge at the 2017 International Symposium on Biomedical Imaging (ISBI), hosted by "
        "the International Skin Imaging Collaboration (ISIC). arXiv:1710.05006, 2017"
    ),
    attributes={"sex": ("sex",), "age": ("age_approximate",)},
    companions=(
        Companion("age and sex", frozenset({"image_id", "age_approximate", "sex"}), "image_id"),
    ),
    official_splits=True,
)
