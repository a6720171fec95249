import json
import os
import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from dermedge import camera, history, inventory, opencv, trigger
from dermedge.cli_camera import camera as camera_command
from dermedge.errors import CameraError, InputError, KitError
from dermedge.image import RGB
from dermedge.source import Wish

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
APP = """
import typer
from dermedge.cli_camera import camera
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.callback()(lambda: None)
app.command()(camera)
app()
"""


def pattern() -> RGB:
    """Red, green / blue, white quadrants, uint8 (96, 128, 3), RGB."""
    image = np.empty((96, 128, 3), np.uint8)
    image[:48, :64], image[:48, 64:], image[48:, :64], image[48:, 64:] = RED, GREEN, BLUE, WHITE
    return image


def assert_pattern(frame: RGB | None) -> None:
    assert frame is not None
    assert frame.dtype == np.uint8
    centres = frame[24, 32], frame[24, 96], frame[72, 32], frame[72, 96]
    for found, expected in zip(centres, (RED, GREEN, BLUE, WHITE), strict=True):
        np.testing.assert_allclose(found, expected, atol=12)


def save(path: Path, image: RGB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


def save_video(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (128, 96))
    for _ in range(frames):
        writer.write(cv2.cvtColor(pattern(), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


class FakeCapture:
    """cv2.VideoCapture with a script: a BGR frame, or None for a read that fails."""

    def __init__(self, script: list[RGB | None], opens: bool = True) -> None:
        self.script, self.opens = iter(script), opens
        self.settings: dict[int, float] = {}
        self.released = False

    def __call__(self, *asked: object) -> "FakeCapture":
        return self

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def set(self, key: int, value: float) -> bool:
        self.settings[key] = value
        return True

    def read(self) -> tuple[bool, RGB | None]:
        frame = next(self.script, None)
        return frame is not None, frame

    def release(self) -> None:
        self.released = True


def fake(monkeypatch: pytest.MonkeyPatch, script: list[RGB | None]) -> FakeCapture:
    capture = FakeCapture(script)
    monkeypatch.setattr(opencv.cv2, "VideoCapture", capture)
    return capture


def test_a_video_file_gives_rgb_frames_at_its_own_pace_and_ends(tmp_path: Path):
    source = camera.open_source(str(save_video(tmp_path / "clip.avi", 3)))
    assert source.interval == pytest.approx(1 / 20)
    for _ in range(3):
        assert_pattern(source.read())
    assert source.read() is None
    source.close()


def test_a_folder_gives_rgb_photographs_in_order_and_counts_the_unreadable(tmp_path: Path):
    save(tmp_path / "a.png", pattern())
    (tmp_path / "b.jpg").write_bytes(b"not a photograph")
    save(tmp_path / "c.png", pattern()[:, ::-1].copy())
    source = camera.open_source(str(tmp_path), Wish(fps=4))
    assert source.interval == 0.25
    assert_pattern(source.read())
    second = source.read()
    assert second is not None
    assert_pattern(second[:, ::-1])
    assert source.read() is None
    assert len(source.skipped) == 1
    assert "b.jpg" in source.skipped[0]


def test_one_photograph_is_a_replay_of_one(tmp_path: Path):
    source = camera.open_source(str(save(tmp_path / "one.png", pattern())))
    assert_pattern(source.read())
    assert source.read() is None


def test_a_camera_gives_rgb_with_the_shortest_queue(monkeypatch: pytest.MonkeyPatch):
    bgr = np.ascontiguousarray(pattern()[:, :, ::-1])
    capture = fake(monkeypatch, [bgr, bgr])
    source = camera.open_source("0")
    assert_pattern(source.read())
    assert capture.settings == {cv2.CAP_PROP_BUFFERSIZE: 1}
    source.close()
    assert capture.released


def test_a_usb_camera_is_asked_for_jpeg_then_size_then_pace(monkeypatch: pytest.MonkeyPatch):
    bgr = np.ascontiguousarray(pattern()[:, :, ::-1])
    capture = fake(monkeypatch, [bgr, bgr])
    source = camera.open_source("/dev/video0", Wish(size=(1280, 720), fps=30))
    assert_pattern(source.read())
    asked = {cv2.CAP_PROP_FRAME_WIDTH: 1280, cv2.CAP_PROP_FRAME_HEIGHT: 720, cv2.CAP_PROP_FPS: 30}
    mjpg = {cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG")}
    assert list(capture.settings.items()) == list(
        {cv2.CAP_PROP_BUFFERSIZE: 1, **mjpg, **asked}.items()
    )


def test_a_network_camera_gives_rgb(monkeypatch: pytest.MonkeyPatch):
    bgr = np.ascontiguousarray(pattern()[:, :, ::-1])
    fake(monkeypatch, [bgr, bgr])
    assert_pattern(camera.open_source("rtsp://10.0.0.9/live").read())


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("0", Wish(lock=True)),
        ("rtsp://10.0.0.9/live", Wish(size=(640, 480))),
        (".", Wish(size=(640, 480))),
        (".", Wish(lock=True)),
        ("clip.mp4", Wish(lock=True)),
        ("fake:", Wish(lock=True)),
    ],
)
def test_a_wish_that_a_source_has_not_is_refused(text: str, asked: Wish):
    with pytest.raises(InputError, match=r"lock|size"):
        camera.open_source(text, asked)


def test_a_camera_outlives_a_damaged_frame_but_not_its_cable(monkeypatch: pytest.MonkeyPatch):
    bgr = np.ascontiguousarray(pattern()[:, :, ::-1])
    fake(monkeypatch, [bgr, None, bgr])
    source = camera.open_source("0")
    assert_pattern(source.read())
    with pytest.raises(CameraError, match="camera 0 stopped giving frames"):
        source.read()


def test_a_camera_that_opens_without_a_frame_is_released(monkeypatch: pytest.MonkeyPatch):
    capture = fake(monkeypatch, [])
    with pytest.raises(CameraError, match="gives no frame"):
        camera.open_source("0")
    assert capture.released


@pytest.mark.parametrize("text", ["99", "/dev/video99"])
def test_a_camera_that_does_not_exist_says_which_do(text: str):
    with pytest.raises(CameraError, match=r"99 can't be opened\. Cameras here: .*picamera2"):
        camera.open_source(text)


def test_the_password_of_a_network_camera_is_never_told(monkeypatch: pytest.MonkeyPatch):
    capture = fake(monkeypatch, [])
    capture.opens = False
    with pytest.raises(CameraError) as caught:
        camera.open_source("rtsp://ward:s3cr@t@10.0.0.9:554/live?token=abc")
    assert str(caught.value).startswith("rtsp://10.0.0.9:554 can't be opened")
    assert not re.search("ward|s3cr|token|live", str(caught.value))


def test_kit_camera_takes_the_source_that_no_list_of_processes_shows(
    tiny_bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    arguments = (tiny_bundles[0], "--no-window", "--size", "160x120")
    monkeypatch.setenv("KIT_SOURCE", "fake:end@3")
    found = kit(*arguments)
    assert found.exit_code == 0, found.stderr
    assert "fake camera: " in found.stderr
    named = kit(*arguments, "--source", "99")
    assert "camera 99 can't be opened" in str(named.exception)


def test_a_source_whose_address_is_missing_is_wrong_usage(
    tiny_bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KIT_SOURCE", "rtsp:")
    found = kit(tiny_bundles[0], "--no-window")
    assert found.exit_code == 2
    assert "KIT_SOURCE" in found.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [("gone.mp4", None), ("text.avi", b"hello " * 99), ("notes.txt", b"hello " * 99)],
)
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes | None):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        camera.open_source(str(tmp_path / name))


def test_folders_that_show_nothing_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no photograph"):
        camera.open_source(str(tmp_path))
    (tmp_path / "broken.png").write_bytes(b"x")
    source = camera.open_source(str(tmp_path))
    with pytest.raises(InputError, match=r"no photograph can be read.*broken\.png"):
        source.read()


@pytest.mark.parametrize(
    ("text", "fps"), [("rtsp://x/y", 5.0), ("a.mp4", 5.0), (".", 0.0), (".", np.nan)]
)
def test_a_pace_that_makes_no_sense_is_refused(text: str, fps: float):
    with pytest.raises(InputError, match="fps"):
        camera.open_source(text, Wish(fps=fps))


@pytest.mark.parametrize("text", ["4294967296", "9" * 5000])
def test_a_number_that_no_camera_has_is_refused(text: str):
    with pytest.raises(InputError, match="is no number of a camera"):
        camera.open_source(text)


@pytest.mark.parametrize(
    "words",
    [
        ("--smooth", "99999999999999999999"),
        ("--threads", "100000"),
        ("--keep-pictures", "--record", "r", "--pictures-days", "nan"),
        ("--keep-pictures", "--record", "r", "--pictures-days", "inf"),
        ("--threshold", "nan"),
        ("--fps", "inf"),
    ],
)
def test_a_number_that_can_not_be_meant_is_wrong_usage(
    tiny_bundles: tuple[Path, Path], words: tuple[str, ...], tmp_path: Path
):
    assert kit(tiny_bundles[0], "--source", tmp_path / "none", "--no-window", *words).exit_code == 2


def test_an_unknown_scheme_is_refused():
    with pytest.raises(InputError, match="expected one of rtsp"):
        camera.open_source("ftp://somewhere/clip")


def kit(*arguments: object) -> Result:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.command()(camera_command)
    return CliRunner().invoke(app, ["camera", *map(str, arguments)])


@pytest.fixture
def photos(tmp_path: Path, photo: RGB) -> Path:
    """More photographs than the tests judge, since the replay drops some on a busy machine."""
    first = save(tmp_path / "photos" / "00.png", photo)
    for number in range(1, 40):
        first.with_name(f"{number:02d}.png").write_bytes(first.read_bytes())
    return first.parent


def test_kit_camera_writes_json_lines_and_the_same_record(
    tiny_bundles: tuple[Path, Path], photos: Path, tmp_path: Path
):
    journal = tmp_path / "today.jsonl"
    found = kit(
        *(tiny_bundles[0], "--source", photos, "--fps", 20, "--frames", 5, "--no-window"),
        *("--json", "--threads", 1, "--record", journal),
    )
    assert found.exit_code == 0, found.stderr
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert lines == list(history.read(journal))
    assert len(lines) == 5
    assert [("notice" in line) for line in lines] == [True, False, False, False, False]
    assert set(lines[1]) == {
        *("frame", "time", "probability", "smoothed_probability", "decision", "smoothed_decision"),
        *("threshold", "chosen_for", "threshold_by_user", "quality", "latency_ms", "age_ms"),
        *("sequence", "dropped", "model", "bundle", "signature", "failed_gate", "runtime"),
        *("averaged", "agreeing", "novelty"),
    }
    assert lines[0]["threshold"] == 0.4
    assert "5 frames judged" in found.stderr
    assert "not a medical device" in found.stderr


def test_kit_camera_speaks_plainly_and_names_what_it_skipped(
    tiny_bundles: tuple[Path, Path], photos: Path
):
    (photos / "00.png").write_bytes(b"broken")
    found = kit(tiny_bundles[1], "--source", photos, "--fps", 200, "--no-window")
    assert found.exit_code == 0, found.stderr
    assert re.match(
        r"frame \d+: \w[\w ]* 0\.\d{3}, smoothed .*, quality ok, age \d+ ms", found.stdout
    )
    assert "00.png" in found.stderr
    assert "1 unreadable" in found.stderr


def test_without_a_screen_kit_camera_goes_on_unless_a_window_is_asked_for(
    tiny_bundles: tuple[Path, Path], photos: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    arguments = (tiny_bundles[1], "--source", photos, "--frames", 1)
    found = kit(*arguments)
    assert found.exit_code == 0, found.stderr
    assert "no window:" in found.stderr
    asked = kit(*arguments, "--window")
    assert isinstance(asked.exception, KitError)
    assert asked.exception.exit_code == 7


def test_kit_camera_without_a_camera_raises_for_main_to_print(tiny_bundles: tuple[Path, Path]):
    found = kit(tiny_bundles[0], "--source", "99", "--no-window")
    assert isinstance(found.exception, KitError)
    assert found.exception.exit_code == 6


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_kit_camera_cleanly(
    tiny_bundles: tuple[Path, Path], photos: Path, number: signal.Signals
):
    # The second frame would come after a quarter of an hour.
    command = [sys.executable, "-c", APP, "camera", str(tiny_bundles[0]), "--source", str(photos)]
    command += ["--fps", "0.001", "--no-window", "--json"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["frame"] == 1
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert rest == ""
    assert "1 frames judged, 0 dropped" in complaints


def test_kit_camera_lives_through_what_happens_to_a_camera(tiny_bundles: tuple[Path, Path]):
    script = "fake:unplug@4+1,resize@8+4,corrupt@14+2,end@40"
    found = kit(
        *(tiny_bundles[0], "--source", script, "--size", "320x240", "--fps", 50),
        *("--no-window", "--json", "--threads", 1),
    )
    assert found.exit_code == 0, found.stderr
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert lines[-1]["frame"] > 30
    assert all(line["age_ms"] > 0 for line in lines)
    assert [line["quality"] for line in lines] == ["ok"] * len(lines)
    for said in (
        "kit: fake camera stopped giving frames; it was unplugged. Opening it again",
        "kit: fake camera is back after",
        "kit: fake camera: frames are 160 x 120 pixels from now on",
        "kit: fake camera: frames are 320 x 240 pixels from now on",
        "gone 1 times",
    ):
        assert said in found.stderr


def test_kit_camera_tells_and_records_only_what_is_captured(
    tiny_bundles: tuple[Path, Path], tmp_path: Path
):
    journal, begun = tmp_path / "today.jsonl", datetime.now(timezone.utc)
    found = kit(
        *(tiny_bundles[0], "--source", "fake:end@60", "--size", "160x120", "--no-window"),
        *("--json", "--threads", 1, "--capture", "steady", "--record", journal),
    )
    assert found.exit_code == 0, found.stderr
    (line,) = map(json.loads, found.stdout.splitlines())
    assert line["capture"] == "steady"
    assert line["frame"] > 1  # how many come in the second that it takes is up to the machine
    assert datetime.fromisoformat(line["time"]) - begun >= timedelta(seconds=trigger.HOLD_S)
    assert "notice" in line
    assert list(history.read(journal)) == [line]


@pytest.mark.parametrize("how", ["smile", "button:x", "key"])
def test_a_capture_that_is_impossible_is_wrong_usage(tiny_bundles: tuple[Path, Path], how: str):
    arguments = (tiny_bundles[0], "--source", "fake:", "--no-window", "--capture", how)
    assert kit(*arguments).exit_code == 2


def test_kit_camera_lists_cameras_without_a_bundle(monkeypatch: pytest.MonkeyPatch):
    usb = inventory.Found("/dev/video0", "HD Webcam", ribbon=False)
    monkeypatch.setattr(inventory, "look", lambda: inventory.Sight((usb,)))
    found = kit("--list")
    assert found.exit_code == 0, found.stderr
    assert found.stdout.startswith("* /dev/video0  HD Webcam\nauto takes /dev/video0 (")


@pytest.mark.parametrize("size", ["640", "640x", "0x480", "640X480", "640x480x3"])
def test_a_size_that_is_none_is_wrong_usage(tiny_bundles: tuple[Path, Path], size: str):
    assert kit(tiny_bundles[0], "--source", "fake:", "--size", size).exit_code == 2


def test_auto_chooses_anew_each_time_and_tells_what_is_new(monkeypatch: pytest.MonkeyPatch):
    bgr = np.ascontiguousarray(pattern()[:, :, ::-1])
    nodes, said = ["/dev/video0"], []
    monkeypatch.setattr(
        inventory,
        "look",
        lambda: inventory.Sight((inventory.Found(nodes[-1], "HD Webcam", ribbon=False),)),
    )
    fake(monkeypatch, [bgr] * 9)
    open_camera = camera.opener("auto", tell=said.append)
    assert_pattern(open_camera().read())
    assert open_camera().name == "/dev/video0"
    nodes.append("/dev/video2")  # it was plugged in again
    assert open_camera().name == "/dev/video2"
    assert [line.split(" (")[0] for line in said] == ["camera: /dev/video0", "camera: /dev/video2"]


def test_importing_the_command_loads_nothing_heavy():
    check = "import sys, dermedge.cli_camera; print({'numpy', 'cv2'} & set(sys.modules))"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    env = {**os.environ, "PYTHONPATH": path}
    found = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, env=env
    )
    assert found.stdout.strip() == "set()"
