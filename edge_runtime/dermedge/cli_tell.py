"""The part of `kit camera` that speaks: a line a judgement, news, and the summary at the end."""

from __future__ import annotations

import json
import statistics
from collections import deque
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from dermedge.bundle import Bundle
    from dermedge.diagnose import Diagnostician
    from dermedge.live import Sighting
    from dermedge.source import Source


def say(text: str) -> None:
    """Print something that happened on standard error."""
    typer.echo(f"kit: {text}", err=True)


def tell(line: dict[str, Any], remark: str, as_json: bool) -> None:
    """Print one judged frame, as `dermedge.live.entry` gives it."""
    typer.echo(json.dumps(line) if as_json else _plain(line, remark))


def _plain(line: dict[str, Any], remark: str) -> str:
    """The same as a line for people."""
    from dermedge.consensus import agreement

    smoothed = line["smoothed_probability"]
    mean = "" if smoothed is None else f" {smoothed:.3f}"
    agreed = agreement(line["agreeing"], line["averaged"])
    alike = f" ({agreed})" if agreed else ""
    return (
        f"frame {line['frame']}: {line['decision']} {line['probability']:.3f}, "
        f"smoothed {line['smoothed_decision']}{mean}{alike}, quality {line['quality']}, "
        f"age {line['age_ms']:.0f} ms, latency {line['latency_ms']:.0f} ms"
        f"{'; ' if remark else ''}{remark}"
    )


class News:
    """Which model judges and what is amiss with it, told once each."""

    def __init__(self, judge: Diagnostician) -> None:
        self._judge, self._note = judge, ""
        self._bundle: Bundle | None = None

    def tell(self) -> dict[str, str]:
        """Print what is new on standard error; what the first line of each model also carries."""
        judge = self._judge
        if judge.note != self._note:
            self._note = judge.note
            say(judge.note or "nothing is amiss with the model any more")
        if judge.bundle is self._bundle:
            return {}
        if self._bundle is not None:
            say(f"bundle {judge.bundle.sha256[:12]} has taken over")
        self._bundle = judge.bundle
        return {"notice": judge.contract.notice}


class Tally:
    """What the summary needs, in bounded memory."""

    def __init__(self) -> None:
        self.judged, self.dropped, self.losses = 0, 0, 0
        self._ages: deque[float] = deque(maxlen=1000)

    def add(self, sighting: Sighting) -> None:
        """Count one judged frame."""
        self.judged += 1
        self.dropped, self.losses = sighting.dropped, sighting.losses
        self._ages.append(sighting.age_ms)

    def tell(self, source: Source, notice: str) -> None:
        """Print the summary on standard error."""
        for reason in source.skipped[:5]:
            typer.echo(f"skipped: {reason}", err=True)
        age = f", median age {statistics.median(self._ages):.0f} ms" if self._ages else ""
        gone = f", gone {self.losses} times" if self.losses else ""
        skipped = f", {len(source.skipped)} unreadable" if source.skipped else ""
        typer.echo(
            f"{source.name}: {self.judged} frames judged, {self.dropped} dropped"
            f"{skipped}{gone}{age}. {notice}",
            err=True,
        )
