"""Malformed bundles, made from a sound one and opened; `test_malformed` runs it as a process.

    malformed_bundles.py COUNT LAST SIGNED KEY

SIGNED is a sealed bundle with golden vectors, KEY the private key that sealed it. LAST is a file
that holds the number of the bundle being opened, so that a crash can be repeated: the same number
always gives the same bytes. What came of them is printed as JSON.
"""

import dataclasses
import io
import json
import os
import random
import resource
import stat
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dermedge import archive, golden, keys, seal
from dermedge.archive import CARD, CONTRACT, GOLDEN, MODEL, SUMS
from dermedge.bundle import Bundle, open_bundle
from dermedge.errors import KitError
from dermedge.keys import PrivateKey
from dermedge.trust import ANYONE, Trust

ODD: Sequence[Any] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 0.5, -0.0, 1e308, 1e999, "", "x", "../x"),
    *("é" * 5000, "\ud800", [], {}, [[]], [0] * 1000, {"x": 1}, "0" * 64, "nan", "\x00"),
)
NUMBERS = (0, 1, 4, 8, 99, 255, 0x4000, 0xFFFF, 1 << 20, 1 << 28, (1 << 31) - 1, (1 << 32) - 1)
NAMES = (
    *(CONTRACT, MODEL, CARD, SUMS, GOLDEN, MODEL.upper(), f"{MODEL}/", f"./{MODEL}", "../x", "/x"),
    *("", "a\\b", "a\x00b", "C:x", "é" * 99, "x" * 60_000),
)
# Of each record of a zip: its mark, and how many bytes of fields follow that.
RECORDS = ((b"PK\3\4", 26), (b"PK\1\2", 42), (b"PK\5\6", 18))


@dataclasses.dataclass(frozen=True)
class Sound:
    """What all are made from."""

    data: bytes
    files: dict[str, bytes]
    key: PrivateKey
    bundle: Bundle


Change = Callable[[random.Random, Sound], bytes]


def flipped(chance: random.Random, sound: Sound) -> bytes:
    """A few bytes are others, anywhere, or where a zip or the seal says what it holds."""
    data = bytearray(sound.data)
    places = [range(len(data)), range(len(data) - seal.SIZE - 600, len(data))]
    for _ in range(chance.choice([1, 2, 8])):
        place = chance.choice(chance.choice(places))
        data[place] = chance.choice([data[place] ^ 1 << chance.randrange(8), 0, 255])
    return bytes(data)


def cut(chance: random.Random, sound: Sound) -> bytes:
    """The end, the beginning or the middle is missing, or stands there twice."""
    data = sound.data
    start, end = sorted(chance.randrange(len(data)) for _ in range(2))
    return chance.choice(
        [data[:end], data[start:], data[:start] + data[end:], data[:end] + data[start:]]
    )


def refielded(chance: random.Random, sound: Sound) -> bytes:
    """A field of a zip record has another value."""
    data = bytearray(seal.strip(sound.data) if chance.random() < 0.7 else sound.data)
    for _ in range(chance.choice([1, 1, 2])):
        mark, length = chance.choice(RECORDS)
        starts = [at for at in range(len(data)) if data.startswith(mark, at)]
        size = chance.choice([2, 4])
        place = chance.choice(starts or [0]) + 4 + chance.randrange(0, length - size + 1, 2)
        value = chance.choice(NUMBERS) % (1 << 8 * size)
        data[place : place + size] = value.to_bytes(size, "little")
    return bytes(data)


def reentered(chance: random.Random, sound: Sound) -> bytes:
    """Entries are missing, double, links, of other names, or packed in another way."""
    entries = list(sound.files.items())
    for _ in range(chance.choice([1, 2])):
        place = chance.randrange(len(entries))
        name, data = entries[place]
        entries[place : place + 1] = chance.choice(
            [
                *([], [(name, data)] * 2, [(chance.choice(NAMES), data)]),
                [(name, data), (chance.choice(NAMES), b"x")],
            ]
        ) or [entries[0]]
    modes = (stat.S_IFREG, stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR, 0)
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
    return _zipped(entries, lambda: chance.choice(modes), lambda: chance.choice(methods))


def bomb(chance: random.Random, sound: Sound) -> bytes:
    """One file unpacks to a great many bytes."""
    size = chance.choice([*[1 << 20] * 4, 1 << 23, 1 << 23, 1 << 26])
    name = chance.choice([CONTRACT, MODEL, CARD, SUMS, GOLDEN])
    return _summed({**sound.files, name: chance.choice([b"\0", b"[", b" ", b"9"]) * size})


def recontracted(chance: random.Random, sound: Sound) -> bytes:
    """A value of the contract is another, or its text is damaged; all checksums fit."""
    text = _altered(chance, sound.files[CONTRACT])
    return _summed({**sound.files, CONTRACT: text})


def regilded(chance: random.Random, sound: Sound) -> bytes:
    """The golden vectors are others; all checksums fit."""
    return _summed({**sound.files, GOLDEN: _altered(chance, sound.files[GOLDEN])})


def remodelled(chance: random.Random, sound: Sound) -> bytes:
    """The model is damaged; all checksums fit, the contract's too."""
    model = bytearray(sound.files[MODEL])
    for _ in range(chance.choice([1, 2, 8])):
        place = chance.randrange(len(model))
        model[place] = chance.choice([model[place] ^ 1 << chance.randrange(8), 0, 255])
    data = bytes(model)[: len(model) if chance.random() < 0.8 else chance.randrange(len(model))]
    terms = json.loads(sound.files[CONTRACT])
    terms["model"]["sha256"] = archive.sha256(data)
    return _summed({**sound.files, MODEL: data, CONTRACT: json.dumps(terms).encode()})


