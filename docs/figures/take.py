"""Take from a run, or from a report of `kit compare`, what the figures need, into docs/data.

python docs/figures/take.py run RUN NAME "kit train ..."          NAME.csv, NAME-predictions.csv
python docs/figures/take.py compare REPORT NAME "kit compare ..." NAME.json
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import data

from dermedge import atomic
from dermedge.contract import load


def take_run(run: Path, name: str, command: str) -> list[Path]:
    """Copy the history, and each judged photograph's truth and probability, of a finished run."""
    terms = load(run / "contract.json")
    head = {
        "data": _named(terms.provenance.data, terms.provenance.made_up),
        "command": command,
        "dermkit": terms.provenance.versions["dermkit"],
        "threshold": f"{terms.decision.threshold:.6f}",
        "chosen_for": terms.decision.chosen_for,
    }
    positive = {label.name for label in terms.labels if label.positive}
    with (run / "history.csv").open(encoding="utf-8", newline="") as stream:
        history = list(csv.DictReader(stream))
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        judged = [
            {
                "split": row["split"],
                "positive": int(row["label"] in positive),
                "probability": f"{float(row['probability']):.4f}",
            }
            for row in csv.DictReader(stream)
        ]
    return [data.write(name, head, history), data.write(f"{name}-predictions", head, judged)]


def take_compare(report: Path, name: str, command: str) -> list[Path]:
    """Copy the figures of compare.json that the page shows."""
    found = json.loads((report / "compare.json").read_text(encoding="utf-8"))
    head = {
        "data": _named(found["float"]["provenance"]["data"], found["made_up"]),
        "command": command,
    }
    values = {
        "head": head,
        "margin": found["gate"]["margin"],
        "auc_difference": found["auc_difference"]["interval"],
        **{which: _measured(found[which]) for which in ("float", "small")},
    }
    path = data.FOLDER / f"{name}.json"
    atomic.write_text(path, json.dumps(values, indent=2) + "\n")
    return [path]


def _measured(model: dict[str, Any]) -> dict[str, Any]:
    return {
        "auc": model["figures"]["auc"],
        "megabytes": round(model["sizes"]["model"] / 1e6, 2),
        "milliseconds": round(model["latency"]["median_ms"], 2),
        "peak_mib": model["start"]["peak_mib"] and round(model["start"]["peak_mib"], 1),
    }


def _named(name: str, made_up: object) -> str:
    return "Made-up pictures" if made_up else name


if __name__ == "__main__":
    kind, folder, name, command = sys.argv[1:]
    take = {"run": take_run, "compare": take_compare}[kind]
    for written in take(Path(folder), name, command):
        print(written)
