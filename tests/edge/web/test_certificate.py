import hashlib
import shutil
import socket
import ssl
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dermedge import cli_web
from dermedge.errors import InputError
from dermedge.web import addresses, certificate
from dermedge.web.certificate import own
from dermedge.web.tls import encrypted


def test_a_device_makes_its_certificate_once(tmp_path: Path):
    made = own(tmp_path, ("192.168.1.4",))
    assert own(tmp_path, ("192.168.1.4",)) == made
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    der = ssl.PEM_cert_to_DER_cert(made.certificate.read_text("ascii"))
    assert made.fingerprint.replace(":", "").lower() == hashlib.sha256(der).hexdigest()
    encrypted(made.certificate, made.key)


def names_in(kept: certificate.Own) -> set[str]:
    found = x509.load_pem_x509_certificate(kept.certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    texts = names.get_values_for_type(x509.DNSName)
    return {*texts, *map(str, names.get_values_for_type(x509.IPAddress))}


def test_it_names_the_host_this_machine_and_every_address_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(addresses, "reachable", lambda: ("10.0.0.7", "192.168.1.4", "fd00::7"))
    name = socket.gethostname()
    here = {name, f"{name}.local", "localhost", "127.0.0.1", "::1"}
    kept = own(tmp_path, ("camera.example:9000",))
    assert names_in(kept) == {*here, "10.0.0.7", "192.168.1.4", "fd00::7", "camera.example"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(addresses, "reachable", lambda: ("192.168.1.4",))
    kept = own(tmp_path)
    asked = ["openssl", "x509", "-in", kept.certificate, "-noout", "-fingerprint", "-sha256"]
    said = subprocess.run(
        [*asked, "-ext", "subjectAltName"], capture_output=True, text=True, check=True
    ).stdout
    assert f"={kept.fingerprint}\n" in said
    for name in (f"DNS:{socket.gethostname()}.local", "IP Address:192.168.1.4"):
        assert name in said
    for option, name in (("-verify_ip", "192.168.1.4"), ("-verify_hostname", "localhost")):
        words = ["openssl", "verify", "-CAfile", kept.certificate, option, name, kept.certificate]
        assert subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_device_that_moves_gets_a_new_certificate_for_its_old_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(addresses, "reachable", lambda: ("192.168.1.4",))
    before, key = own(tmp_path), (tmp_path / certificate.KEY).read_bytes()
    monkeypatch.setattr(addresses, "reachable", lambda: ("192.168.1.5",))
    after = own(tmp_path)
    assert after.fingerprint != before.fingerprint
    assert "192.168.1.5" in names_in(after)
    assert (tmp_path / certificate.KEY).read_bytes() == key
    encrypted(after.certificate, after.key)


def test_a_device_without_a_network_keeps_its_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(addresses, "reachable", lambda: ("192.168.1.4",))
    before = own(tmp_path)
    monkeypatch.setattr(addresses, "reachable", lambda: ())
    assert own(tmp_path) == before


def test_a_certificate_that_was_never_written_is_made_for_the_key_that_was(tmp_path: Path):
    before = own(tmp_path)
    before.certificate.unlink()
    after = own(tmp_path)
    assert after.fingerprint != before.fingerprint
    encrypted(after.certificate, after.key)


@pytest.mark.parametrize("kind", ["text", "Ed25519"])
def test_a_key_of_somebody_else_is_not_overwritten(tmp_path: Path, kind: str):
    secret = ed25519.Ed25519PrivateKey.generate()
    other = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    mine = b"mine" if kind == "text" else other
    (tmp_path / certificate.KEY).write_bytes(mine)
    with pytest.raises(InputError, match="no key of the kit"):
        own(tmp_path)
    assert (tmp_path / certificate.KEY).read_bytes() == mine


def test_a_new_address_takes_a_new_certificate(tmp_path: Path):
    before = own(tmp_path)
    after = own(tmp_path, ("camera.example", "fe80::1"))
    assert after.fingerprint != before.fingerprint
    encrypted(after.certificate, after.key)
    assert own(tmp_path, ("camera.example:9000", "fe80::1")) == after


def test_one_that_ends_soon_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = own(tmp_path)
    monkeypatch.setattr(certificate, "_LEFT", timedelta(days=1000))
    assert not certificate.lasts(before)
    assert own(tmp_path).fingerprint != before.fingerprint


def test_one_that_serves_is_renewed_only_when_it_ends_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    before, key = own(tmp_path), (tmp_path / certificate.KEY).read_bytes()
    monkeypatch.setattr(addresses, "reachable", lambda: ("192.168.1.77",))
    cli_web._renew(before, tmp_path, ())
    assert own_print(before) == before.fingerprint
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(certificate, "_LEFT", timedelta(days=1000))
    cli_web._renew(before, tmp_path, ())
    assert own_print(before) != before.fingerprint
    assert own_print(before) in capsys.readouterr().err
    assert (tmp_path / certificate.KEY).read_bytes() == key
    before.certificate.write_text("mine")
    cli_web._renew(before, tmp_path, ())
    assert "can't be renewed" in capsys.readouterr().err


def own_print(kept: certificate.Own) -> str:
    """The fingerprint of what lies there now."""
    found = x509.load_pem_x509_certificate(kept.certificate.read_bytes())
    return found.fingerprint(hashes.SHA256()).hex(":").upper()


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
