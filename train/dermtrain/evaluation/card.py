"""A study -> the model card: what is known, and in so many words what is not."""

from __future__ import annotations

from dataclasses import dataclass

from dermtrain.evaluation import checklists, sections
from dermtrain.evaluation.checklists import Item
from dermtrain.evaluation.study import Study


@dataclass(frozen=True, slots=True)
class Section:
    """One heading of Mitchell et al. 2019, and what there is to say: (term, text)."""

    title: str
    facts: sections.Facts


@dataclass(frozen=True, slots=True)
class Card:
    """The whole card."""

    title: str
    notice: str
    made_up: str
    sections: tuple[Section, ...]
    tripod: tuple[Item, ...]
    stard: tuple[Item, ...]


def write(study: Study) -> Card:
    """Fill the headings of Mitchell et al. 2019 (FAT*, 220), TRIPOD+AI 2024 and STARD 2015."""
    terms = study.predictions.contract
    return Card(
        title=f"Model card: {study.judge.path.resolve().name}",
        notice=terms.notice,
        made_up=study.made_up,
        sections=(
            Section("Model details", sections.details(study)),
            Section("Intended use", sections.use(study)),
            Section("Factors", sections.factors(study)),
            Section("Metrics", sections.metrics(study)),
            Section("Evaluation data", sections.evaluation_data(study)),
            Section("Training data", sections.training_data(study)),
            Section("Quantitative analyses", sections.analyses(study)),
            Section("Ethical considerations", sections.ethics(study)),
            Section("Caveats and recommendations", sections.caveats(study)),
        ),
        tripod=checklists.tripod(study),
        stard=checklists.stard(study),
    )


def to_markdown(card: Card) -> str:
    """The text of card.md."""
    lines = [f"# {card.title}", "", f"**{card.notice}**", ""]
    if card.made_up:
        lines += [f"**{card.made_up.capitalize()}: no figure here says anything about skin.**", ""]
    for section in card.sections:
        lines += [f"## {section.title}", ""]
        lines += [f"- **{term}**: {text}" for term, text in section.facts]
        lines += [""]
    for title, items in (
        ("TRIPOD+AI (Collins et al. 2024), item by item", card.tripod),
        ("STARD 2015, on which STARD-AI (2025) builds: the items about results", card.stard),
    ):
        lines += [
            f"## {title}",
            "",
            "| Item | About | State | Where, or what |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {item.number} | {item.about} | {item.state} | {item.where.replace('|', '/')} |"
            for item in items
        ]
        lines += [""]
    return "\n".join(lines)
