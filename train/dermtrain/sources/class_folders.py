"""A folder with one folder of photographs for each class."""

from dermtrain.sources.source import MALIGNANT, Source, text_in

# The columns under which the reader hands over such a folder.
IMAGE, FOLDER = "photograph in class folder", "class folder"

CLASS_FOLDERS = Source(
    name="class-folders",
    title="Folder of class folders",
    columns=frozenset({IMAGE, FOLDER}),
    image=IMAGE,
    diagnosis=text_in(FOLDER),
    malignant=frozenset({MALIGNANT, "melanoma", "basal_cell_carcinoma", "squamous_cell_carcinoma"}),
    choices=(
        "The name of the folder is the diagnosis. Malignant are folders of the names malignant, "
        "melanoma, basal_cell_carcinoma and squamous_cell_carcinoma; give --malignant for others.",
        "Neither patients nor lesions are known; the kit keeps near-duplicates together.",
    ),
    licence="unknown",
    citation="none given",
)
