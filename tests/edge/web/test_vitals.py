import asyncio
import subprocess
import sys

import pytest

from dermedge.web import vitals
from dermedge.web.vitals import Vital, Vitals

LOADED = "import dermedge.web.preview, sys; print(*sys.modules)"


def test_the_board_is_asked_rarely_however_often_the_page_is(monkeypatch: pytest.MonkeyPatch):
    looks = []

    def look() -> Vital:
        looks.append(1)
        return Vital(40.0, None, "not known")

    async def ask() -> None:
        found = Vitals(look)
        await asyncio.gather(*(found.now() for _ in range(50)))
        assert len(looks) == 1
        monkeypatch.setattr(vitals, "_EVERY_S", 0.0)
        found = Vitals(look)
        await found.now()
        await found.now()
        assert len(looks) == 3

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("bits", "throttled", "power"),
    [
        (None, None, "not known: only a Raspberry Pi tells"),
        (0, False, "enough, and not throttled since the start"),
        (0x50005, True, "under-voltage, throttled now (0x50005)"),
        (0x50000, False, "under-voltage, throttled since the start (0x50000)"),
    ],
)
def test_what_the_board_says(
    monkeypatch: pytest.MonkeyPatch, bits: int | None, throttled: bool | None, power: str
):
    monkeypatch.setattr(vitals.board, "throttled", lambda root: bits)
    monkeypatch.setattr(vitals.board, "temperature", lambda root: 51.2)
    assert vitals.look() == Vital(51.2, throttled, power)


def test_the_loop_s_side_needs_nothing_of_the_extra_to_be_imported():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    extra = {"prometheus_client", "segno", "starlette", "uvicorn"}
    assert extra & set(done.stdout.split()) == set()
