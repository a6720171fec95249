import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dermedge.quiet import quiet


def test_remarks_of_c_libraries_are_swallowed(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        os.write(2, b"INFO: hello\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_remarks_before_a_failure_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(2, b"the reason\n")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), quiet():
        fail()
    assert "the reason" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it needs a file")
def test_no_disk_is_asked_for_room(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as device:
        device.setattr(tempfile, "tempdir", str(tmp_path / "full or read-only"))
        with quiet():
            os.write(2, b"INFO: hello\n")
    assert capfd.readouterr().err == ""


def test_the_interpreter_says_nothing(tiny_bundles) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from dermedge.bundle import open_bundle\n"
        "from dermedge.diagnose import Diagnostician\n"
        "Diagnostician(open_bundle(Path(sys.argv[1])))"
    )
    run = [sys.executable, "-c", code, str(tiny_bundles[1])]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
