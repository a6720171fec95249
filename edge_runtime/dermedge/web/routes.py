"""The application: which path is answered by what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dermedge.errors import ImageError, KitError
from dermedge.web import openapi, state
from dermedge.web.access import SESSION_S, Access, cookie_name
from dermedge.web.guard import Guard
from dermedge.web.meters import CONTENT_TYPE, Meters
from dermedge.web.problem import of_http, problem
from dermedge.web.state import Parts
from dermedge.web.stream import Stream
from dermedge.web.upload import Refused, body

STATIC = Path(__file__).with_name("static")
FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

_TOKEN_BYTES, _TOKEN_S = 64 * 1024, 5.0


def application(parts: Parts, refused: Counter[str]) -> Guard:
    """The whole of it, behind its guard; `refused` counts what is turned away, by reason."""
    access = Access(parts.settings.token)
    api = _Api(parts, access, Meters(parts.newest, refused))
    stream = Stream(parts.newest, parts.settings)
    app = Starlette(
        routes=[
            *(Route(path, _file(*named), methods=["GET"]) for path, named in FILES.items()),
            Route("/api/openapi.json", api.description, methods=["GET"]),
            Route("/api/session", api.session, methods=["POST"]),
            Route("/api/last", api.last, methods=["GET"]),
            Route("/api/stream", stream, methods=["GET"]),
            Route("/api/capture", api.capture, methods=["POST"]),
            Route("/api/focus", api.focus, methods=["POST"]),
            Route("/api/diagnose", api.diagnose, methods=["POST"]),
            Route("/healthz", api.health, methods=["GET"]),
            Route("/metrics", api.metrics, methods=["GET"]),
        ],
        exception_handlers={HTTPException: of_http, Refused: _answer, Exception: _broken},
    )
    app.router.redirect_slashes = False
    return Guard(app, parts.settings, access, refused)


class _Api:
    def __init__(self, parts: Parts, access: Access, meters: Meters) -> None:
        self._parts, self._access, self._meters = parts, access, meters
        self._newest, self._settings = parts.newest, parts.settings
        self._description = openapi.describe(parts.settings)

    async def description(self, request: Request) -> Response:
        return JSONResponse(self._description)

    async def session(self, request: Request) -> Response:
        """A token for a cookie, so that an <img> may show the live picture."""
        _expect_type(request, "application/json")
        given = _token(await body(request, _TOKEN_BYTES, _TOKEN_S))
        if given is None:
            return problem(400, 'expected a JSON object: {"token": "..."}')
        if self._access.needed and not self._access.knows(given):
            return problem(401, "this is not the token", {"WWW-Authenticate": "Bearer"})
        answer = Response(status_code=204)
        answer.set_cookie(
            cookie_name(self._settings),
            self._access.begin(),
            max_age=int(SESSION_S),
            secure=self._settings.certificate is not None,
            httponly=True,
            samesite="strict",
        )
        return answer

    async def last(self, request: Request) -> Response:
        return JSONResponse(await state.last(self._parts))

    async def capture(self, request: Request) -> Response:
        return self._pass_on(self._newest.ask, "captured")

    async def focus(self, request: Request) -> Response:
        return self._pass_on(self._parts.focus.set, "focused")

    def _pass_on(self, ask: Callable[[], None], done: str) -> Response:
        """Ask the camera loop for something, which is not waited for."""
        if isinstance(found := self._newest.now(), str):
            return problem(503, f"nothing can be {done}: {found}", {"Retry-After": "5"})
        ask()
        return JSONResponse({"asked": True}, 202)

    async def diagnose(self, request: Request) -> Response:
        _expect_type(request, "image/", "application/octet-stream")
        with self._parts.desk.place() as free:
            if not free:
                return problem(503, "other photographs are being judged", {"Retry-After": "2"})
            data = await body(request, self._settings.upload_bytes, self._settings.upload_s)
            try:
                line = await self._parts.desk.diagnose(data)
            except ImageError as error:
                return problem(422, str(error))
            except KitError as error:
                return problem(503, str(error), {"Retry-After": "60"})
        return Response(line, media_type="application/json")

    async def health(self, request: Request) -> Response:
        found = self._newest.now()
        if isinstance(found, str):
            return problem(503, found, {"Retry-After": "5"})
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        page = self._meters.page(await self._parts.vitals.now())
        return Response(page, headers={"Content-Type": CONTENT_TYPE})


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    """A file of the page, read once."""
    data = (STATIC / name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(data, media_type=kind)

    return answer


def _expect_type(request: Request, *kinds: str) -> None:
    """Refuse a body of another type; these are such as no form of another site can send."""
    if not request.headers.get("content-type", "").lower().startswith(kinds):
        raise Refused(problem(415, f"expected Content-Type: {' or '.join(kinds)}"))


def _token(data: bytes) -> str | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    token = found.get("token") if isinstance(found, dict) else None
    return token if isinstance(token, str) else None


async def _answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.response


async def _broken(request: Request, error: Exception) -> Response:
    return problem(500, "this is a fault of the kit; its standard error says more")
