from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dermedge import cli_edge, installation
from dermedge.cli import app
from dermedge.errors import InputError, KitError, StorageError
from dermedge.installation import Run, perform
from dermedge.service import UNIT, Service


class Machine:
    """Runs nothing, remembers all; makes what a real venv would."""

    def __init__(self, folder: Path, fails: str = "") -> None:
        self.environment, self.units = folder / "opt", folder / "units"
        self.ran: list[str] = []
        self.said: list[str] = []
        self._fails = fails

    def run(self, words: Sequence[str]) -> int:
        self.ran.append(" ".join(words))
        if "venv" in words:
            (self.environment / "bin").mkdir(parents=True, exist_ok=True)
            for name in ("pyvenv.cfg", "bin/kit"):
                (self.environment / name).touch()
        return int(bool(self._fails) and self._fails in words)

    def install(self, start: bool = False) -> None:
        service = Service(self.environment)
        steps = installation.install(service, "dermkit-edge", None, start, self.units)
        perform(steps, self.said.append, self.run)

    def uninstall(self, stop: bool = False) -> None:
        steps = installation.uninstall(self.environment, stop, self.units)
        perform(steps, self.said.append, self.run)


def test_the_environment_sees_the_system_and_systemd_is_left_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.install()
    venv, pip = machine.ran
    assert venv == f"/usr/bin/python3 -m venv --system-site-packages {machine.environment}"
    assert pip.startswith(f"{machine.environment}/bin/python -m pip install --upgrade dermkit-edge")
    assert "Type=notify" in (machine.units / UNIT).read_text()
    assert [line.split()[0] for line in machine.said] == ["run", "run", "write"]


