"""What is malformed is read or refused: never a crash, never more memory than a sound one takes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dermedge import golden, keys
from dermedge.bundle import open_bundle, pack, sign
from dermedge.model import Classifier

HERE = Path(__file__).parent
PICTURES, BUNDLES = 10_000, 1_000
# MiB: a picture of the greatest size that is let in, twice, as its colours are put in order; and
# what Python and OpenCV take.
MOST_OF_A_PICTURE = 2 * 286 + 150

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)


def run(script: str, *arguments: object) -> dict[str, Any]:
    """What the script found; its own death is told with the number that it died of."""
    last = Path(str(arguments[1]))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=env)
    number = last.read_text() if last.exists() else "none"
    assert done.returncode == 0, f"{script}, number {number}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)


def test_malformed_pictures_are_read_or_refused_in_bounded_memory(tmp_path: Path):
    told = run("malformed_pictures.py", PICTURES, tmp_path / "last")
    assert sum(told["found"].values()) == PICTURES
    assert min(told["found"]["picture"], told["found"]["refused"]) > PICTURES // 10
    assert told["peak"] < MOST_OF_A_PICTURE
    # Of those that say that they are too large, no pixel is ever asked for.
    assert set(told["oversized"].values()) == {"refused"}
    assert told["grown"] < 50


def test_malformed_bundles_are_used_or_refused_in_bounded_memory(
    tmp_path: Path, tiny_bundles: tuple[Path, Path]
):
    found = open_bundle(tiny_bundles[1])
    vectors = golden.take(Classifier(found.model, found.contract, 1), found.contract)
    path, keys_folder = tmp_path / "sound.kit", tmp_path / "keys"
    pack(path, found.contract, found.model, found.card, vectors.to_json())
    keys.make(keys_folder, "clinic")
    sign(path, path, keys.read_private(keys_folder / "clinic.pem"), 7)
    told = run(
        *("malformed_bundles.py", BUNDLES, tmp_path / "last", path, keys_folder / "clinic.pem")
    )
    counts = told["found"]
    assert sum(counts.values()) > 2.9 * BUNDLES  # each is opened by three who trust differently
    assert counts["refused"] > BUNDLES
    assert min(counts["opened"], counts["used"]) > BUNDLES // 20
    assert told["grown"] < 300  # MiB; the models have a few kB
