from hypothesis import given
from hypothesis import strategies as st

from dermedge.web import access
from dermedge.web.access import MAX_SESSIONS, SESSION_S, Access

TOKEN = "a-token-of-the-tests-only"


@given(st.text())
def test_only_the_token_opens(text: str):
    assert Access(TOKEN).knows(text) is (text == TOKEN)


def test_without_a_token_none_is_needed_and_none_is_right():
    door = Access("")
    assert not door.needed
    assert not door.knows("")


def test_a_session_admits_until_it_ends(monkeypatch):
    door, now = Access(TOKEN), [100.0]
    monkeypatch.setattr(access.time, "monotonic", lambda: now[0])
    session = door.begin()
    assert door.admits(session)
    assert not door.admits(session + "x")
    assert not door.admits("")
    now[0] += SESSION_S
    assert not door.admits(session)


def test_the_oldest_of_too_many_sessions_ends():
    door = Access(TOKEN)
    sessions = [door.begin() for _ in range(MAX_SESSIONS + 1)]
    assert [door.admits(each) for each in sessions] == [False] + [True] * MAX_SESSIONS


def test_neither_token_nor_session_is_kept_in_clear():
    door = Access(TOKEN)
    session = door.begin()
    held = repr(vars(door))
    assert TOKEN not in held
    assert session not in held
