"""The part of `kit camera` that passes each judgement on: told, recorded, shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dermedge.cli_tell import News, Tally, tell

if TYPE_CHECKING:
    from dermedge.audience import Audience
    from dermedge.cli_capture import Capture
    from dermedge.diagnose import Diagnostician
    from dermedge.live import Sighting
    from dermedge.notify import Notifier
    from dermedge.source import Source


class Telling:
    """One run of the camera, from its first judgement to the summary."""

    def __init__(
        self,
        diagnostician: Diagnostician,
        audience: Audience,
        captures: Capture,
        service: Notifier,
        as_json: bool,
    ) -> None:
        """Say nothing yet.

        Args:
            diagnostician: Who judges.
            audience: Who hears of it, besides standard output.
            captures: Which of the judgements are told and recorded.
            service: Reports to systemd.
            as_json: Print JSON, else a line for people.
        """
        self._diagnostician, self._audience = diagnostician, audience
        self._captures, self._service, self._as_json = captures, service, as_json
        self._tally, self._news = Tally(), News(diagnostician)
        self._fresh: dict[str, str] = {}  # what the next line that is told also carries

    def hear_all(self, sightings: Iterable[Sighting]) -> None:
        """Hear of one after another, until there are no more or the window was closed."""
        for sighting in sightings:
            if not self.hear(sighting):
                break

    def hear(self, sighting: Sighting) -> bool:
        """A frame was judged; False once the window was closed."""
        from dermedge import basis

        opened = sighting.diagnosis.bundle
        said = basis.remark(opened.contract, opened.signature)
        self._fresh.update(self._news.tell())
        self._tally.add(sighting)
        captured = self._captures.of(sighting)
        if captured is not None:
            self._tell(sighting, captured, said)
        self._go_on()
        return self._audience.show(sighting, said)

    def idle(self, reason: str) -> bool:
        """There is no camera, and why; False once the window was closed."""
        self._go_on()
        return self._audience.show_nothing(reason)

    def end(self, feed: Source) -> None:
        """Print the summary."""
        self._tally.tell(feed, self._diagnostician.contract.notice)

    def _go_on(self) -> None:
        """What has to be done whether or not there is anything to judge."""
        self._service.beat()
        if self._audience.recorder is not None:
            self._audience.recorder.tidy()

    def _tell(self, sighting: Sighting, captured: dict[str, str], said: str) -> None:
        from dermedge.live import entry

        ran = self._diagnostician.classifier.runtime
        line = {**entry(sighting, ran), **captured, **self._fresh}
        line = self._audience.tell(line, sighting)
        self._fresh.clear()
        tell(line, said, self._as_json)