def test_systemd_starts_it_when_asked_and_stops_it_before_it_goes(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.install(start=True)
    assert machine.ran[2:] == [
        "systemctl daemon-reload",
        f"systemctl enable {UNIT}",
        f"systemctl restart {UNIT}",
    ]
    machine.ran.clear()
    machine.uninstall(stop=True)
    assert machine.ran == [f"systemctl disable --now {UNIT}", "systemctl daemon-reload"]
    assert not machine.environment.exists()
    assert list(machine.units.iterdir()) == []


def test_to_install_again_is_an_update_and_to_uninstall_again_changes_nothing(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path)
    machine.install()
    machine.install()
    machine.uninstall()
    machine.uninstall()
    assert not machine.environment.exists()
    assert not any("systemctl" in words for words in machine.ran)


def test_a_wheelhouse_takes_the_place_of_the_index(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no wheels"):
        installation.install(Service(tmp_path), "dermkit-edge", tmp_path)
    (tmp_path / "x.whl").touch()
    steps = installation.install(Service(tmp_path), "dermkit-edge[sign]", tmp_path)
    assert isinstance(steps[1], Run)
    assert f"--no-index --find-links {tmp_path} dermkit-edge[sign]" in " ".join(steps[1].words)


def test_a_lean_environment_is_filled_uncompiled_and_loses_pip_last(tmp_path: Path) -> None:
    steps = installation.install(Service(tmp_path), "dermkit-edge", units=tmp_path, lean=True)
    commands = [" ".join(step.words) for step in steps if isinstance(step, Run)]
    assert "pip install --upgrade --no-compile dermkit-edge" in commands[1]
    assert commands[-1].endswith("-m pip uninstall --yes setuptools pip")
    assert isinstance(steps[-1], installation.Write)


def test_an_enabled_service_is_not_pulled_from_under_systemd(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.install()
    link = machine.units / "multi-user.target.wants" / UNIT
    link.parent.mkdir()
    link.symlink_to(machine.units / UNIT)
    with pytest.raises(InputError, match=f"sudo systemctl disable --now {UNIT}"):
        machine.uninstall()
    assert machine.environment.exists()


def test_a_folder_that_is_no_environment_of_the_kit_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "photographs").touch()
    with pytest.raises(InputError, match="no environment of the kit"):
        installation.uninstall(tmp_path)


def test_a_step_that_fails_stops_the_others_and_says_what_may_help(tmp_path: Path) -> None:
    machine = Machine(tmp_path, fails="venv")
    with pytest.raises(KitError, match=r"exit code 1: .* apt install python3-venv"):
        machine.install()
    assert len(machine.ran) == 1
    assert not machine.units.exists()


def test_a_unit_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.units.write_text("a file, where a folder should be")
    with pytest.raises(StorageError):
        machine.install()


def test_a_program_that_is_not_there_is_one_line() -> None:
    with pytest.raises(KitError, match="can't be run"):
        perform([Run(("/nowhere/python3",))], lambda step: None)


def test_a_wheel_is_named_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.whl").touch()
    assert installation.requirement(Path("a.whl"), ("sign",)) == f"{tmp_path}/a.whl[sign]"
    with pytest.raises(InputError):
        installation.requirement(Path("b.whl"), ())


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        pytest.fail("a command ran or a file was written")

    monkeypatch.setattr(installation, "perform", refuse)


@pytest.mark.usefixtures("nothing_runs")
def test_a_dry_run_prints_commands_and_the_whole_unit(tmp_path: Path) -> None:
    (tmp_path / "x.whl").touch()
    words = ["edge", "install", "--dry-run", "--systemctl", "--env", str(tmp_path / "env")]
    from_folder = ("--wheelhouse", str(tmp_path))
    done = CliRunner().invoke(app, [*words, *from_folder, "--source", "picamera2"])
    assert done.exit_code == 0, done.output
    for part in ("--system-site-packages", "| WatchdogSec=", f"systemctl enable {UNIT}"):
        assert part in done.stdout
    done = CliRunner().invoke(app, [*words, "--uninstall"])
    assert f"remove {installation.UNITS / UNIT}" in done.stdout


@pytest.mark.usefixtures("nothing_runs")
def test_without_root_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_edge.os, "geteuid", lambda: 1000)
    (tmp_path / "x.whl").touch()
    done = CliRunner().invoke(app, ["edge", "install", "--wheel", str(tmp_path / "x.whl")])
    assert isinstance(done.exception, KitError)
    assert "sudo" in str(done.exception)


@pytest.mark.usefixtures("nothing_runs")
def test_the_name_alone_is_asked_of_no_index() -> None:
    """It is not published: whoever takes the name would be root on the device."""
    done = CliRunner().invoke(app, ["edge", "install", "--dry-run"])
    assert isinstance(done.exception, InputError)
    assert "--wheelhouse (kit edge wheelhouse collects one), or --wheel" in str(done.exception)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    "words",
    [
        ("--source", "rtsp://ward:s3cret@cam/live"),
        ("--source", "rtsp://cam/user=ward_password=s3cret"),
        ("--", "--source", "rtsp://ward:s3cret@cam/live"),
    ],
)
def test_no_password_reaches_the_unit(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "x.whl").touch()
    wheel = ("--wheel", str(tmp_path / "x.whl"))
    done = CliRunner().invoke(app, ["edge", "install", "--dry-run", *wheel, *words])
    assert done.exit_code != 0
    assert "s3cret" not in f"{done.output} {done.exception}"
    assert "--source" in f"{done.output} {done.exception}"


def test_an_address_that_is_to_stand_elsewhere_is_asked_for(tmp_path: Path) -> None:
    service = Service(tmp_path, source="rtsp:")
    closed, edit, *others = installation.next_steps(service, started=True)
    assert closed == "sudo touch /etc/dermkit.env && sudo chmod 600 /etc/dermkit.env"
    assert edit.startswith("sudoedit /etc/dermkit.env")
    assert "KIT_SOURCE=rtsp://user:password@host/path" in edit
    assert f"sudo systemctl restart {UNIT}" in others  # it has ended, for want of the address
    assert "KIT_SOURCE" not in " ".join(installation.next_steps(Service(tmp_path), started=True))


def test_what_remains_to_do_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.whl").touch()
    monkeypatch.setattr(installation, "perform", lambda steps, say: None)
    monkeypatch.setattr(cli_edge.os, "geteuid", lambda: 0)
    done = CliRunner().invoke(app, ["edge", "install", "--wheelhouse", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "sudo systemctl daemon-reload" in done.stdout
    assert "kit bundle install small.kit --home /var/lib/dermkit" in done.stdout
