"""The model card that travels in every bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dermedge.contract import Contract


def write(terms: Contract, title: str) -> str:
    """A short model card in Markdown (Mitchell et al. 2019): what it is, for what, how well."""
    origin = terms.provenance
    made_up = (
        "\n\n**All of its data are made-up pictures: no figure here says anything about skin.**"
    )
    positive = ", ".join(label.name for label in terms.labels if label.positive) or "none"
    lines = [
        f"# {title}",
        "",
        f"**{terms.notice}**{made_up if origin.made_up else ''}",
        "",
        "## Model",
        f"- input: {terms.input.width} x {terms.input.height} pixels, RGB, 0 to 255, "
        f"resized by `{terms.input.resize}` ({terms.input.interpolation})",
        f"- classes: {', '.join(label.name for label in terms.labels)}; positive: {positive}",
        f"- made with: {', '.join(f'{name} {v}' for name, v in origin.versions.items())}",
        "",
        "## Intended use",
        "Research on photographs like those it has learnt from. Not for diagnosis, not for skin or "
        "cameras that it has never seen; its figures do not carry over to them.",
        "",
        "## Data",
        f"- {origin.data} (licence: {origin.licence}); recipe {origin.recipe}, seed {origin.seed}",
        f"- split: {origin.split}",
        f"- started from {origin.weights}",
        *_unlabelled(origin.metrics),
        "- skin tone, age and sex: not evaluated",
        "",
        "## Decision",
        *_rule(terms),
        f"- temperature {terms.calibration.temperature:.3f}",
        _novelty(terms),
        "",
        "## Figures",
        *_figures(origin.metrics),
        "",
    ]
    return "\n".join(lines)


def _unlabelled(metrics: Mapping[str, Any]) -> list[str]:
    seen = metrics.get("made", {}).get("unlabelled")
    if not seen:
        return []
    return [
        f"- the full model taught it on {seen['count']} unlabelled photographs, too: "
        f"{', '.join(seen['from'])} (licence: {seen['licence']}); none like those of validation or "
        "test"
    ]


def _figures(measured: Mapping[str, Any]) -> list[str]:
    lines = []
    for split in ("val", "test"):
        if split in measured:
            found = measured[split]
            auc = found["auc"]
            if "accuracy" in found:
                lines.append(_top(split, found))
                continue
            lines.append(
                f"- {split} (n = {found['n']}, {found['positives']} positive): "
                f"AUC {auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f}), "
                f"sensitivity {found['sensitivity']['value']:.3f}, "
                f"specificity {found['specificity']['value']:.3f}, ECE {found['ece']:.3f}"
            )
    return lines


def _rule(terms: Contract) -> list[str]:
    rule = terms.decision
    if terms.positive:
        return [
            f"- refer at a probability of {rule.threshold:.4f} and above, chosen on validation for "
            f"{rule.chosen_for}",
            f"- uncertain between {rule.uncertain_band[0]:.4f} and {rule.uncertain_band[1]:.4f}",
        ]
    if rule.threshold == 1:
        return [f"- always uncertain: on validation no probability gave {rule.chosen_for}"]
    return [
        f"- the top class is named at a probability of {rule.threshold:.4f} and above, chosen on "
        f"validation for {rule.chosen_for}",
        "- uncertain below",
    ]


def _novelty(terms: Contract) -> str:
    known = terms.novelty
    if known is None:
        return "- unlike the training photographs: not judged; any picture gets an answer"
    return (
        f"- not assessable if unlike the {known.training} training photographs: its embedding lies "
        f"farther than {known.threshold:.4f} off their {known.components} main directions, as at "
        f"most {known.false_alarms:.0%} of photographs like the {known.validation} of validation do"
    )


def _top(split: str, found: Mapping[str, Any]) -> str:
    """The figures of a model without positive classes on one split."""
    accuracy, auc, of_named = found["accuracy"], found["auc"], found["named_accuracy"]
    right = f", {of_named['value']:.3f} of them right" if of_named else ""
    return (
        f"- {split} (n = {found['n']}, {found['classes']} classes): "
        f"accuracy {accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f}), "
        f"mean AUC of the classes {auc['value']:.3f}, named {found['named']['value']:.3f}{right}, "
        f"ECE {found['ece']:.3f}"
    )
