"""The options of the preview: its token is read once, and told only where it has to be."""

import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dermedge import cli_web, secret
from dermedge.cli_web import VARIABLE, Wish, preview
from dermedge.errors import InputError
from dermedge.web import preview as previews

TOKEN = "a-token-of-the-tests-only"


class Served:
    """Stands for the preview: knows what it was given."""

    def __init__(self, settings: Any, *given: object) -> None:
        self.settings = settings

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *given: object) -> None:
        pass

    def greeting(self, known: bool) -> str:
        return f"known: {known}"


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "Preview", Served)
    monkeypatch.delenv(VARIABLE, raising=False)


def opened(wish: Wish, home: Path) -> Any:
    judge: Any = SimpleNamespace(contract=None)
    with ExitStack() as stack:
        return preview(stack, wish, home, lambda: judge, judge, threading.Event())


def test_a_token_file_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file, reads, read = tmp_path / "token", [], secret.read
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)

    def counted(path: Path, what: str) -> str:
        reads.append(path)
        return read(path, what)

    monkeypatch.setattr(secret, "read", counted)
    found = opened(Wish(True, token_file=file), tmp_path)
    assert found.settings.token == TOKEN
    assert reads == [file]
    assert "known: True" in capsys.readouterr().err


def test_a_token_that_was_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    found = opened(Wish(True, listen="0.0.0.0"), tmp_path)
    assert len(found.settings.token) > 20
    assert "known: False" in capsys.readouterr().err


def test_a_token_from_the_environment_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(VARIABLE, f" {TOKEN}\n")
    assert opened(Wish(True), tmp_path).settings.token == TOKEN
    assert "known: True" in capsys.readouterr().err


def test_an_empty_or_open_token_file_is_refused(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("\n")
    file.chmod(0o600)
    with pytest.raises(InputError, match=r"the token .* is empty; openssl rand"):
        opened(Wish(True, token_file=file), tmp_path)
    file.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        opened(Wish(True, token_file=file), tmp_path)


def test_without_web_nothing_is_served(tmp_path: Path):
    assert opened(Wish(), tmp_path) is None
    with pytest.raises(cli_web.typer.BadParameter, match="add --web"):
        opened(Wish(token_file=tmp_path), tmp_path)
