"""What a model card says under each heading of Mitchell et al. 2019, as far as it is known."""

from __future__ import annotations

from collections import Counter

from dermedge import table as tables
from dermedge.intervals import Interval
from dermedge.table import Table
from dermtrain.evaluation.checklists import NOT_DONE, UNKNOWN
from dermtrain.evaluation.robustness import TITLES
from dermtrain.evaluation.study import Study
from dermtrain.evaluation.subgroups import Attribute

Facts = tuple[tuple[str, str], ...]  # term, text


def span(found: Interval | None) -> str:
    """A figure with its interval, or that there is none."""
    if found is None:
        return "not evaluated"
    return f"{found.value:.3f} (95 % interval {found.low:.3f} to {found.high:.3f})"


def details(study: Study) -> Facts:
    """What the model is."""
    terms = study.predictions.contract
    origin, spec = terms.provenance, terms.input
    kind = {
        "run": "ResNet50 with a 1 x 1 convolution as its head, then mean over the map (Keras)",
        "bundle": f"compiled for the edge (TensorFlow Lite, {terms.model.file})",
    }[study.judge.kind]
    positive = ", ".join(label.name for label in terms.labels if label.positive) or "none"
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    return (
        ("Model", f"{kind}, {study.judge.model_bytes / 1e6:.1f} MB"),
        ("SHA-256 of the model file", terms.model.sha256),
        ("Input", f"{spec.width} x {spec.height} pixels, {spec.colour.upper()}, `{spec.resize}`"),
        ("Classes", ", ".join(label.name for label in terms.labels)),
        ("Positive classes", positive),
        ("Output", "a calibrated probability for each class, and a decision"),
        ("Started from", origin.weights or UNKNOWN),
        ("Recipe", f"{origin.recipe or UNKNOWN}, seed {origin.seed}"),
        ("Made with", versions or UNKNOWN),
        ("Date of training", UNKNOWN),
        ("Authors and contact", UNKNOWN),
        ("Licence of the weights", UNKNOWN),
    )


def use(study: Study) -> Facts:
    """What it is for, and what not."""
    return (
        ("Primary use", "research on photographs like those that the model has learnt from"),
        ("Users", "researchers and developers; not patients, and not for care"),
        (
            "Out of scope",
            "diagnosis, triage or reassurance of anyone; other cameras, skins and lesions than "
            "those that were measured here",
        ),
        ("Place in a pathway of care", f"{NOT_DONE}: none has been studied"),
    )


def factors(study: Study) -> Facts:
    """By what it was looked at, and by what not."""
    told, untold = [], []
    for attribute in study.subgroups:
        name = attribute.name.replace("_", " ")
        (untold if attribute.why else told).append(name)
    return (
        ("Evaluated by", ", ".join(told) or "nothing: the table states no attribute"),
        ("Not evaluated by", ", ".join(untold) or "nothing that is always asked for"),
        ("Instrument (camera, dermatoscope)", UNKNOWN if "source" in untold else "see source"),
        ("Corruptions of the picture", _robust(study)),
    )


def metrics(study: Study) -> Facts:
    """With which figures, thresholds and intervals."""
    terms, plan = study.predictions.contract, study.plan
    facts = [
        (
            "Uncertainty",
            f"95 % intervals: {plan.resamples} resamples of whole groups (patient, else lesion, "
            "else photograph); AUC also by DeLong 1988, shares at frozen thresholds also by "
            "Wilson 1927",
        )
    ]
    if terms.positive:
        facts = [
            ("Ranking", "AUC, PR-AUC, three partial AUCs"),
            (
                "Threshold",
                f"{terms.decision.threshold:.4f}, frozen beforehand for "
                f"{terms.decision.chosen_for}; uncertain between "
                f"{terms.decision.uncertain_band[0]:.4f} and "
                f"{terms.decision.uncertain_band[1]:.4f}",
            ),
            (
                "Probabilities",
                f"Brier, log loss, calibration error; temperature "
                f"{terms.calibration.temperature:.3f}, fitted on validation",
            ),
            (
                "Prevalence behind PPV, NPV and benefit",
                f"{study.prevalence:.4f}, "
                + ("stated by the user" if plan.prevalence else "that of these photographs"),
            ),
            *facts,
        ]
    return tuple(facts)


def evaluation_data(study: Study) -> Facts:
    """On which photographs it was measured."""
    table, plan = study.predictions.table, study.plan
    count = len(set(study.group.tolist()))
    return (
        ("Data", f"{table.source.resolve().parent.name}/{table.source.name}, split {plan.split}"),
        ("Licence", table.licences),
        ("Photographs", f"{len(table.rows)} ({_counts(table)}), in {count} groups"),
        ("Of a patient or lesion that is known", _known(table)),
        ("Learnt from as well", _learnt(study)),
        ("Test-time views", f"{plan.views}"),
        ("Why these", UNKNOWN),
        ("How the truth was found (histology, experts)", UNKNOWN),
        ("When and where they were taken", UNKNOWN),
    )


