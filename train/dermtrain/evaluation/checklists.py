"""TRIPOD+AI and STARD item by item: reported, or in so many words not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dermtrain.evaluation.study import Study

REPORTED, PARTLY, UNKNOWN, NOT_DONE = "reported", "partly", "not known", "not done"
NO_USE = "not applicable"


@dataclass(frozen=True, slots=True)
class Item:
    """One item: its number, what it asks for, whether it is met, and where or how."""

    number: str
    about: str
    state: str
    where: str


def tripod(study: Study) -> tuple[Item, ...]:
    """TRIPOD+AI (Collins et al. 2024, BMJ 385:e078378); the wording of the topics is ours."""
    told = [a.name for a in study.subgroups if not a.why]
    fair = PARTLY if told else NOT_DONE
    trained = REPORTED if study.own is not None else PARTLY
    two = study.binary is not None
    rows = (
        ("1", "Title", NO_USE, "this is a report of figures, not an article"),
        ("2", "Abstract", NO_USE, "as above"),
        ("3a", "Context and rationale", UNKNOWN, ""),
        ("3b", "Target population, purpose, users", PARTLY, "Intended use"),
        ("3c", "Known inequalities of health", UNKNOWN, ""),
        ("4", "Objectives", PARTLY, "to measure one model on one set of photographs"),
        ("5a", "Sources of data", PARTLY, "Training data, Evaluation data: names and licences"),
        ("5b", "Dates of collection", UNKNOWN, ""),
        ("6a", "Setting, centres", UNKNOWN, ""),
        ("6b", "Eligibility", UNKNOWN, ""),
        ("6c", "Treatments", NO_USE, "a photograph is judged as it is"),
        (
            "7",
            "Preparation and quality of data",
            REPORTED,
            "Model details: input; How it was measured",
        ),
        (
            "8a",
            "Outcome and its assessment",
            PARTLY,
            "the table's labels; how they were found: not known",
        ),
        ("8b", "Who assessed the outcome", UNKNOWN, ""),
        ("8c", "Blinding of that assessment", UNKNOWN, ""),
        ("9a", "Choice of predictors", REPORTED, "one photograph; nothing else enters"),
        ("9b", "Definition of predictors", PARTLY, "Model details: input; cameras: not known"),
        ("9c", "Who assessed predictors", NO_USE, "pixels need no assessor"),
        ("10", "Sample size", PARTLY, "counts are given; they were not planned"),
        (
            "11",
            "Missing data",
            REPORTED,
            "unreadable photographs stop it all; attributes that are not stated are counted",
        ),
        ("12a", "How data were used", trained, "Training data: split"),
        ("12b", "Handling of predictors", REPORTED, "Model details: input"),
        (
            "12c",
            "Type of model, tuning",
            PARTLY,
            "Model details: recipe; how it was settled: not known here",
        ),
        ("12d", "Heterogeneity between clusters", fair, "Subgroups; by centre: not known"),
        ("12e", "Measures of performance", REPORTED, "Metrics"),
        (
            "12f",
            "Updating of the model",
            REPORTED,
            "temperature and thresholds come from validation; nothing was changed here",
        ),
        ("12g", "How predictions were made", REPORTED, "How it was measured"),
        (
            "13",
            "Class imbalance",
            PARTLY,
            "counts of each class; what training did about it stands in its recipe",
        ),
        ("14", "Fairness", fair, "Subgroups"),
        ("15", "Output and thresholds", REPORTED if two else PARTLY, "Metrics: threshold"),
        ("16", "Training against evaluation data", PARTLY, "Training data, Evaluation data"),
        ("17", "Ethical approval", UNKNOWN, ""),
        ("18a", "Funding", UNKNOWN, ""),
        ("18b", "Conflicts of interest", UNKNOWN, ""),
        ("18c", "Protocol", NOT_DONE, "none was published beforehand"),
        ("18d", "Registration", NOT_DONE, ""),
        ("18e", "Sharing of data", PARTLY, "licences are named; availability: not known"),
        ("18f", "Sharing of code", REPORTED, f"dermkit {study.version}, Apache-2.0"),
        ("19", "Patients and the public", NOT_DONE, "none were involved"),
        (
            "20a",
            "Flow of participants",
            PARTLY,
            "photographs, groups, classes, not assessable ones",
        ),
        ("20b", "Their characteristics", fair, "Subgroups"),
        ("20c", "Compared with development data", NOT_DONE, ""),
        (
            "21",
            "Participants and events in each analysis",
            trained,
            "Training data, Evaluation data",
        ),
        ("22", "The model in full", PARTLY, "the model file is named by its checksum"),
        ("23a", "Performance with intervals, by subgroup", REPORTED, "Quantitative analyses"),
        ("23b", "Heterogeneity of performance", fair, "Subgroups"),
        ("24", "Results of updating", NO_USE, "nothing was updated here"),
        ("25", "Interpretation", PARTLY, "the sentence at the top; the rest is the reader's"),
        ("26", "Limitations", REPORTED, "Caveats and recommendations"),
        (
            "27a",
            "Poor or absent input in use",
            REPORTED,
            "photographs of bad quality, or unlike the training ones, are not judged",
        ),
        ("27b", "What is asked of users", PARTLY, "Intended use"),
        ("27c", "Next steps", PARTLY, "measure where it is to be used; by skin tone above all"),
    )
    return tuple(Item(*row) for row in rows)


def stard(study: Study) -> tuple[Item, ...]:
    """The items of STARD 2015 (Bossuyt et al., BMJ 351:h5527) about methods and results."""
    predictions = study.predictions
    unclear = sum(verdict == "uncertain" for verdict in predictions.decisions)
    two = study.binary is not None
    indeterminate = (
        f"{unclear} of {len(predictions.decisions)} fall into the uncertain band; in the figures "
        "they count by the threshold"
    )
    gate = f"{predictions.not_assessable} are not assessable; they are scored all the same"
    rows = (
        ("9", "Consecutive, random or convenience series", UNKNOWN, ""),
        ("10b", "Reference standard", PARTLY, "the table's labels; how they were found: not known"),
        (
            "12a",
            "Cut-offs, chosen before or after",
            REPORTED if two else NO_USE,
            "chosen on validation, frozen" if two else "",
        ),
        ("13a", "Test read without the answer", REPORTED, "the model sees pixels only"),
        (
            "15",
            "Indeterminate results",
            REPORTED if two else NO_USE,
            indeterminate if two else "",
        ),
        ("16", "Missing data", REPORTED, gate),
        ("18", "Intended sample size", NOT_DONE, "not planned"),
        ("19", "Flow", REPORTED, f"{len(predictions.table.rows)} photographs, all judged"),
        ("20", "Baseline characteristics", PARTLY, "Subgroups, as far as the table states them"),
        ("21a", "Severity of disease", UNKNOWN, "thickness and stage are not in the table"),
        ("21b", "Alternative diagnoses", PARTLY, "by diagnosis, where the table has one"),
        ("22", "Time between test and reference", UNKNOWN, ""),
        (
            "23",
            "Cross tabulation",
            REPORTED,
            "Operating points" if two else "Classes: confusion matrix",
        ),
        ("24", "Accuracy with intervals", REPORTED, "Quantitative analyses"),
        ("25", "Adverse events", NO_USE, "no patient was treated by it"),
    )
    return tuple(Item(*row) for row in rows)