def resummed(chance: random.Random, sound: Sound) -> bytes:
    """The list of checksums or the card is damaged."""
    name = chance.choice([SUMS, CARD])
    damaged = {**sound.files, name: _damaged(chance, sound.files[name])}
    return _zipped(list(damaged.items())) if name == SUMS else _summed(damaged)


def resealed(chance: random.Random, sound: Sound) -> bytes:
    """The seal is damaged, or says other things than were signed."""
    body, block = sound.data[: -seal.SIZE], sound.data[-seal.SIZE :]
    if chance.random() < 0.3:
        return body + _damaged(chance, block)[: seal.SIZE].ljust(seal.SIZE)
    lines = block.split(b"\n")
    place = chance.choice([1, 2, 3, 3, 3])
    lines[place] = _altered(chance, lines[place]) if place == 3 else _damaged(chance, lines[place])
    return body + b"\n".join(lines).rstrip(b" ").ljust(seal.SIZE)[: seal.SIZE]


def signed(chance: random.Random, sound: Sound) -> bytes:
    """Malformed inside, and signed all the same by the key that is pinned."""
    made = chance.choice([recontracted, regilded, remodelled, reentered, refielded])
    unsealed = seal.strip(made(chance, sound))
    files = {name: archive.sha256(data) for name, data in sound.files.items()}
    return seal.sign(unsealed, files, chance.choice([1, 9, seal.MAX_VERSION]), sound.key)[1]


CHANGES: Sequence[Change] = (
    *(flipped, cut, refielded, refielded, reentered, bomb, recontracted, recontracted),
    *(regilded, remodelled, resummed, resealed, resealed, signed),
)


def malformed(number: int, sound: Sound) -> tuple[str, bytes]:
    """The bundle of this number, always the same, and what was done to it."""
    chance = random.Random(number)
    change = CHANGES[number % len(CHANGES)]
    return change.__name__, change(chance, sound)


def outcome(path: Path, trust: Trust, sound: Sound, by_maker: bool) -> str:
    """`opened`, `used` (its model judged) or `refused`; anything else is raised."""
    try:
        found = open_bundle(path, trust)
    except KitError:
        return "refused"
    if found.version and not by_maker:  # let in by the pinned key: then it is what that one signed
        assert found == dataclasses.replace(sound.bundle, path=path, sha256=found.sha256)
    try:
        golden.check(found, 1)
    except KitError:
        return "opened"
    return "used"


def peak() -> int:
    """Most memory that this process ever held, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


def main(count: int, last: Path, path: Path, key: Path) -> None:
    """Open them all, as a developer, as a device, and as one that lets in what is not signed."""
    maker = keys.read_private(key)
    trusted = (maker.public,)
    asked = (ANYONE, Trust(trusted), Trust(trusted, allow_unsigned=True, demanded=True))
    data = path.read_bytes()
    files = archive.read(io.BytesIO(data), path)
    sound = Sound(data, files, maker, open_bundle(path, asked[1]))
    assert outcome(path, asked[1], sound, by_maker=False) == "used"
    before, found = peak(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, last.open("wb", buffering=0) as note:
        for number in range(count):
            os.pwrite(note.fileno(), b"%06d" % number, 0)
            how, data = malformed(number, sound)
            other = Path(folder) / "a.kit"
            other.write_bytes(data)
            for trust in asked if data != sound.data else ():
                found[outcome(other, trust, sound, how == "signed")] += 1
    print(json.dumps({"found": found, "grown": peak() - before}))


def _summed(files: dict[str, bytes]) -> bytes:
    """A zip whose list of checksums fits the files."""
    rest = {name: data for name, data in files.items() if name != SUMS}
    sums = "".join(f"{archive.sha256(data)}  {name}\n" for name, data in rest.items())
    return _zipped([*rest.items(), (SUMS, sums.encode())])


def _zipped(
    entries: Sequence[tuple[str, bytes]],
    mode: Callable[[], int] = lambda: stat.S_IFREG,
    method: Callable[[], int] = lambda: zipfile.ZIP_DEFLATED,
) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compresslevel=1) as archived:
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode() << 16, method()
            archived.writestr(entry, data)
    return made.getvalue()


def _altered(chance: random.Random, text: bytes) -> bytes:
    """JSON with another value, key or item somewhere; or damaged text."""
    if chance.random() < 0.2:
        return _damaged(chance, text)
    whole = json.loads(text)
    for _ in range(chance.choice([1, 1, 3])):
        part, key = chance.choice(list(_inside(whole)))
        if chance.random() < 0.2 and len(part) > 1:
            del part[key]
        elif isinstance(part, dict) and chance.random() < 0.2:
            part[chance.choice(["x", "", "format", "é"])] = chance.choice(ODD)
        else:
            part[key] = chance.choice(ODD)
    return json.dumps(whole).encode()


def _inside(whole: Any) -> list[tuple[Any, Any]]:
    """Every place of a value: what holds it, and its key or index there."""
    items = whole.items() if isinstance(whole, dict) else enumerate(whole)
    found = []
    for key, value in items:
        found.append((whole, key))
        if isinstance(value, dict | list):
            found += _inside(value)
    return found


def _damaged(chance: random.Random, text: bytes) -> bytes:
    start, end = sorted(chance.randrange(len(text)) for _ in range(2))
    junk = chance.choice([b"", b"\xff\xfe", b"\0" * 9, b"[" * 100_000, b'"', b"1e9999", b"{}"])
    return chance.choice([text[:start] + junk + text[end:], text[:end], junk, text + junk])


if __name__ == "__main__":
    resource.setrlimit(
        resource.RLIMIT_AS, (4 << 30, 4 << 30)
    )  # a failure is not to fell the machine
    warnings.filterwarnings("ignore", "Duplicate name")
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