def training_data(study: Study) -> Facts:
    """From which photographs it learnt."""
    origin, own = study.predictions.contract.provenance, study.own
    facts = [
        ("Data", origin.data or UNKNOWN),
        ("Licence", origin.licence or UNKNOWN),
        ("Split", origin.split or UNKNOWN),
        ("Made up", "yes: drawn by a program" if origin.made_up else "no"),
    ]
    for name in tables.SPLITS[:2]:
        rows = tuple(row for row in own.rows if row.split == name) if own else ()
        if own and rows:
            part = Table(own.source, own.root, rows)
            text = f"{len(rows)} photographs ({_counts(part)})"
        else:
            text = f"{UNKNOWN} (a bundle does not carry its table)"
        facts.append((f"Rows in {name}", text))
    stated = ", ".join(own.attributes).replace("_", " ") if own else ""
    facts.append(("Attributes stated", stated or (UNKNOWN if own is None else "none")))
    return tuple(facts)


def analyses(study: Study) -> Facts:
    """What was found."""
    facts: list[tuple[str, str]] = []
    if study.binary is not None:
        found, first = study.binary, study.points[0]
        facts += [
            ("AUC (DeLong)", span(found.auc_delong.interval)),
            *(
                (found.measures[key].title, span(found.measures[key].interval))
                for key in (
                    *("auc", "pr_auc", "partial_auc_sensitivity_80"),
                    *("specificity_at_90_sensitivity", "specificity_at_95_sensitivity"),
                )
            ),
            ("Sensitivity at the frozen threshold", span(first.sensitivity)),
            ("Specificity at the frozen threshold", span(first.specificity)),
            ("PPV", span(found.measures["ppv"].interval)),
            ("NPV", span(found.measures["npv"].interval)),
            ("Brier score", span(found.measures["brier"].interval)),
            ("Calibration error (ECE)", span(found.measures["ece"].interval)),
        ]
    if study.classes is not None:
        facts += [
            ("Balanced accuracy over the classes (ISIC)", span(study.classes.balanced)),
            ("Likeliest class is right", span(study.classes.top1)),
            ("Mean AUC, one against the rest", span(study.classes.mean_auc)),
        ]
    for attribute in study.subgroups:
        facts.append(
            (f"By {attribute.name.replace('_', ' ')}", attribute.why or _groups(attribute))
        )
    facts.append(("Intersections of subgroups", NOT_DONE))
    return tuple(facts)


def _groups(attribute: Attribute) -> str:
    parts = []
    for group in attribute.subgroups:
        if group.binary is not None:
            figure = "AUC " + span(group.binary.auc_delong.interval)
        else:
            figure = "balanced accuracy " + span(group.classes.balanced if group.classes else None)
        parts.append(f"{group.name} (n = {group.n}): {figure}")
    if attribute.unknown:
        parts.append(f"not stated for {attribute.unknown}")
    return "; ".join(parts)


def ethics(study: Study) -> Facts:
    """Whom it concerns."""
    made_up = study.predictions.table.made_up
    tone = next((a for a in study.subgroups if a.name == "skin_tone"), None)
    unknown_tone = tone is None or bool(tone.why)
    return (
        ("Persons in the data", "none: made-up pictures" if made_up else "patients' skin"),
        ("Consent and ethical approval", UNKNOWN),
        (
            "Skin tone",
            "not evaluated: the model may do worse on darker skin, and nothing here would show it"
            if unknown_tone
            else "evaluated, see the quantitative analyses",
        ),
        (
            "Harm",
            "a missed melanoma can cost a life, a needless referral worry and a scar: no figure "
            "here weighs them but the decision curve",
        ),
    )


def caveats(study: Study) -> Facts:
    """What to mind."""
    facts = [
        (
            "Retrospective",
            "photographs that were collected before: no patient was followed, no doctor used it",
        ),
        (
            "Prevalence",
            "such collections hold more malignant lesions than any practice: predictive values "
            "hold for the stated prevalence only",
        ),
        (
            "Readers of ISIC 2016",
            "they judged other photographs: a mark in the plot, not a comparison",
        ),
        ("External validation", "only what this card measures; repeat it where it is to be used"),
        ("Whether this test was looked at during development", UNKNOWN),
    ]
    if study.plan.views > 1:
        facts.append(
            ("Views", "temperature and thresholds were frozen for one view, not for their mean")
        )
    return tuple(facts)


def _robust(study: Study) -> str:
    found = study.robustness
    if found is None:
        return NOT_DONE
    key = next(iter(found.clean.figures))
    return (
        f"15 kinds in 5 severities on {found.n} photographs: mean {TITLES[key]} "
        f"{found.mean(key):.3f}, {found.clean.figures[key]:.3f} without"
    )


def _counts(table: Table) -> str:
    each = Counter(row.label for row in table.rows)
    return ", ".join(f"{each[name]} {name}" for name in sorted(each))


def _known(table: Table) -> str:
    patients = sum(bool(row.patient_id) for row in table.rows)
    lesions = sum(bool(row.lesion_id) for row in table.rows)
    if not patients and not lesions:
        return "none: each photograph counts as its own group, so intervals may be too narrow"
    count = len(set(table.groups.tolist()))
    return f"patient of {patients}, lesion of {lesions} photographs; {count} groups in all"


def _learnt(study: Study) -> str:
    if study.learnt is None:
        return f"{UNKNOWN}: the bundle does not name the photographs that it learnt from"
    if study.learnt:
        return (
            f"**{study.learnt} of these photographs bear the name of one in training or "
            "validation: these figures are too kind**"
        )
    return "none, by file name"
