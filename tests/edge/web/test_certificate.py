import hashlib
import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from dermedge.errors import InputError
from dermedge.web import certificate
from dermedge.web.certificate import own
from dermedge.web.server import encrypted


def test_a_device_makes_its_certificate_once(tmp_path: Path):
    made = own(tmp_path, ("192.168.1.4",))
    assert own(tmp_path, ("192.168.1.4",)) == made
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    der = ssl.PEM_cert_to_DER_cert(made.certificate.read_text("ascii"))
    assert made.fingerprint.replace(":", "").lower() == hashlib.sha256(der).hexdigest()
    encrypted(made.certificate, made.key)


def test_a_new_address_takes_a_new_certificate(tmp_path: Path):
    before = own(tmp_path)
    after = own(tmp_path, ("camera.example", "fe80::1"))
    assert after.fingerprint != before.fingerprint
    encrypted(after.certificate, after.key)
    assert own(tmp_path, ("camera.example:9000", "fe80::1")) == after


def test_one_that_ends_soon_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = own(tmp_path)
    monkeypatch.setattr(certificate, "_LEFT", timedelta(days=1000))
    assert own(tmp_path).fingerprint != before.fingerprint


def test_what_is_no_certificate_is_not_overwritten(tmp_path: Path):
    for name in (certificate.FILE, certificate.KEY):
        (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="no certificate"):
        own(tmp_path)
    assert (tmp_path / certificate.FILE).read_text() == "mine"


@pytest.mark.parametrize("text", ["", "mine", "-----BEGIN CERTIFICATE-----\n"])
def test_a_broken_certificate_is_refused(tmp_path: Path, text: str):
    good = own(tmp_path / "good")
    broken = tmp_path / "broken.pem"
    broken.write_text(text)
    for pair in ((broken, good.key), (good.certificate, broken), (tmp_path / "no", good.key)):
        with pytest.raises(InputError, match="TLS with"):
            encrypted(*pair)


def test_the_key_of_another_certificate_is_refused(tmp_path: Path):
    one, other = own(tmp_path / "one"), own(tmp_path / "other")
    with pytest.raises(InputError, match="TLS with"):
        encrypted(one.certificate, other.key)
