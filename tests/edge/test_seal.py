"""Keys, seals, and whom a device trusts."""

import dataclasses
import io
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dermedge import archive, keys, seal, trust
from dermedge.bundle import open_bundle, sign
from dermedge.errors import BundleError, InputError, KitError, MissingError, StorageError
from dermedge.keys import PrivateKey
from dermedge.trust import Trust


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> PrivateKey:
    folder = tmp_path_factory.mktemp("keys")
    keys.make(folder, "clinic")
    return keys.read_private(folder / "clinic.pem")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> PrivateKey:
    folder = tmp_path_factory.mktemp("stranger")
    keys.make(folder, "stranger")
    return keys.read_private(folder / "stranger.pem")


@pytest.fixture
def signed(tmp_path: Path, tiny_bundles: tuple[Path, Path], pair: PrivateKey) -> Path:
    sign(tiny_bundles[1], tmp_path / "signed.kit", pair, 7)
    return tmp_path / "signed.kit"


def test_a_sealed_bundle_says_who_signed_it_and_which_version(signed: Path, pair: PrivateKey):
    found = open_bundle(signed, Trust((pair.public,)))
    assert (found.signature, found.version) == ("by clinic", 7)


def test_a_sealed_bundle_is_the_same_model(
    signed: Path, tiny_bundles: tuple[Path, Path], pair: PrivateKey
):
    found, before = open_bundle(signed, Trust((pair.public,))), open_bundle(tiny_bundles[1])
    assert (found.model, found.contract, found.card) == (before.model, before.contract, before.card)


def test_a_seal_is_an_ordinary_comment_to_every_zip_reader(signed: Path):
    with zipfile.ZipFile(signed) as archived:
        assert archived.testzip() is None
        assert len(archived.comment) == seal.SIZE


def test_the_manifest_names_every_file_and_every_byte(
    signed: Path, tiny_bundles: tuple[Path, Path]
):
    with signed.open("rb") as stream:
        found = seal.read(stream, signed)
    assert found is not None
    with zipfile.ZipFile(signed) as archived:
        inside = {name: archive.sha256(archived.read(name)) for name in archived.namelist()}
    assert found.manifest.files == inside
    assert found.manifest.bytes == tiny_bundles[1].stat().st_size
    assert found.manifest.sha256 == archive.sha256(signed.read_bytes()[: -seal.SIZE])


def test_signing_twice_gives_the_same_bytes_and_replaces_the_seal(signed: Path, pair: PrivateKey):
    before = signed.read_bytes()
    sign(signed, signed, pair, 8)
    assert open_bundle(signed, Trust((pair.public,))).version == 8
    sign(signed, signed, pair, 7)
    assert signed.read_bytes() == before


@pytest.mark.parametrize("version", [0, -1, 2**53])
def test_a_version_out_of_bounds_is_refused(signed: Path, pair: PrivateKey, version: int):
    with pytest.raises(InputError, match="expected a version from 1"):
        sign(signed, signed, pair, version)


def test_no_byte_of_an_altered_bundle_reaches_the_zip_reader(
    signed: Path, pair: PrivateKey, monkeypatch: pytest.MonkeyPatch
):
    class Untouchable:
        def __init__(self, *given: object) -> None:
            raise AssertionError("the zip reader saw an altered bundle")

    whole = signed.read_bytes()
    monkeypatch.setattr(archive.zipfile, "ZipFile", Untouchable)
    places = [*range(0, len(whole) - seal.SIZE, 61), *range(len(whole) - seal.SIZE, len(whole), 7)]
    for place in places:
        altered = bytearray(whole)
        altered[place] ^= 1
        signed.write_bytes(altered)
        with pytest.raises(BundleError):
            open_bundle(signed, Trust((pair.public,)))
    for data in (whole[:-1], whole[1:], whole + b" ", b"x" + whole, whole[: -seal.SIZE], b""):
        signed.write_bytes(data)
        with pytest.raises(BundleError):
            open_bundle(signed, Trust((pair.public,)))


def test_what_changes_on_the_disk_after_the_check_is_seen(
    signed: Path, tiny_bundles: tuple[Path, Path], pair: PrivateKey, monkeypatch: pytest.MonkeyPatch
):
    other = tiny_bundles[0].read_bytes()
    read = archive.read
    monkeypatch.setattr(archive, "read", lambda stream, path: read(io.BytesIO(other), path))
    with pytest.raises(BundleError, match="changed while it was read"):
        open_bundle(signed, Trust((pair.public,)))


def test_a_signature_of_another_key_under_a_trusted_name_is_false(
    signed: Path, pair: PrivateKey, stranger: PrivateKey
):
    sign(signed, signed, stranger, 9)
    forged = signed.read_bytes().replace(
        stranger.public.fingerprint.encode(), pair.public.fingerprint.encode()
    )
    signed.write_bytes(forged)
    for asked in (Trust((pair.public,)), Trust((pair.public,), allow_unsigned=True)):
        with pytest.raises(BundleError, match="false signature of clinic"):
            open_bundle(signed, asked)


