"""What goes wrong, as JSON for programs and words for people: RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

MEDIA_TYPE = "application/problem+json"


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal that ends its connection, so that the next try costs the client a new one."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    headers = {**(headers or {}), "Connection": "close"}
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


async def of_http(request: Request, error: Exception) -> Response:
    """What Starlette refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, f"{request.method}: {error.detail}", error.headers)
