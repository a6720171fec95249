import base64
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermedge import crypt
from dermedge.errors import InputError, MissingError

pytest.importorskip("cryptography", reason="needs the extra crypt")

KEY = crypt.Key(bytes(range(32)))


@given(data=st.binary(max_size=200), name=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_encrypted_is_decrypted(data: bytes, name: str):
    hidden = KEY.encrypt(data, name)
    assert KEY.decrypt(hidden, name) == data
    assert hidden != KEY.encrypt(data, name)  # a nonce of its own each time


def test_nothing_of_it_can_be_read_without_the_key():
    assert b"a mole on the back" not in KEY.encrypt(b"a mole on the back", "1.jpg.enc")


@given(at=st.integers(0, 8 + 12 + 5 + 16 - 1), flip=st.integers(1, 255))
def test_one_altered_byte_anywhere_is_noticed(at: int, flip: int):
    hidden = bytearray(KEY.encrypt(b"pixel", "n"))
    hidden[at] ^= flip
    with pytest.raises(InputError):
        KEY.decrypt(bytes(hidden), "n")


def test_another_key_another_name_and_a_cut_file_are_refused():
    hidden = KEY.encrypt(b"pixel", "1.jpg.enc")
    with pytest.raises(InputError, match="another key"):
        crypt.Key(bytes(32)).decrypt(hidden, "1.jpg.enc")
    with pytest.raises(InputError, match="renamed"):
        KEY.decrypt(hidden, "2.jpg.enc")
    for length in range(len(hidden)):
        with pytest.raises(InputError):
            KEY.decrypt(hidden[:length], "1.jpg.enc")


def test_it_is_aes_256_gcm_as_others_read_it():
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    hidden = KEY.encrypt(b"pixel", "1.jpg.enc")
    magic, nonce, rest = hidden[:9], hidden[9:21], hidden[21:]
    assert AESGCM(bytes(range(32))).decrypt(nonce, rest, magic + b"1.jpg.enc") == b"pixel"


def test_a_new_key_is_for_its_owner_and_replaces_nothing(tmp_path: Path):
    path = tmp_path / "new" / "records.key"
    crypt.new_key(path)
    text = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert crypt.load_key(path, None) is not None
    with pytest.raises(InputError, match="never replaced"):
        crypt.new_key(path)
    assert path.read_bytes() == text


@pytest.mark.parametrize(
    "text",
    [
        bytes(range(32)).hex(),
        base64.b64encode(bytes(range(32))).decode(),
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        base64.b64encode(b"\xff" * 32).decode() + "\n",
    ],
)
def test_keys_may_be_hexadecimal_or_base64(text: str):
    assert crypt.load_key(None, text) is not None


@pytest.mark.parametrize("text", ["secret-passphrase", "00" * 31, "zz" * 32, "AAAA", "é"])
def test_what_is_no_key_is_refused_and_never_told(text: str):
    with pytest.raises(InputError, match="KIT_RECORDS_KEY holds no key") as caught:
        crypt.load_key(None, text)
    assert text not in str(caught.value)


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path):
    path = tmp_path / "records.key"
    crypt.new_key(path)
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        crypt.load_key(path, None)


def test_a_file_goes_before_the_environment_and_neither_is_no_key(tmp_path: Path):
    assert crypt.load_key(None, None) is None
    assert crypt.load_key(None, "") is None
    with pytest.raises(InputError, match="can't be read"):
        crypt.load_key(tmp_path / "none", "00" * 32)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingError, match=r"dermkit-edge\[crypt\]"):
        crypt.Key(bytes(32))


def test_the_package_is_loaded_only_for_a_key():
    code = "import sys, dermedge.pictures; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
