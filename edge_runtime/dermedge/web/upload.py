"""The body of a request, bounded in length and time while it comes in."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from dermedge.web.problem import problem


class Refused(Exception):  # noqa: N818 (an answer, not an error)
    """The request is answered with `response` at once."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


async def body(request: Request, most: int, patience_s: float) -> bytes:
    """Read the body of a request.

    Args:
        request: Its body not yet read.
        most: Longest body, bytes; no more of it is ever held.
        patience_s: For all of it, seconds.

    Raises:
        Refused: Too long, too slow, or the client has gone.
    """
    too_long = problem(413, f"at most {most} bytes are accepted")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most:
        raise Refused(too_long)

    async def collect() -> bytes:
        found = bytearray()
        async for part in request.stream():
            if len(found) + len(part) > most:
                raise Refused(too_long)
            found += part
        return bytes(found)

    try:
        return await asyncio.wait_for(collect(), patience_s)
    except asyncio.TimeoutError:
        said = f"the upload took longer than {patience_s:g} s"
        raise Refused(problem(408, said)) from None
    except ClientDisconnect:
        raise Refused(problem(400, "the upload broke off")) from None
