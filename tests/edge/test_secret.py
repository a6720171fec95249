from pathlib import Path

import pytest

from dermedge import secret
from dermedge.errors import InputError


def made(path: Path, data: bytes, rights: int) -> Path:
    path.write_bytes(data)
    path.chmod(rights)
    return path


@pytest.mark.parametrize("rights", [0o400, 0o600, 0o640])
def test_a_secret_of_its_owner_is_read(tmp_path: Path, rights: int):
    path = made(tmp_path / "a", "pässword \n".encode(), rights)
    assert secret.read(path, "password") == "pässword \n"


@pytest.mark.parametrize("rights", [0o644, 0o602, 0o666])
def test_one_that_is_open_to_everybody_is_refused(tmp_path: Path, rights: int):
    path = made(tmp_path / "a", b"s3cret", rights)
    with pytest.raises(InputError, match=f"the token {path} is open to everybody; run: chmod 600"):
        secret.read(path, "token")


def test_one_that_can_not_be_read_is_told_and_never_shown(tmp_path: Path):
    for path in (made(tmp_path / "a", b"s3cret\xff", 0o600), tmp_path / "none", tmp_path):
        tmp_path.chmod(0o700)
        with pytest.raises(InputError, match=f"the key {path} can't be read: ") as found:
            secret.read(path, "key")
        assert "s3cret" not in str(found.value)
