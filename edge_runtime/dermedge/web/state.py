"""What the page and `/api/last` show: the present judgement, the last results, the device."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dermedge.consensus import agreement
from dermedge.contract import Contract
from dermedge.heatmap import target
from dermedge.web.desk import Desk
from dermedge.web.newest import Newest, Shot
from dermedge.web.settings import Settings
from dermedge.web.vitals import Vitals


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of.

    Attributes:
        settings: With the port that is really listened on.
        newest: What the camera loop says.
        desk: Judges uploads.
        terms: Gives the contract of the model that judges now.
        vitals: The device's state.
        focus: Is set when the camera shall focus, see `live.watch`.
    """

    settings: Settings
    newest: Newest
    desk: Desk
    terms: Callable[[], Contract]
    vitals: Vitals
    focus: threading.Event


async def last(parts: Parts) -> dict[str, Any]:
    """For JSON: `judgement` is null while there is no camera, and `reason` says why."""
    newest, vital = parts.newest, await parts.vitals.now()
    now = newest.now()
    tally = newest.tally
    return {
        "notice": parts.terms().notice,
        "judgement": judgement(now) if isinstance(now, Shot) else None,
        "reason": "" if isinstance(now, Shot) else now,
        "results": newest.results,
        "device": {
            **vital.as_dict(),
            "rate_fps": round(newest.rate, 2),
            "judged": tally.judged,
            "dropped": tally.dropped,
            "losses": tally.losses,
        },
    }


def judgement(shot: Shot) -> dict[str, Any]:
    """One judged frame for JSON."""
    sighting, seen = shot.sighting, shot.sighting.diagnosis
    return {
        "frame": sighting.frame.number,
        "time": sighting.time.isoformat(timespec="milliseconds"),
        "verdict": sighting.smoothed_verdict.value,
        "decision": sighting.smoothed_decision,
        "probability": sighting.smoothed_probability,
        "quality": seen.quality.verdict,
        "agreement": agreement(sighting.agreeing, sighting.averaged),
        "remark": shot.remark,
        "heat_map": seen.outputs.map is not None,
        "heat_map_of": target(seen.outputs, seen.bundle.contract),
        "latency_ms": round(seen.latency_ms, 2),
        "age_ms": round(sighting.age_ms, 2),
    }