def test_who_lets_in_what(
    signed: Path, tiny_bundles: tuple[Path, Path], pair: PrivateKey, stranger: PrivateKey
):
    unsigned, other = tiny_bundles[1], signed.with_name("other.kit")
    sign(unsigned, other, stranger, 1)
    pinned = Trust((pair.public,))
    lenient = dataclasses.replace(pinned, allow_unsigned=True)
    for path in (unsigned, other):
        assert open_bundle(path).signature == trust.NOT_CHECKED
        assert open_bundle(path, lenient).signature == trust.UNSIGNED
        with pytest.raises(BundleError, match="only clinic is trusted here"):
            open_bundle(path, pinned)
        with pytest.raises(BundleError, match="no key is pinned here; kit bundle trust"):
            open_bundle(path, Trust(demanded=True))
    assert open_bundle(signed, lenient).signature == "by clinic"


@pytest.mark.parametrize(
    "manifest",
    [
        *(b"{}", b"{", b"[1]", b'{"version":true}', b'{"format":2}'),
        b'{"bytes":1,"files":{},"format":1,"sha256":"x","version":1}',
        b'{"bytes":1,"files":[],"format":1,"sha256":"x","version":1}',
        b'{"bytes":1,"files":{},"format":1,"sha256":"' + b"0" * 64 + b'","version":0}',
        b'{"bytes":1, "files":{},"format":1,"sha256":"' + b"0" * 64 + b'","version":1}',
        b"{" * 2000,
        b"[" * 3000 + b"{}",
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(tmp_path: Path, manifest: bytes):
    block = b"dermkit seal 1\n" + b"\n".join([b"0" * 64, b"0" * 128, manifest, b""])
    path = tmp_path / "a.kit"
    path.write_bytes(block.ljust(seal.SIZE))
    with path.open("rb") as stream, pytest.raises(BundleError, match=r"manifest|seal"):
        seal.read(stream, path)


def test_the_private_key_is_its_owner_s_alone_and_openssl_reads_both(tmp_path: Path):
    key = keys.make(tmp_path, "clinic")
    assert stat.S_IMODE((tmp_path / "clinic.pem").stat().st_mode) == 0o600
    assert keys.read_public(tmp_path / "clinic.pub") == key
    if shutil.which("openssl"):
        command = ["openssl", "pkey", "-in", tmp_path / "clinic.pem", "-pubout"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == (tmp_path / "clinic.pub").read_text()


def test_a_key_is_never_overwritten(tmp_path: Path):
    keys.make(tmp_path, "clinic")
    with pytest.raises(InputError, match="never overwritten"):
        keys.make(tmp_path, "clinic")


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "x" * 65, "a/b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str):
    with pytest.raises(InputError, match="no name for a key"):
        keys.make(tmp_path, name)


@pytest.mark.parametrize(
    "text", ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_what_is_no_key_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "a.pub"
    path.write_text(text)
    with pytest.raises(InputError, match="not an Ed25519 public key"):
        keys.read_public(path)
    with pytest.raises(InputError, match="not a private key"):
        keys.read_private(path)
    with pytest.raises(InputError, match="can't be read"):
        keys.read_public(tmp_path / "absent.pub")


def test_a_key_of_another_kind_is_refused(tmp_path: Path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    pem = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "a.pem").write_bytes(pem)
    with pytest.raises(InputError, match="not of Ed25519"):
        keys.read_private(tmp_path / "a.pem")


def test_a_device_trusts_what_is_pinned_and_nothing_else(tmp_path: Path):
    folder = tmp_path / "home" / "keys"
    assert keys.pinned(folder) == ()
    one, two = (keys.make(tmp_path, name) for name in ("one", "two"))
    for name in ("one", "two", "one"):
        keys.pin(folder, tmp_path / f"{name}.pub")
    assert keys.pinned(folder) == (one, two)


def test_another_key_of_a_pinned_name_is_refused(tmp_path: Path):
    for folder in ("mine", "theirs"):
        keys.make(tmp_path / folder, "clinic")
    keys.pin(tmp_path / "keys", tmp_path / "mine" / "clinic.pub")
    with pytest.raises(InputError, match="another key is pinned"):
        keys.pin(tmp_path / "keys", tmp_path / "theirs" / "clinic.pub")


def test_a_pinned_key_that_can_not_be_read_opens_no_door(
    tmp_path: Path, tiny_bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "clinic.pub").write_text("damaged")
    with pytest.raises(KitError, match="not an Ed25519 public key"):
        trust.of_device(tmp_path)

    def shut(path: Path) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "iterdir", shut)
    with pytest.raises(StorageError, match="can't be read"):
        trust.of_device(tmp_path)


def test_without_the_package_nothing_signed_is_let_in(
    signed: Path, pair: PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for ask in (
        lambda: open_bundle(signed, Trust((pair.public,))),
        lambda: keys.make(tmp_path, "x"),
        lambda: keys.pin(tmp_path / "keys", tmp_path / "x.pub"),
    ):
        with pytest.raises(MissingError, match=r"pip install 'dermkit\[sign\]'") as told:
            ask()
        assert told.value.exit_code == 7
    assert open_bundle(signed).signature == trust.NOT_CHECKED
