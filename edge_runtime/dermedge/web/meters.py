"""The figures of the preview for Prometheus, in a registry of their own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import generate_latest

import dermedge
from dermedge.web.newest import Newest, Shot
from dermedge.web.vitals import Vital

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what `generate_latest` writes


@dataclass(frozen=True, slots=True)
class Meters:
    """Where the figures come from.

    Attributes:
        newest: What the camera loop has to say.
        refused: How many requests and connections were turned away, by reason.
    """

    newest: Newest
    refused: Counter[str]

    def page(self, vital: Vital) -> bytes:
        """The text that Prometheus reads."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Once([*self._loop(), *self._board(vital)]))
        return generate_latest(registry)

    def _loop(self) -> Iterator[Metric]:
        tally, now = self.newest.tally, self.newest.now()
        for name, text, value in (
            ("frames_judged", "Frames that were judged.", tally.judged),
            ("frames_dropped", "Frames that newer ones have overwritten.", tally.dropped),
            ("camera_losses", "How often the camera has gone.", tally.losses),
        ):
            yield CounterMetricFamily(f"dermkit_{name}", text, value)
        for name, text, total in (
            ("latency", "From a frame's pixels to its verdict.", tally.latency_s),
            ("age", "From a frame's capture to its verdict.", tally.age_s),
        ):
            yield SummaryMetricFamily(f"dermkit_{name}_seconds", text, tally.judged, total)
        yield GaugeMetricFamily("dermkit_rate_fps", "Frames judged a second.", self.newest.rate)
        here = isinstance(now, Shot)
        yield GaugeMetricFamily("dermkit_camera_up", "1: frames are being judged.", int(here))
        if isinstance(now, Shot):
            text = "Time since the last frame was judged."
            yield GaugeMetricFamily("dermkit_last_frame_seconds", text, time.monotonic() - now.at)

    def _board(self, vital: Vital) -> Iterator[Metric]:
        refused = CounterMetricFamily(
            "dermkit_web_refused", "Requests and connections turned away.", labels=("reason",)
        )
        for reason, count in sorted(self.refused.copy().items()):
            refused.add_metric((reason,), count)
        yield refused
        if vital.temperature_c is not None:
            text = "Temperature of the hottest sensor."
            yield GaugeMetricFamily("dermkit_temperature_celsius", text, vital.temperature_c)
        if vital.throttled is not None:
            text = "1: power or heat slows the board down now."
            yield GaugeMetricFamily("dermkit_throttled", text, int(vital.throttled))
        yield InfoMetricFamily("dermkit_build", "The kit.", {"version": dermedge.__version__})


@dataclass(frozen=True, slots=True, eq=False)
class _Once:
    """A collector of what was collected already."""

    found: list[Metric]

    def collect(self) -> Iterator[Metric]:
        yield from self.found
