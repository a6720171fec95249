"""What stands behind the -- of kit edge install is refused as kit camera would refuse it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dermedge.cli import app
from dermedge.errors import KitError


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("KIT_SOURCE", "DERMKIT_HOME"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "x.whl").touch()
    return tmp_path / "x.whl"


def planned(wheel: Path, *options: str) -> Result:
    words = ["edge", "install", "--dry-run", "--wheel", str(wheel), "--", *options]
    return CliRunner().invoke(app, words)


def code(found: Result) -> int:
    """As `main` ends with it."""
    return found.exception.exit_code if isinstance(found.exception, KitError) else found.exit_code


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--web", "--web-listen", "0.0.0.0", "--web-tls", "auto", "--capture", "web"),
        ("--mqtt", "mqtts://cam@broker", "--mqtt-password-file", "/srv/password"),
        ("--keep-pictures", "--key-file", "/srv/records.key", "--capture=button:22"),
        ("--record", "/var/lib/dermkit/other.jsonl", "--size", "1280x720"),
        ("--web", "--web-tls", "/srv/a.pem,/srv/b.pem", "--threads", "2"),
    ],
)
def test_what_a_service_can_do_is_planned(wheel: Path, options: tuple[str, ...]):
    found = planned(wheel, *options)
    assert found.exit_code == 0, found.output
    assert f"{' '.join(options)}\n" in found.stdout.replace('"', "")


@pytest.mark.parametrize(
    ("options", "exit_code", "said"),
    [
        (("--mqtt", "mqtt://cam:s3cret@broker"), 4, "not for the command line"),
        (("--mqtt", "broker"), 4, "expected mqtt://"),
        (("--mqtt", "mqtt://broker", "--mqtt-topic", "#"), 4, "topic"),
        (("--mqtt", "mqtt://broker", "--mqtt-password-file", "/srv/p"), 4, "needs a user"),
        (("--mqtt-name", "a"), 2, "need a broker"),
        (("--capture", "smile"), 2, "expected steady"),
        (("--capture", "web"), 2, "add --web"),
        (("--capture", "mqtt"), 2, "need a broker"),
        (("--capture", "key"), 2, "neither a window nor a terminal"),
        (("--window",), 2, "no screen"),
        (("--web-listen", "0.0.0.0"), 2, "add --web"),
        (("--web", "--web-listen", "0.0.0.0:x"), 2, "expected as 0.0.0.0:8077"),
        (("--web", "--web-listen", "0.0.0.0:77777"), 4, "0 to 65535"),
        (("--web", "--web-tls", "cert.pem"), 2, "CERT.pem,KEY.pem"),
        (("--size", "1x"), 2, "expected as 1280x720"),
        (("--key-file", "/srv/k"), 2, "add --keep-pictures"),
        (("--keep-pictures", "--key-file", "/root/k"), 4, "can't see /root"),
        (("--keep-pictures", "--key-file", "k"), 4, "give the whole path"),
        (("--web", "--web-token-file", "/srv/../home/t"), 4, "can't see /home"),
        (("--web", "--web-tls", "/srv/a.pem,/root/b.pem"), 4, "can't see /root"),
        (("--mqtt", "mqtts://a@b", "--mqtt-ca", "/tmp/ca.pem"), 4, "can't see /tmp"),
        (("--record", "/home/r.jsonl"), 4, "can't see /home"),
        (("--record", "/srv/r.jsonl"), 4, "nothing outside /var/lib/dermkit"),
        (("--home", "/root/x"), 4, "can't see /root"),
        (("--list",), 2, "--list is for kit camera by hand"),
        (("--help",), 2, "--help is for kit camera by hand"),
        (("--source=0",), 2, "--source stands before the --"),
        (("--threads", "100000"), 2, "not in the range"),
    ],
)
def test_what_would_end_a_service_is_refused_before_anything_is_done(
    wheel: Path, options: tuple[str, ...], exit_code: int, said: str
):
    found = planned(wheel, *options)
    assert code(found) == exit_code
    told = f"{found.output} {found.exception}"
    assert said in told
    assert "s3cret" not in told
    assert found.stdout == ""
