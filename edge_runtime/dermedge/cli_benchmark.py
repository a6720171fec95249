"""`kit benchmark`: how fast a bundle runs on this device, and in which runtime it runs fastest."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermedge.options import HOME, AllowUnsigned, BundleFile, Home, Json, Runtime, Threads

if TYPE_CHECKING:
    from dermedge.bundle import Bundle
    from dermedge.timing import ColdStart
    from dermedge.tuning import Entry

_Tune = Annotated[
    bool, typer.Option("--tune", help="Try every runtime and number of threads; keep the fastest.")
]
_Runs = Annotated[int, typer.Option(min=1, help="Timed runs of each.")]


def benchmark(
    bundle: BundleFile,
    tune: _Tune = False,
    runs: _Runs = 30,
    threads: Threads = None,
    runtime: Runtime = None,
    as_json: Json = False,
    allow_unsigned: AllowUnsigned = False,
    home: Home = HOME,
) -> None:
    """Time a bundle on this device: from pixels to verdict, a fresh process, its memory.

    With --tune, every installed runtime takes turns with 1, 2, 4 ... threads. The fastest whose
    scores are those of the bundle's golden vectors is kept in the device's folder; from then on
    kit diagnose and kit camera use it for this model, unless they are given --threads or --runtime.

    \b
    Example:
      kit benchmark small.kit
      kit benchmark installed --tune
    """
    from dermedge import choice, progress, relay, slots, tuning

    if tune and (threads is not None or runtime is not None):
        raise typer.BadParameter("--tune tries them all; leave --threads and --runtime out")
    opened, note = slots.open_named(bundle, home, allow_unsigned)
    judges, refused = (
        tuning.candidates(opened) if tune else ([relay.build(opened, home, threads, runtime)], {})
    )
    for remark in filter(None, (note, judges[0].note)):
        print(f"kit: {remark}", file=sys.stderr)
    with progress.drawn() as draw:
        entries = tuning.measure(judges, runs, draw)
    best = tuning.fastest(entries) if tune else entries[0]
    start = _cold_start(opened, best)
    kept = None
    if tune:
        chosen = choice.here(best.runtime, best.threads, best.latency.median_ms)
        kept = choice.save(home, opened.contract.model.sha256, chosen)
    found = _Found(opened, entries, refused, best, start, kept)
    print(json.dumps(_as_dict(found), indent=2) if as_json else _as_text(found))


@dataclass(frozen=True, slots=True)
class _Found:
    bundle: Bundle
    entries: tuple[Entry, ...]
    refused: dict[str, str]
    best: Entry
    start: ColdStart
    kept: Path | None


def _cold_start(bundle: Bundle, entry: Entry) -> ColdStart:
    """A fresh process that judges one of the drawn pictures."""
    import cv2

    from dermedge import timing, tuning

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "drawn.png")
        picture.write_bytes(cv2.imencode(".png", tuning.pictures()[0][:, :, ::-1])[1].tobytes())
        return timing.cold_start(bundle.path, picture, entry.threads, timing.STARTS, entry.runtime)


def _as_dict(found: _Found) -> dict[str, Any]:
    from dermedge.device import this_device

    peak = found.start.peak_mib
    return {
        "bundle": str(found.bundle.path),
        "model": found.bundle.contract.model.sha256,
        "device": this_device().as_dict(),
        "pictures": "drawn, 640 x 480",
        "golden": bool(found.bundle.golden),
        "measured": [_entry(entry) for entry in found.entries],
        "refused": found.refused,
        "best": _entry(found.best),
        "cold_start_s": round(found.start.seconds, 3),
        "peak_mib": None if peak is None else round(peak),
        "stored": None if found.kept is None else str(found.kept),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    latency = entry.latency
    return {
        "runtime": latency.runtime,
        "threads": entry.threads,
        "median_ms": round(latency.median_ms, 3),
        "p95_ms": round(latency.p95_ms, 3),
        "min_ms": round(latency.min_ms, 3),
        "runs": latency.n,
        "off": round(entry.off, 3),
        "sound": entry.sound,
    }


def _as_text(found: _Found) -> str:
    from dermedge.device import this_device

    device, best, start = this_device(), found.best, found.start
    width = max(len(entry.latency.runtime) for entry in found.entries)
    against = "the golden vectors" if found.bundle.golden else "the first line"
    memory = "" if start.peak_mib is None else f", at most {start.peak_mib:.0f} MiB"
    lines = [
        f"{device.cpu}, {device.cores} cores; {' '.join(device.features)}",
        f"{'runtime':<{width}}  threads   median      p95      min  off",
        *(_line(entry, width) for entry in found.entries),
        *(f"{name}: {why}" for name, why in found.refused.items()),
        f"ms from pixels to verdict, {best.latency.n} runs each, drawn pictures of 640 x 480; "
        f"off: from {against}, in 1/256 of probability",
        f"{best.runtime}, {best.threads} threads: a fresh process judges after "
        f"{start.seconds:.2f} s{memory}",
    ]
    if found.kept is not None:
        lines.append(f"kit diagnose and kit camera use it for this model now: {found.kept}")
    return "\n".join(lines)


def _line(entry: Entry, width: int) -> str:
    time = entry.latency
    figures = "".join(f" {ms:>8.2f}" for ms in (time.median_ms, time.p95_ms, time.min_ms))
    mark = "" if entry.sound else "  other scores: not to be used"
    return f"{time.runtime:<{width}}  {entry.threads:>7}{figures} {entry.off:>4.1f}{mark}"
