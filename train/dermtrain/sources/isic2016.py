"""ISIC 2016 challenge, part 3: a table without a header, photograph and malignancy."""

from dermtrain.sources.source import Source, flag_in, unnamed

# The names that the reader gives to the two columns of a table without a header.
HEADLESS = ("headless image", "headless malignancy")

ISIC_2016 = Source(
    name="isic2016",
    title="ISIC 2016 challenge, part 3: lesion classification",
    columns=frozenset(HEADLESS),
    image=HEADLESS[0],
    diagnosis=unnamed,
    malignancy=flag_in(HEADLESS[1]),
    malignant=frozenset(),
    choices=(
        "Malignant is what the challenge calls malignant; nearly all of it is melanoma, and no "
        "other name is given. The training table says benign or malignant, the test table 0 or 1.",
        "The set names neither patients nor lesions; the kit keeps near-duplicates together.",
    ),
    licence="CC0-1.0",
    citation=(
        "Gutman D, Codella NCF, Celebi E, et al. Skin lesion analysis toward melanoma detection: "
        "a challenge at ISBI 2016, hosted by the International Skin Imaging Collaboration. "
        "arXiv:1605.01397, 2016"
    ),
    official_splits=True,
)
