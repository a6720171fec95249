"""`kit explain`, from a run and a photograph to everything that is shown of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermedge import image
from dermedge.contract import Contract
from dermedge.errors import InputError, TableError
from dermedge.image import RGB
from dermedge.prepare import view
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermtrain.explain import activations, check, filters, maps, mosaic, neighbours, slices
from dermtrain.explain.activations import Stage
from dermtrain.explain.check import Check
from dermtrain.explain.neighbours import Neighbour
from dermtrain.explain.subject import Subject, judged
from dermtrain.run import Run


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be shown.

    Attributes:
        stages: Rows of the mosaic, conv1 to conv5.
        gradient: The stage at whose end Grad-CAM is taken.
        similar: Number of similar training photographs; 0 leaves them out.
        deletion: Number of test photographs of the deletion check; 0 leaves it out.
        images: Folder of the run's photographs, if they have moved.
    """

    stages: tuple[str, ...] = activations.STAGES
    gradient: str = "conv4"
    similar: int = 6
    deletion: int = 20
    images: Path | None = None

    def check(self) -> None:
        """Refuse what can't be meant.

        Raises:
            InputError: An unknown stage, or a negative number.
        """
        unknown = [s for s in (*self.stages, self.gradient) if s not in activations.STAGES]
        if unknown or not self.stages:
            raise InputError(
                f"stages are {', '.join(activations.STAGES)}; found {', '.join(unknown) or 'none'}"
            )
        if min(self.similar, self.deletion) < 0:
            raise InputError("a number of photographs is 0 or more")


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is shown of one photograph.

    Attributes:
        terms: The model's contract.
        subject: The photograph and what the model says of it.
        stages: The strongest channels of each stage that was asked for.
        blocks: The same of each block, for the animation.
        filters: The first layer's filters, uint8 (filters, height, width, 3), in the order shown.
        numbers: Their numbers in the layer.
        evidence: The class-activation map of the target against the rest, logits.
        gradient: Grad-CAM.
        layer: Where Grad-CAM was taken.
        similar: The most similar training photographs.
        pictures: Those photographs, as the model sees them.
        check: The deletion check.
        left_out: Parts that are missing, each with the reason.
    """

    terms: Contract
    subject: Subject
    stages: tuple[Stage, ...]
    blocks: tuple[Stage, ...]
    filters: npt.NDArray[np.uint8]
    numbers: tuple[int, ...]
    evidence: maps.Map
    gradient: maps.Map
    layer: str
    similar: tuple[Neighbour, ...]
    pictures: tuple[RGB, ...]
    check: Check | None
    left_out: tuple[str, ...]


def explain(run: Run, path: Path, wanted: Wanted, progress: Progress = silent) -> Explanation:
    """Look at one photograph with a run's model.

    The training photographs' embedding and the deletion check are kept in the run folder, one file
    each, and reused while the weights and the settings stay. Parts that need the run's photographs
    are left out, with the reason, where these have moved.

    Raises:
        InputError: `wanted` can't be meant.
        ImageError: The photograph can't be read.
        BundleError: The run's weights are not its own.
        TableError: The folder given as `wanted.images` does not hold the run's photographs.
    """
    wanted.check()
    model, terms = run.model(), run.contract
    subject = judged(model, terms, path)
    last = activations.last_layers(model)
    chosen = [last[s] for s in activations.STAGES if s in wanted.stages]
    layer = last[wanted.gradient]
    table, left_out = _photographs(run, wanted)
    known, pictures = _similar(run, model, subject, table, wanted.similar, progress)
    pictured = filters.first_layer(model)
    order = filters.by_colour(pictured)
    return Explanation(
        terms=terms,
        subject=subject,
        stages=activations.look(model, chosen, subject.batch, mosaic.CHANNELS),
        blocks=activations.look(
            model, activations.slice_layers(model), subject.batch, slices.CHANNELS
        ),
        filters=filters.as_pictures(pictured[order]),
        numbers=tuple(int(number) for number in order),
        evidence=maps.evidence_map(subject.maps, subject.target),
        gradient=maps.grad_cam(model, layer, subject.batch, subject.target),
        layer=layer,
        similar=known,
        pictures=pictures,
        check=_checked(run, model, table, layer, wanted.deletion, progress),
        left_out=left_out,
    )


def _photographs(run: Run, wanted: Wanted) -> tuple[Table | None, tuple[str, ...]]:
    """The run's photographs, or why the parts that need them are left out."""
    if not (wanted.similar or wanted.deletion):
        return None, ()
    try:
        return run.table(None, wanted.images), ()
    except TableError as error:
        if wanted.images is not None:
            raise
        reason = f"{error}. Give their folder: --images"
        return None, (f"similar photographs and deletion check left out: {reason}",)


def _similar(
    run: Run,
    model: keras.Model,
    subject: Subject,
    table: Table | None,
    count: int,
    progress: Progress,
) -> tuple[tuple[Neighbour, ...], tuple[RGB, ...]]:
    if table is None or not count:
        return (), ()
    spec, part = run.contract.input, table.part("train")
    cache = run.folder / f"embedding-{run.contract.model.sha256[:16]}.npz"
    known = neighbours.of_table(model, part, spec, cache, progress)
    query = neighbours.embed(neighbours.embedder(model), subject.batch)[0]
    found = neighbours.nearest(known, query, count)
    return found, tuple(view(image.read(table.root / n.image), spec).pixels for n in found)


def _checked(
    run: Run,
    model: keras.Model,
    table: Table | None,
    layer: str,
    count: int,
    progress: Progress,
) -> Check | None:
    if table is None or not count:
        return None
    path = run.folder / f"deletion-{run.contract.model.sha256[:16]}.json"
    settings = check.settings(layer, count)
    found = check.load(path, settings)
    if found is None:
        part = table.part("test")
        found = check.run(model, run.contract, part, layer, count, progress=progress)
        check.save(found, path, settings)
    return found
