"""The camera loop's side of the preview: what it shows, tells, and is asked."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from dermedge.closing import Closing
from dermedge.contract import Contract
from dermedge.diagnose import Diagnostician
from dermedge.errors import MissingError
from dermedge.live import Sighting
from dermedge.web.newest import Newest
from dermedge.web.settings import Settings

_NEEDS = ("prometheus_client", "segno", "starlette", "uvicorn")


class Preview(Closing):
    """Serves the page and the API while it is open; no call here waits for a browser.

    Attributes:
        settings: As given, with the port that is really listened on.
        address: Of the page, without the token.
        link: The same with the token behind the #; for the screen only, never for a log.
    """

    def __init__(
        self,
        settings: Settings,
        appoint: Callable[[], Diagnostician],
        terms: Callable[[], Contract],
        fingerprint: str = "",
        focus: threading.Event | None = None,
        renew: Callable[[], None] | None = None,
    ) -> None:
        """Listen, and start the server's thread.

        Args:
            settings: Where, and for whom.
            appoint: Builds who judges uploads, at the first one; never the loop's own: an
                interpreter serves one thread.
            terms: Gives the contract of the model that judges now; called in the server's thread.
            fingerprint: Of a certificate that was made on this device, to be shown.
            focus: Is set when somebody asks the camera to focus, see `live.watch`.
            renew: Is called each hour, in another thread, before the certificate is read again; it
                may not raise.

        Raises:
            InputError: The settings can't be meant, or the port is in use.
            MissingError: The extra `web` is not installed.
            KitError: The server does not start.
        """
        settings.check()
        _require_installed()
        from dermedge.web import link
        from dermedge.web.desk import Desk
        from dermedge.web.routes import application
        from dermedge.web.server import Server, listen
        from dermedge.web.state import Parts
        from dermedge.web.tls import Tls
        from dermedge.web.vitals import Vitals

        tls = None
        if settings.certificate is not None and settings.key is not None:
            tls = Tls(settings.certificate, settings.key, renew)
        listener = listen(settings)
        settings = dataclasses.replace(settings, port=listener.getsockname()[1])
        refused: Counter[str] = Counter()
        self._newest = Newest(settings.stale_s)
        self._desk = Desk(appoint, settings.upload_pixels)
        asked = threading.Event() if focus is None else focus
        parts = Parts(settings, self._newest, self._desk, terms, Vitals(), asked)
        self._server = Server(listener, application(parts, refused), tls, refused)
        self.settings = settings
        self.address, self.link = link.address(settings), link.link(settings)
        self._fingerprint = fingerprint

    def show(self, sighting: Sighting, remark: str = "") -> bool:
        """A frame was judged; `remark` as `dermedge.basis.remark`. Always True: go on."""
        self._newest.show(sighting, remark)
        return True

    def show_nothing(self, reason: str) -> bool:
        """There is no camera, and why; to be said again while that lasts. Always True: go on."""
        self._newest.show_nothing(reason)
        return True

    def tell(self, line: dict[str, Any]) -> None:
        """A judgement was told or recorded: one of the last results; `line` is JSON."""
        self._newest.tell(line)

    def asked(self) -> bool:
        """Whether somebody has asked for a capture since the last call."""
        return self._newest.asked()

    def greeting(self, known: bool = False) -> str:
        """What to print once: address, QR code, and what to know of the encryption.

        Args:
            known: The user has the token already: it is left out.
        """
        from dermedge.web import link

        return link.greeting(self.settings, self._fingerprint, known)

    def close(self) -> None:
        """Let nobody in any more, and end the thread; takes some seconds at most."""
        self._newest.ended = True
        self._server.close()
        self._desk.close()


def _require_installed() -> None:
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise MissingError(
            f"the preview needs {', '.join(missing)}; run: pip install 'dermkit[web]' "
            "(on a device: 'dermkit-edge[web]')"
        )
