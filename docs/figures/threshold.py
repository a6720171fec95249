"""What a threshold does: sensitivity, specificity, and what prevalence makes of them."""

from __future__ import annotations

from pathlib import Path

import data
import numpy as np
from sheet import BLUE, GREY, INK, ORANGE, sheet


def threshold(path: Path) -> None:
    """Probabilities of both classes, and both rates as the threshold moves."""
    found, probability, positive = _test()
    limit = float(found.head["threshold"])
    with sheet(path, 2, (9.2, 3.9), found.source, (1.15, 1)) as (dots, rates):
        shuffle = np.random.default_rng(0)
        for row, (members, colour) in enumerate(((~positive, BLUE), (positive, ORANGE))):
            x = probability[members]
            y = row + shuffle.uniform(-0.28, 0.28, len(x))
            dots.plot(x, y, "o", color=colour, ms=5, alpha=0.65, mec="white", mew=0.4)
        sides = (
            f"benign:\n{np.mean(probability[~positive] < limit):.0%} left\nof the line",
            f"malignant:\n{np.mean(probability[positive] >= limit):.0%} right\nof the line",
        )
        dots.axvline(limit, color=INK, linewidth=1.4)
        dots.set(
            yticks=(0, 1),
            yticklabels=sides,
            ylim=(-0.5, 1.5),
            xlabel="probability",
            title="Test pictures, and the threshold",
        )
        dots.tick_params(axis="y", length=0)
        dots.grid(False)
        at = np.linspace(probability.min() - 0.01, probability.max() + 0.01, 300)
        sensitivity = [np.mean(probability[positive] >= t) for t in at]
        specificity = [np.mean(probability[~positive] < t) for t in at]
        rates.plot(at, sensitivity, color=ORANGE, label="sensitivity")
        rates.plot(at, specificity, color=BLUE, linestyle=(0, (4, 2)), label="specificity")
        rates.axvline(limit, color=INK, linewidth=1.4)
        rates.set(xlabel="threshold", title="Both rates as the line moves", ylim=(-0.03, 1.03))
        rates.legend(loc="center right")


def prevalence(path: Path) -> None:
    """Worth of an answer as the share of the ill changes, at the frozen threshold."""
    found, probability, positive = _test()
    limit = float(found.head["threshold"])
    sensitivity = float(np.mean(probability[positive] >= limit))
    specificity = float(np.mean(probability[~positive] < limit))
    share = np.geomspace(0.001, 0.5, 200)
    ppv, npv = predictive_values(sensitivity, specificity, share)
    with sheet(path, size=(8.6, 3.7), note=found.source) as (axes,):
        axes.semilogx(share, ppv, color=ORANGE, label="of those referred, ill (PPV)")
        axes.semilogx(
            share, npv, color=BLUE, linestyle=(0, (4, 2)), label="of those cleared, healthy (NPV)"
        )
        for at in (0.01, 0.1):
            value = float(predictive_values(sensitivity, specificity, np.array([at]))[0][0])
            axes.plot(at, value, "o", color=ORANGE)
            axes.annotate(
                f"{value:.0%}", (at, value), (0, 9), textcoords="offset points", ha="center"
            )
        axes.set(
            xlabel="prevalence: share of the ill among those who come",
            xticks=(0.001, 0.01, 0.1, 0.5),
            xticklabels=("0.1 %", "1 %", "10 %", "50 %"),
            ylim=(0, 1.04),
            title=f"Sensitivity {sensitivity:.2f}, specificity {specificity:.2f}",
        )
        axes.tick_params(axis="x", which="minor", length=0)
        axes.legend(loc="center left")
        axes.axhline(0, color=GREY, linewidth=0.8)


def predictive_values(
    sensitivity: float, specificity: float, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positive and negative predictive value at each prevalence, by Bayes' rule."""
    found, missed = sensitivity * share, (1 - sensitivity) * share
    spared, alarmed = specificity * (1 - share), (1 - specificity) * (1 - share)
    return found / (found + alarmed), spared / (spared + missed)


def _test() -> tuple[data.Data, np.ndarray, np.ndarray]:
    """The test rows of the first run: their table, probabilities, and truth as bool."""
    found = data.read("first-predictions")
    test = np.array([row["split"] == "test" for row in found.rows])
    probability = np.array(found.column("probability"))[test]
    return found, probability, np.array(found.column("positive"))[test] == 1
