"""Which bundles a device lets in: those signed by a pinned key, or others by an explicit wish."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dermedge import keys, seal
from dermedge.errors import BundleError
from dermedge.keys import PublicKey
from dermedge.seal import Manifest, Seal

UNSIGNED = "unsigned"
NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a bundle's origin.

    Attributes:
        signature: `by NAME` of the pinned key; `unsigned` if let in by an explicit wish;
            `not checked` where no key is pinned.
        manifest: What the signer vouched for; None unless a pinned key signed.
    """

    signature: str
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """What is asked of a bundle before a byte of it is read as a zip.

    Attributes:
        keys: The pinned ones.
        allow_unsigned: Let in what none of them signed, and say so in every result. A false
            signature of a pinned key is refused all the same.
        demanded: Whether a signature is asked for even where no key is pinned.
    """

    keys: tuple[PublicKey, ...] = ()
    allow_unsigned: bool = False
    demanded: bool = False

    def check(self, stream: BinaryIO, path: Path) -> Origin:
        """Say where a bundle comes from, or refuse it. `path` is for messages.

        Raises:
            BundleError: Altered, falsely signed, or signed by nobody who is trusted.
            MissingError: A signature has to be checked and the extra `sign` is not installed.
        """
        found = seal.read(stream, path)
        signers = [key for key in self.keys if found and key.fingerprint == found.key]
        if found and signers:
            seal.check(found, signers[0], stream, path)
            return Origin(f"by {signers[0].name}", found.manifest)
        if self.allow_unsigned:
            return Origin(UNSIGNED)
        if self.keys or self.demanded:
            raise BundleError(self._refusal(found, path))
        return Origin(NOT_CHECKED)

    def _refusal(self, found: Seal | None, path: Path) -> str:
        pinned = ", ".join(key.name for key in self.keys)
        signer = f"signed by an unknown key ({found.key[:16]}…)" if found else "not signed"
        here = f"only {pinned} is trusted here" if pinned else "no key is pinned here"
        mend = "" if pinned else "kit bundle trust KEY.pub pins one; "
        return f"{path} is {signer}, and {here}; {mend}--allow-unsigned takes it all the same"


# A developer's: every whole bundle is let in.
ANYONE = Trust()


def of_device(home: Path, allow_unsigned: bool = False, demanded: bool = False) -> Trust:
    """What a device asks of bundles: the keys pinned in its folder, see `keys.pinned`."""
    return Trust(keys.pinned(home / "keys"), allow_unsigned, demanded)
