"""An explanation -> its pictures, `explain.json` and one self-contained page."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dermedge import __version__, atomic, page
from dermedge.intervals import Interval
from dermtrain.explain import mosaic, panels, plot, sheet, slices
from dermtrain.explain.check import CENTRE, CHANCE, GRADIENT, MAP, ORDERS
from dermtrain.explain.maps import evidence
from dermtrain.explain.sheet import Picture
from dermtrain.explain.story import Explanation
from dermtrain.explain.subject import target_name

STAGES, SLICES, FILTERS = "stages.png", "slices.webp", "filters.png"
CAM, SIMILAR, PAGE, FIGURES = "cam.png", "similar.png", "explain.html", "explain.json"
MADE_UP = "made-up pictures"


def write(found: Explanation, folder: Path) -> Path:
    """Write every picture, the figures and the page, each whole or not at all.

    Args:
        found: The explanation.
        folder: Made if absent; files of the same names are replaced, and a picture that this
            explanation lacks is removed, lest it stay from an earlier one.

    Returns:
        The page's path.

    Raises:
        MissingError: jinja2 or matplotlib is not installed.
        StorageError: The folder can't be written.
    """
    page.require_installed()
    pictures = draw(found)
    moving = slices.animate(found.subject.shown, found.blocks, _made_up(found))
    text = render(found, pictures, moving)
    for name, picture in pictures.items():
        sheet.save(picture, folder / name)
    if SIMILAR not in pictures:
        (folder / SIMILAR).unlink(missing_ok=True)
    atomic.write_bytes(folder / SLICES, moving)
    atomic.write_text(folder / FIGURES, json.dumps(as_dict(found), indent=2) + "\n")
    atomic.write_text(folder / PAGE, text)
    return folder / PAGE


def draw(found: Explanation) -> dict[str, Picture]:
    """Every still picture, by the name of its file."""
    subject, made_up = found.subject, _made_up(found)
    target = target_name(found.terms, subject.target)
    pictures = {
        STAGES: mosaic.stages(subject.shown, subject.name, found.stages, made_up),
        CAM: panels.evidence(
            subject.shown,
            verdict(found),
            f"{subject.name}. {_rule(found)} {made_up}".strip(),
            target,
            found.evidence,
            found.gradient,
            found.layer,
        ),
        FILTERS: panels.filters(found.filters, range(len(found.filters))),
    }
    if found.similar:
        positive = [label.name for label in found.terms.labels if label.positive]
        pictures[SIMILAR] = panels.similar(
            subject.shown, subject.name, found.similar, found.pictures, positive, made_up
        )
    return pictures


def verdict(found: Explanation) -> str:
    """`refer: probability of malignant 0.63`."""
    judgement = found.subject.judgement
    target = target_name(found.terms, found.subject.target)
    return f"{judgement.decision}: probability of {target} {judgement.probability:.2f}"


def as_dict(found: Explanation) -> dict[str, Any]:
    """What `explain.json` holds."""
    subject, terms = found.subject, found.terms
    names = [label.name for label in terms.labels]
    return {
        "image": subject.name,
        "decision": subject.judgement.decision,
        "probability": subject.judgement.probability,
        "probabilities": dict(zip(names, subject.probabilities.tolist(), strict=True)),
        "logits": dict(zip(names, subject.logits.tolist(), strict=True)),
        "threshold": terms.decision.threshold,
        "chosen_for": terms.decision.chosen_for,
        "uncertain_band": list(terms.decision.uncertain_band),
        "quality": subject.quality.verdict,
        "target": [names[i] for i in subject.target],
        "log_odds": evidence(subject.logits, subject.target),
        "class_activation_map": found.evidence.tolist(),
        "grad_cam": {"layer": found.layer, "map": found.gradient.tolist()},
        "stages": [
            {
                "stage": stage.name,
                "layer": stage.layer,
                "window": stage.field,
                "channels": stage.channels.tolist(),
            }
            for stage in found.stages
        ],
        "filters": list(found.numbers),
        "similar": [asdict(neighbour) for neighbour in found.similar],
        "deletion": _deletion(found),
        "left_out": list(found.left_out),
        "made_up": terms.provenance.made_up,
        "weights_sha256": terms.model.sha256,
        "notice": terms.notice,
        "dermkit": __version__,
    }


def render(found: Explanation, pictures: dict[str, Picture], moving: bytes) -> str:
    """The page's HTML; it asks for no other file and no network."""
    from markupsafe import Markup

    target = target_name(found.terms, found.subject.target)
    made_up = _made_up(found)
    checked = found.check
    return page.render(
        "explain.html.j2",
        "dermtrain",
        made_up=made_up,
        found=found,
        subject=found.subject,
        terms=found.terms,
        target=target,
        verdict=verdict(found),
        rule=_rule(found),
        log_odds=evidence(found.subject.logits, found.subject.target),
        two=len(found.terms.labels) == 2,
        images={name: _data_uri(picture) for name, picture in pictures.items()},
        moving=f"data:image/webp;base64,{base64.b64encode(moving).decode()}",
        plot="" if checked is None else Markup(plot.deletion(checked, target, made_up)),
        deletion=_deletion(found),
        sentence="" if checked is None else _sentence(found),
        orders=ORDERS,
        version=__version__,
    )


