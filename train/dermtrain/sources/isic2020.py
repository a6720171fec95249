"""ISIC 2020 (SIIM-ISIC) challenge: melanoma or not, with patients."""

from dermtrain.sources.source import Source, flag_in, text_in

ISIC_2020 = Source(
    name="isic2020",
    title="SIIM-ISIC 2020 challenge, training part",
    columns=frozenset({"image_name", "patient_id", "benign_malignant", "target"}),
    image="image_name",
    diagnosis=text_in("diagnosis"),
    malignancy=flag_in("target"),
    malignant=frozenset({"melanoma"}),
    choices=(
        "Malignant is target = 1, which is melanoma and nothing else: other cancers are not in "
        "the set.",
        "Most benign photographs name no diagnosis (unknown). They count as benign, but are left "
        "out where the label is the diagnosis.",
        "The set is known to hold several hundred duplicates (its own duplicates table lists "
        "them); kit data check finds such pairs, and the kit's own split keeps them together.",
    ),
    licence="CC-BY-NC-4.0",
    citation=(
        "Rotemberg V, Kurtansky N, Betz-Stablein B, et al. A patient-centric dataset of images and "
        "metadata for identifying melanomas using clinical context. Scientific Data 8, 34, 2021. "
        "doi:10.34970/2020-ds01"
    ),
    attributes={
        "sex": ("sex",),
        "age": ("age_approx",),
        "site": ("anatom_site_general_challenge",),
    },
    patient="patient_id",
    lesion="lesion_id",
)
