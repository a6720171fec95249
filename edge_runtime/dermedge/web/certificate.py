"""A certificate that the device makes for itself, for TLS without an authority."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from dermedge import atomic, pem
from dermedge.errors import InputError, MissingError
from dermedge.web import addresses

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, GeneralName

FILE, KEY = "web.crt", "web.pem"

_DAYS = 365
_LEFT = timedelta(days=7)  # one that ends sooner is made anew


@dataclass(frozen=True, slots=True)
class Own:
    """A certificate and its key.

    Attributes:
        certificate: PEM file.
        key: PEM file; only its owner may read it.
        fingerprint: SHA-256 of the certificate, as browsers show it.
    """

    certificate: Path
    key: Path
    fingerprint: str


def own(folder: Path, more: tuple[str, ...] = ()) -> Own:
    """The device's certificate; made if there is none, or if it ends soon or lacks an address.

    It names the host, this machine, and the addresses that the network interfaces have now. An
    address that has gone since does no harm, and stays: so a browser has to trust it seldom. The
    key stays the same, for those who have pinned it.

    Args:
        folder: Where it is kept.
        more: Further names and addresses by which the device is reached; a port behind them doesn't
            matter.

    Raises:
        InputError: What lies there is no certificate, or no key, of the kit.
        MissingError: The package `cryptography` is not installed.
        StorageError: It can't be written.
    """
    found = Own(folder / FILE, folder / KEY, "")
    names = tuple(dict.fromkeys((*_names(), *map(_without_port, more))))
    if not _serves(found, names):
        _make(found, names)
    der = ssl.PEM_cert_to_DER_cert(found.certificate.read_text("ascii"))
    digest = hashlib.sha256(der).hexdigest().upper()
    pairs = ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
    return Own(found.certificate, found.key, pairs)


def lasts(kept: Own) -> bool:
    """Whether it is there, and doesn't end soon.

    Raises:
        InputError: It is no certificate of the kit.
    """
    return _serves(kept, ())


def _serves(kept: Own, names: tuple[str, ...]) -> bool:
    x509 = _x509()
    if not kept.key.is_file() or not kept.certificate.is_file():
        return False
    try:
        found: Certificate = x509.load_pem_x509_certificate(kept.certificate.read_bytes())
        known = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise InputError(f"{kept.certificate} is no certificate of the kit: {error}") from error
    still = found.not_valid_after_utc - datetime.now(timezone.utc)
    return still > _LEFT and all(_general(name) in known for name in names)


def _make(into: Own, names: tuple[str, ...]) -> None:
    x509 = _x509()
    from cryptography.hazmat.primitives import hashes, serialization

    key = _key(into.key)
    now = datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A Pi without a battery may live in the past until its clock is set.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    atomic.write_bytes(into.certificate, made.public_bytes(serialization.Encoding.PEM))


def _key(path: Path) -> EllipticCurvePrivateKey:
    """The device's; made if there is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if path.exists():
        try:
            found = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
            raise InputError(f"{path} is no key of the kit: {error}") from error
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise InputError(f"{path} is no key of the kit: it is of another kind")
        return found
    made = ec.generate_private_key(ec.SECP256R1())
    pem.write(path, made)
    return made


def _names() -> tuple[str, ...]:
    name = socket.gethostname()
    here = (name, f"{name}.local", "localhost", "127.0.0.1", "::1")
    return *here, *addresses.reachable()


def _without_port(name: str) -> str:
    return name.partition(":")[0] if name.count(":") == 1 else name  # more: an IPv6 address


def _general(name: str) -> GeneralName:
    x509 = _x509()
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise InputError(f"{name!r} is no host name; write it as xn--...") from error


def _x509():
    try:
        from cryptography import x509
    except ImportError as error:
        raise MissingError(
            "a certificate of the device's own needs the package cryptography; run: "
            "pip install 'dermkit[crypt]' (on a device: 'dermkit-edge[crypt]')"
        ) from error
    return x509