def _deletion(found: Explanation) -> dict[str, Any] | None:
    """Figures of the deletion check."""
    checked = found.check
    if checked is None:
        return None
    return {
        "photographs": len(checked.found),
        "positives": _positives(found),
        "area": {name: checked.area(name) for name in ORDERS},
        "minus_random": {
            name: _plain(checked.against(name, CHANCE)) for name in (MAP, GRADIENT, CENTRE)
        },
        "minus_centre": {name: _plain(checked.against(name, CENTRE)) for name in (MAP, GRADIENT)},
        "mean_curves": {name: checked.mean(name).tolist() for name in ORDERS},
        "each": [
            {"image": c.image, "label": c.label, **{name: c.area(name) for name in ORDERS}}
            for c in checked.found
        ],
    }


def _sentence(found: Explanation) -> str:
    """What the check says, also where it says that the map is no better than chance."""
    checked = found.check
    if checked is None:
        return ""
    chance, centre = checked.against(MAP, CHANCE), checked.against(MAP, CENTRE)
    n = len(checked.found)
    if math.isnan(chance.low):
        return f"{n} photograph is too few to tell."
    if chance.high < 0:
        first = (
            "Taking away what the class-activation map points at lowers the probability sooner "
            "than random order does: the model does use these places."
        )
    elif chance.low > 0:
        first = (
            "Taking away what the class-activation map points at lowers the probability later "
            "than random order does: of this model, the map misleads."
        )
    else:
        first = (
            "The order of the class-activation map does not differ from random order beyond "
            "chance: of this model, do not read much into the map."
        )
    if centre.high < 0:
        return f"{first} It does so sooner than going from the centre outwards, too."
    if centre.low > 0:
        return (
            f"{first} But going from the centre outwards does so still sooner: what the map knows "
            "is mostly that a lesion lies in the middle."
        )
    return (
        f"{first} It does not differ beyond chance from going from the centre outwards, which "
        "knows nothing of the photograph but where one aims."
    )


def _positives(found: Explanation) -> int:
    positive = {label.name for label in found.terms.labels if label.positive}
    return 0 if found.check is None else sum(c.label in positive for c in found.check.found)


def _plain(interval: Interval) -> dict[str, float | str | None]:
    """An interval for JSON, which has no NaN."""
    values = asdict(interval)
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def _rule(found: Explanation) -> str:
    """The frozen rule, in words."""
    decision, quality = found.terms.decision, found.subject.quality
    low, high = decision.uncertain_band
    chosen = decision.chosen_for.replace(">=", " at least ")
    words = f"Threshold {decision.threshold:.2f} ({chosen}); uncertain from "
    return f"{words}{low:.2f} to {high:.2f}. Quality: {quality.verdict}."


def _made_up(found: Explanation) -> str:
    return MADE_UP if found.terms.provenance.made_up else ""


def _data_uri(picture: Picture) -> str:
    """A picture inside the page: WebP, a tenth of the PNG's size and alike to the eye."""
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=88, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
