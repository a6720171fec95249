"""MQTT against a real mosquitto on loopback; what Home Assistant is told, against its documents."""

import dataclasses
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import paho.mqtt.client as paho
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from dermedge import cli_mqtt
from dermedge.board import throttled
from dermedge.bundle import open_bundle
from dermedge.decide import Verdict
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import InputError, MissingError
from dermedge.grabber import Frame
from dermedge.image import RGB
from dermedge.live import Sighting, entry
from dermedge.mqtt import broker as brokers
from dermedge.mqtt import discovery, outbox
from dermedge.mqtt.broker import Broker, parse
from dermedge.mqtt.link import Link
from dermedge.mqtt.outbox import Outbox, Pace
from dermedge.mqtt.publisher import Publisher
from dermedge.mqtt.settings import Settings
from dermedge.mqtt.topics import Topics, checked, identifier
from dermedge.mqtt.vitals import Vitals

PATIENCE_S = 60.0  # of a test, for what has no time of its own
TOPICS = Topics("dermkit", "camera")
USER, PASSWORD = "room2", "s3cret-word"
GUIDE = Path(__file__).parents[2] / "docs" / "mqtt.md"


def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait until something holds; how long it takes proves nothing."""
    end = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)
    return found


def a_free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Mosquitto:
    """A broker process of our own; it keeps nothing on disk."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port, self.log = a_free_port(), folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        # As root it would become somebody who may not read the test's folder.
        said = ["user root", "persistence false", "log_type all", f"log_dest file {self.log}"]
        self._config.write_text("\n".join([*said, f"listener {self.port} 127.0.0.1", *lines, ""]))
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
        if program is None:
            if os.environ.get("CI") == "true":
                pytest.fail("no mosquitto: .ci/run installs it")
            pytest.skip("no mosquitto")
        self.process = subprocess.Popen([program, "-c", self._config])
        until(self._answers, "mosquitto is up")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, "mosquitto has ended"
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """Hears all that a broker tells, and can say something itself."""

    def __init__(self, port: int, user: str | None = None) -> None:
        self.heard: list[tuple[str, bytes, bool, int]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if user:
            self._client.username_pw_set(user, PASSWORD)
        self._client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, bytes(message.payload), message.retain, message.qos)
        )
        ready = threading.Event()
        self._client.on_subscribe = lambda *told: ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("#", 1)
        assert ready.wait(PATIENCE_S)

    def say(self, topic: str, payload: str, retain: bool = False) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(PATIENCE_S)

    def all(self, topic: str) -> list[Any]:
        return [json.loads(payload) for name, payload, _, _ in list(self.heard) if name == topic]

    def texts(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _, _ in list(self.heard) if name == topic]

    def retained(self) -> dict[str, bytes]:
        """What the broker keeps: it tells a newcomer that before anything else."""
        self.say("mark", "here")
        until(lambda: self.texts("mark"), "the broker answers")
        return {topic: payload for topic, payload, kept, _ in list(self.heard) if kept}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def mosquitto(tmp_path: Path, stack: ExitStack) -> Mosquitto:
    found = Mosquitto(tmp_path, "allow_anonymous true")
    stack.callback(found.stop)
    return found


@pytest.fixture
def listen(mosquitto: Mosquitto, stack: ExitStack) -> Callable[[], Listener]:
    def one() -> Listener:
        found = Listener(mosquitto.port)
        stack.callback(found.close)
        return found

    return one


@pytest.fixture(scope="module")
def judge(tiny_bundles: tuple[Path, Path]) -> Diagnostician:
    return Diagnostician(open_bundle(tiny_bundles[0]), threads=1)


@pytest.fixture
def good(judge: Diagnostician, photo: RGB) -> Diagnosis:
    found = judge.diagnose(photo)
    assert found.quality.ok
    return found


def sighting(
    found: Diagnosis, image: RGB, number: int = 1, decision: str = "refer", p: float | None = 0.75
) -> Sighting:
    frame = Frame(number, image, time.monotonic())
    now = datetime.now(timezone.utc)
    return Sighting(frame, found, p, Verdict.REFER, decision, 12.3, 4, now, 1)


def settings(port: int, pictures: bool = False, button: bool = False) -> Settings:
    return Settings(Broker("127.0.0.1", port, False), TOPICS, "Camera", pictures, button)


def publisher(stack: ExitStack, made: Settings, news: list[str] | None = None) -> Publisher:
    said = [] if news is None else news
    return stack.enter_context(Publisher(made, lambda: {"notice": "research"}, said.append))


# --- What arrives -------------------------------------------------------------------------------


def test_discovery_and_states_arrive(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack, good, photo
):
    listener, news = listen(), []
    camera = publisher(stack, settings(mosquitto.port), news)
    assert camera.show(sighting(good, photo), "this model is unsigned")
    (state,) = until(lambda: listener.all(TOPICS.state), "a state")
    assert state["decision"] == "refer"
    assert state["probability"] == 0.75
    assert state["quality"] == "ok"
    assert state["problem"] == ""
    assert state["age_ms"] == 12.3
    (found,) = listener.all("homeassistant/device/camera/config")
    assert found == discovery.payload(settings(mosquitto.port), discovery.DECISIONS)
    assert listener.texts(TOPICS.status) == [b"online"]
    assert listener.all(TOPICS.about) == [
        {"notice": "research", "remark": "this model is unsigned"}
    ]
    (vitals,) = until(lambda: listener.all(TOPICS.vitals), "vitals")
    assert vitals["latency_ms"] == round(good.latency_ms, 1)
    assert (vitals["dropped"], vitals["losses"], vitals["lost"]) == (4, 1, 0)
    camera.close()
    assert news == [f"mqtt://127.0.0.1:{mosquitto.port} is connected"]


def test_a_change_is_told_and_the_same_is_not_told_at_once(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack, good, photo
):
    listener = listen()
    camera = publisher(stack, settings(mosquitto.port))

    def told(decision: str) -> bool:
        camera.show(sighting(good, photo, decision=decision))
        return decision in [state["decision"] for state in listener.all(TOPICS.state)]

    until(lambda: told("refer"), "refer")
    until(lambda: told("clear"), "clear")
    camera.show_nothing("camera 0 is gone")
    until(lambda: len(listener.all(TOPICS.state)) == 3, "that it is gone")
    state = listener.all(TOPICS.state)[-1]
    assert state["problem"] == "camera 0 is gone"
    assert state["decision"] == "not assessable"
    assert state["probability"] is None


def test_a_class_that_is_named_becomes_one_of_the_options(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack, good, photo
):
    listener = listen()
    publisher(stack, settings(mosquitto.port)).show(sighting(good, photo, decision="daisy"))
    until(lambda: listener.all(TOPICS.state), "a state")
    first, last = listener.all(TOPICS.discovery)
    assert "daisy" not in first["components"]["decision"]["options"]
    assert "daisy" in last["components"]["decision"]["options"]


def test_a_broker_keeps_nothing_of_a_patient(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack, good, photo
):
    early = listen()
    camera = publisher(stack, settings(mosquitto.port, pictures=True))
    camera.tell({"frame": 1, "capture": "steady", "probability": 0.7})
    camera.show(sighting(good, photo))
    told = (TOPICS.state, TOPICS.captured, TOPICS.picture, TOPICS.vitals)
    until(lambda: all(early.texts(topic) for topic in told), "one of each")
    kept = listen().retained()
    assert set(kept) == {TOPICS.status, TOPICS.discovery, TOPICS.about}
    assert set(json.loads(kept[TOPICS.about])) == {"notice", "remark"}


def test_captured_judgements_are_events(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack, judge, good, photo
):
    listener = listen()
    camera = publisher(stack, settings(mosquitto.port))
    line = entry(sighting(good, photo), "litert")
    camera.tell({**line, "capture": "key", "sequence": 7})
    until(lambda: listener.all(TOPICS.captured), "an event")
    camera.close()
    until(lambda: listener.texts(TOPICS.status) == [b"online", b"offline"], "farewell")
    assert listener.all(TOPICS.captured) == [
        {"event_type": "captured", **line, "capture": "key", "sequence": 7}
    ]
    assert {qos for topic, _, _, qos in listener.heard if topic == TOPICS.captured} == {1}


@pytest.mark.parametrize("pictures", [False, True])
def test_a_picture_is_sent_only_if_pictures_are_asked_for(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack, good, photo, pictures
):
    listener = listen()
    camera = publisher(stack, settings(mosquitto.port, pictures))
    until(lambda: listener.texts(TOPICS.status), "it is there")
    for number in range(1, 4):  # only the second of them is captured
        if number == 2:
            camera.tell({"frame": number, "capture": "steady"})
        camera.show(sighting(good, photo if number == 2 else photo[:60], number))
    until(lambda: listener.all(TOPICS.captured), "the event")
    camera.close()
    until(lambda: listener.texts(TOPICS.status)[-1] == b"offline", "farewell")
    found = listener.texts(TOPICS.picture)
    assert len(found) == pictures
    for jpeg in found:
        assert jpeg.startswith(b"\xff\xd8")
        assert b"Exif" not in jpeg
        decoded: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert decoded.shape == photo.shape
        assert np.abs(decoded.astype(int) - photo).mean() < 8
    assert ("picture" in listener.all(TOPICS.discovery)[0]["components"]) is pictures


def test_the_button_is_heard_once(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack
):
    listener = listen()
    camera = publisher(stack, settings(mosquitto.port, button=True))
    component = until(lambda: listener.all(TOPICS.discovery), "discovery")[0]["components"]
    button = component["capture"]

    listener.say(button["command_topic"], "nonsense")
    listener.say(button["command_topic"], button["payload_press"])
    until(camera.asked, "it is pressed")
    assert not camera.asked()
    listener.say(button["command_topic"], button["payload_press"])
    listener.say(button["command_topic"], "nonsense")
    until(camera.asked, "it is pressed again")
    camera.close()  # all that was said until now has been heard
    assert not camera.asked()


def test_a_wish_that_is_retained_is_from_the_past(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack
):
    listener = listen()
    listener.say(TOPICS.capture, "PRESS", retain=True)
    camera = publisher(stack, settings(mosquitto.port, button=True))
    messages: list[bytes] = []
    take = camera._link._client.on_message
    camera._link._client.on_message = lambda *told: (take(*told), messages.append(told[2].payload))
    until(lambda: listener.texts(TOPICS.discovery), "it is there")
    until(lambda: listener.say(TOPICS.capture, "end") or b"end" in messages, "it listens")
    assert not camera.asked()


def test_without_the_button_nobody_is_listened_to(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack
):
    listener = listen()
    camera = publisher(stack, settings(mosquitto.port))
    found = until(lambda: listener.all(TOPICS.discovery), "discovery")[0]
    assert "capture" not in found["components"]
    listener.say(TOPICS.capture, "PRESS")
    camera.close()
    assert not camera.asked()


# --- What can go wrong --------------------------------------------------------------------------


def test_a_broker_that_is_away_costs_bounded_memory_and_no_time(stack: ExitStack, good, photo):
    news: list[str] = []
    camera = publisher(stack, settings(a_free_port(), pictures=True), news)
    for number in range(1000):
        camera.tell({"frame": number, "capture": "steady"})
        assert camera.show(sighting(good, photo, number))
    waiting = camera._outbox
    assert len(waiting._events) == outbox.EVENTS
    assert waiting.first() == {"frame": 900, "capture": "steady"}
    assert waiting.lost == 900
    assert len(waiting.pictures) == 1
    assert len(camera._link._client._out_messages) == 0
    until(lambda: camera.show_nothing("gone") and news, "news")
    assert len(news) == 1
    assert "can't be reached" in news[0]


def test_a_broker_that_never_answers_is_not_waited_for(stack: ExitStack, good, photo):
    deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    camera = publisher(stack, settings(deaf.getsockname()[1]))
    stack.enter_context(deaf.accept()[0])
    for number in range(1000):
        assert camera.show(sighting(good, photo, number))


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops a process")
def test_a_broker_that_stops_reading_costs_bounded_memory(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack
):
    listener = listen()
    made = settings(mosquitto.port)
    link = stack.enter_context(Link(made.broker, "camera", (TOPICS.status, "offline"), None))
    until(lambda: link.connected, "connected")
    mosquitto.process.send_signal(signal.SIGSTOP)
    big = b"x" * (8 << 20)  # more than the kernel takes
    assert sum(link.send_newest("big", big) for _ in range(20)) < 20
    assert sum(link.send("small", "text") for _ in range(100)) < 100
    assert len(link._client._out_packet) < 30
    mosquitto.process.send_signal(signal.SIGCONT)
    until(lambda: link.send_newest("big", b"done"), "it reads again")
    until(lambda: b"done" in listener.texts("big"), "the newest arrives")


def test_a_broker_that_comes_back_is_told_all_of_it_again(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack, good, photo
):
    news: list[str] = []
    camera = publisher(stack, settings(mosquitto.port), news)
    first = listen()
    until(lambda: camera.show(sighting(good, photo)) and first.all(TOPICS.state), "the first state")
    mosquitto.stop()
    until(lambda: camera.show(sighting(good, photo)) and len(news) == 2, "that it is gone")
    camera.tell({"frame": 9, "capture": "button"})
    mosquitto.start()
    second = listen()
    camera.show(sighting(good, photo, decision="clear"))
    until(lambda: second.all(TOPICS.captured), "what was captured meanwhile")
    until(lambda: second.all(TOPICS.state), "the newest state")
    assert second.all(TOPICS.captured)[0]["frame"] == 9
    assert second.all(TOPICS.state)[0]["decision"] == "clear"
    assert second.all(TOPICS.discovery)[0] == first.all(TOPICS.discovery)[0]
    assert second.texts(TOPICS.status)[-1] == b"online"
    assert second.all(TOPICS.about)
    camera.show(sighting(good, photo))
    assert [re.sub(r"mqtt://\S+ (is gone|is connected).*", r"\1", text) for text in news] == [
        "is connected",
        "is gone",
        "is connected",
    ]


_KILLED = """
import sys, time
from dermedge.mqtt.broker import Broker
from dermedge.mqtt.publisher import Publisher
from dermedge.mqtt.settings import Settings
from dermedge.mqtt.topics import Topics
made = Settings(Broker("127.0.0.1", int(sys.argv[1]), False), Topics("dermkit", "camera"), "Camera")
with Publisher(made, dict):
    time.sleep(600)
"""


def test_the_broker_says_offline_when_the_camera_is_killed(
    mosquitto: Mosquitto, listen: Callable[[], Listener]
):
    listener = listen()
    with subprocess.Popen([sys.executable, "-c", _KILLED, str(mosquitto.port)]) as camera:
        until(lambda: listener.texts(TOPICS.status) == [b"online"], "online")
        camera.kill()
    until(lambda: listener.texts(TOPICS.status) == [b"online", b"offline"], "offline")
    assert listen().retained()[TOPICS.status] == b"offline"


def test_a_second_camera_of_the_same_name_is_hinted_at(mosquitto: Mosquitto, stack: ExitStack):
    made, news = settings(mosquitto.port), []
    links = [
        stack.enter_context(Link(made.broker, "same", (TOPICS.status, "offline"), None))
        for _ in range(2)
    ]

    def hinted() -> bool:
        news.extend(text for link in links for text in link.news())
        return any("second camera bear the same name" in text for text in news)

    until(hinted, "a hint")


@pytest.fixture
def closed_mosquitto(tmp_path: Path, stack: ExitStack) -> Mosquitto:
    """A broker that lets in nobody but USER with PASSWORD."""
    words = tmp_path / "passwords"
    program = shutil.which("mosquitto_passwd")
    if program is not None:
        subprocess.run([program, "-b", "-c", words, USER, PASSWORD], check=True)
    found = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {words}")
    stack.callback(found.stop)
    return found


def test_a_password_lets_in(closed_mosquitto: Mosquitto, stack: ExitStack, good, photo):
    port = closed_mosquitto.port
    listener = Listener(port, USER)
    stack.callback(listener.close)
    made = dataclasses.replace(
        settings(port), broker=parse(f"mqtt://{USER}@127.0.0.1:{port}", PASSWORD)
    )
    camera = publisher(stack, made)
    camera.show(sighting(good, photo))
    until(lambda: listener.all(TOPICS.state), "a state")


def test_a_wrong_password_is_told_once_and_never_shown(
    closed_mosquitto: Mosquitto, stack: ExitStack, good, photo
):
    port, news = closed_mosquitto.port, []
    broker = parse(f"mqtt://{USER}@127.0.0.1:{port}", "wr0ng-word")
    camera = publisher(stack, dataclasses.replace(settings(port), broker=broker), news)

    def tried_twice() -> bool:
        assert camera.show(sighting(good, photo))
        return closed_mosquitto.log.read_text().count("not authorised") >= 2

    until(tried_twice, "two tries")
    until(lambda: camera.show(sighting(good, photo)) and news, "news")
    assert len(news) == 1
    assert "refuses the camera: Not authorized" in news[0]
    assert "KIT_MQTT_PASSWORD" in news[0]
    assert "wr0ng-word" not in f"{news}{broker!r}{broker}{broker.name}{broker.remark}"


def test_the_access_list_of_the_documents_lets_in_who_needs_it(
    tmp_path: Path, stack: ExitStack, good, photo
):
    words, rules = tmp_path / "passwords", tmp_path / "rules"
    rules.write_text(re.findall(r"```text\n(user .*?)```", GUIDE.read_text("utf-8"), re.DOTALL)[0])
    users = (USER, "homeassistant", "anybody")
    words.write_text("".join(f"{user}:{PASSWORD}\n" for user in users))
    if (program := shutil.which("mosquitto_passwd")) is not None:
        subprocess.run([program, "-U", words], check=True)
    made = ("allow_anonymous false", f"password_file {words}", f"acl_file {rules}")
    mosquitto = Mosquitto(tmp_path, *made)
    stack.callback(mosquitto.stop)
    home, anybody = (Listener(mosquitto.port, user) for user in users[1:])
    stack.callback(home.close)
    stack.callback(anybody.close)
    broker = parse(f"mqtt://{USER}@127.0.0.1:{mosquitto.port}", PASSWORD)
    topics = Topics("dermkit", "room2")
    camera = publisher(stack, Settings(broker, topics, "room2", pictures=True, button=True))
    camera.tell({"frame": 1, "capture": "steady"})
    camera.show(sighting(good, photo))
    told = ("status", "about", "state", "vitals", "captured", "picture", "discovery")
    until(lambda: all(home.texts(getattr(topics, name)) for name in told), "one of each")
    home.say(topics.capture, "PRESS")
    until(camera.asked, "a capture is asked for")
    anybody.say(topics.capture, "PRESS")
    home.say(topics.capture, "end")
    until(lambda: b"end" in home.texts(topics.capture), "the end")
    assert home.texts(topics.capture) == [b"PRESS", b"end"]
    assert anybody.heard == []


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    """ca.pem that signed server.pem (with server.key) for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.now(timezone.utc)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server")}
    names = {
        name: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"a test's {name}")])
        for name in keys
    }
    for name, key in keys.items():
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        made = (
            x509.CertificateBuilder()
            .subject_name(names[name])
            .issuer_name(names["ca"])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(keys["ca"], hashes.SHA256())
        )
        (tmp_path / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (tmp_path / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return tmp_path / "ca.pem"


@pytest.fixture
def tls_mosquitto(tmp_path: Path, ca: Path, stack: ExitStack) -> Mosquitto:
    files = (f"certfile {tmp_path / 'server.pem'}", f"keyfile {tmp_path / 'server.key'}")
    found = Mosquitto(tmp_path, *files, "allow_anonymous true")
    stack.callback(found.stop)
    return found


def test_tls_with_a_ca_of_ones_own(tls_mosquitto: Mosquitto, ca: Path, stack: ExitStack):
    news: list[str] = []
    broker = parse(f"mqtts://127.0.0.1:{tls_mosquitto.port}", None, ca)
    camera = publisher(
        stack, dataclasses.replace(settings(tls_mosquitto.port), broker=broker), news
    )
    until(lambda: camera.show_nothing("gone") and news, "news")
    assert news == [f"mqtts://127.0.0.1:{tls_mosquitto.port} is connected"]


def test_an_unknown_certificate_is_not_trusted(tls_mosquitto: Mosquitto, stack: ExitStack):
    news: list[str] = []
    broker = parse(f"mqtts://127.0.0.1:{tls_mosquitto.port}")
    camera = publisher(
        stack, dataclasses.replace(settings(tls_mosquitto.port), broker=broker), news
    )
    until(lambda: camera.show_nothing("gone") and news, "news")
    assert "certificate verify failed" in news[0]
    assert not camera._link.connected


def test_a_ca_file_that_is_none_is_refused_at_the_start(tmp_path: Path):
    file = tmp_path / "ca.pem"
    made = dataclasses.replace(settings(1), broker=Broker("127.0.0.1", 1, True, ca_file=file))
    with pytest.raises(InputError, match=r"CA file .*ca\.pem"):
        Publisher(made, dict)
    file.write_text("no certificate\n")
    with pytest.raises(InputError, match=r"CA file .*ca\.pem"):
        Publisher(made, dict)


def test_without_paho_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingError, match=r"dermkit-edge\[mqtt\]"):
        Publisher(settings(1), dict)


# --- Home Assistant's documents -----------------------------------------------------------------

# https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, and the pages of the
# platforms (sensor.mqtt, binary_sensor.mqtt, button.mqtt, event.mqtt, image.mqtt), as of 2025.
ROOT_KEYS = {
    *("device", "origin", "components", "availability", "availability_mode", "availability_topic"),
    *("availability_template", "payload_available", "payload_not_available", "state_topic"),
    *("command_topic", "qos", "encoding"),
}
DEVICE_KEYS = {
    *("identifiers", "connections", "manufacturer", "model", "model_id", "name", "hw_version"),
    *("serial_number", "sw_version", "via_device", "suggested_area", "configuration_url"),
}
ORIGIN_KEYS = {"name", "sw_version", "support_url"}
ENTITY_KEYS = {
    *("platform", "name", "unique_id", "icon", "entity_category", "enabled_by_default", "qos"),
    *("json_attributes_topic", "json_attributes_template", "device_class", "encoding"),
}
PLATFORM_KEYS = {
    "sensor": {
        *("state_topic", "value_template", "unit_of_measurement", "state_class", "options"),
        *("expire_after", "force_update", "suggested_display_precision"),
    },
    "binary_sensor": {
        *("state_topic", "value_template", "payload_on", "payload_off", "expire_after"),
        *("force_update", "off_delay"),
    },
    "button": {"command_topic", "command_template", "payload_press", "retain"},
    "event": {"state_topic", "value_template", "event_types"},
    "image": {"image_topic", "content_type", "image_encoding", "url_topic", "url_template"},
}
NEEDED_KEYS = {
    "sensor": {"state_topic"},
    "binary_sensor": {"state_topic"},
    "button": {"command_topic"},
    "event": {"state_topic", "event_types"},
    "image": {"image_topic"},
}
UNITS = {"duration": {"d", "h", "min", "s", "ms"}, "temperature": {"°C", "°F", "K"}}


@pytest.fixture
def announced() -> dict[str, Any]:
    made = settings(1, pictures=True, button=True)
    return json.loads(json.dumps(discovery.payload(made, discovery.DECISIONS)))


def test_the_device_is_announced_with_documented_keys(announced: dict[str, Any]):
    assert set(announced) <= ROOT_KEYS
    assert set(announced) >= {"device", "origin", "components"}
    assert set(announced["device"]) <= DEVICE_KEYS
    assert announced["device"]["identifiers"] == ["dermkit_camera"]
    assert "not a medical device" in announced["device"]["model"]
    assert {"name"} <= set(announced["origin"]) <= ORIGIN_KEYS
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", TOPICS.discovery)


def test_every_entity_is_announced_with_documented_keys(announced: dict[str, Any]):
    components = announced["components"]
    kinds = {each["platform"] for each in components.values()}
    assert kinds == set(PLATFORM_KEYS)
    for each in components.values():
        platform = each["platform"]
        assert set(each) <= ENTITY_KEYS | PLATFORM_KEYS[platform]
        assert set(each) >= NEEDED_KEYS[platform] | {"unique_id", "name"}
        assert each.get("entity_category", "diagnostic") == "diagnostic"
        assert ("options" in each) == (each.get("device_class") == "enum")
        unit = each.get("unit_of_measurement")
        assert unit in UNITS.get(each.get("device_class"), {unit})
    ids = [each["unique_id"] for each in components.values()]
    assert len(set(ids)) == len(ids)


def rendered(component: dict[str, Any], message: dict[str, Any]) -> str:
    """As Home Assistant renders it: Jinja, with the message as `value_json`."""
    sandbox = jinja2.Environment(undefined=jinja2.StrictUndefined)
    return sandbox.from_string(component["value_template"]).render(value_json=message)


def test_its_templates_read_what_is_sent(announced: dict[str, Any], good, photo, tmp_path: Path):
    vitals = Vitals(tmp_path)
    seen = sighting(good, photo)
    vitals.count(seen)
    components = announced["components"]
    messages = {TOPICS.state: outbox.seen(seen), TOPICS.vitals: vitals.read(time.monotonic())}
    values = {
        key: rendered(each, json.loads(json.dumps(messages[each["state_topic"]])))
        for key, each in components.items()
        if "value_template" in each
    }
    assert values == {
        "decision": "refer",
        "probability": "75.0",
        "quality": "ok",
        "age": "12.3",
        "problem": "OFF",
        "latency": f"{good.latency_ms:.1f}",
        "rate": "None",  # what Home Assistant reads as: unknown
        "temperature": "None",
        "power": "None" if throttled(tmp_path) is None else "OFF",
    }
    assert values["decision"] in components["decision"]["options"]
    gone = outbox.unseen("unplugged")
    assert rendered(components["problem"], gone) == "ON"
    assert rendered(components["probability"], gone) == "None"
    assert rendered(components["decision"], gone) in components["decision"]["options"]
    for found, says in ((True, "ON"), (False, "OFF"), (None, "None")):
        assert rendered(components["power"], {"throttled": found}) == says


# --- Names --------------------------------------------------------------------------------------


@given(st.text(max_size=80))
def test_every_name_gives_a_sound_identifier_or_an_error(name: str):
    try:
        found = identifier(name)
    except InputError:
        assert not name.strip() or len(name) > 64 or not name.isprintable()
        return
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,280}", found)
    topics = Topics("dermkit", found)
    for field in ("status", "about", "state", "vitals", "captured", "picture", "capture"):
        topic = getattr(topics, field)
        assert topic == f"dermkit/{found}/{field}"
        assert not set(topic) & set("+#\0 $")


@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=2, unique=True))
def test_two_names_are_two_cameras(names: list[str]):
    try:
        found = [identifier(name) for name in names]
    except InputError:
        return
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("name", "found"),
    [("pi-zero", "pi-zero"), ("Raum 2", "Raum-2-"), ("Müller", "Mu-?ller-"), ("皮膚", "")],
)
def test_an_identifier_stays_readable(name: str, found: str):
    assert re.fullmatch(found if found == name else rf"{found}[0-9a-f]{{6}}", identifier(name))


@given(st.text(max_size=230))
def test_every_base_topic_is_sound_or_an_error(base: str):
    try:
        assert checked(base) == base
    except InputError:
        return
    assert not set(base) & set("+#\0 $")
    assert all(base.split("/"))


@pytest.mark.parametrize("base", ["dermkit", "clinic/room2", "a_b/c.d/e-f"])
def test_usual_base_topics_may_be_used(base: str):
    assert checked(base) == base


@pytest.mark.parametrize(
    "base", ["", "/a", "a/", "a//b", "a/+", "#", "a#", "$SYS/a", "a\0", "a b\n"]
)
def test_base_topics_that_mqtt_reads_otherwise_are_refused(base: str):
    with pytest.raises(InputError, match="the topic"):
        checked(base)


# --- The broker's URL ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("mqtt://pi", Broker("pi", 1883, False)),
        ("mqtts://pi", Broker("pi", 8883, True)),
        ("mqtts://kit@10.0.0.2:99/", Broker("10.0.0.2", 99, True, "kit")),
        ("mqtt://a%40b@[::1]", Broker("::1", 1883, False, "a@b")),
        ("mqtt://müller.local.", Broker("müller.local.", 1883, False)),
    ],
)
def test_a_url_is_read(url: str, found: Broker):
    assert parse(url) == found


def test_the_name_of_a_broker_tells_no_user():
    assert parse("mqtts://kit@[fe80::1]:99", "word").name == "mqtts://[fe80::1]:99"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mqtt://kit:s3cret@pi", "KIT_MQTT_PASSWORD"),
        ("mqtt://kit:@pi", "KIT_MQTT_PASSWORD"),
        ("http://pi", "mqtt://"),
        ("pi:1883", "mqtt://"),
        ("", "mqtt://"),
        ("mqtt://", "expected a host"),
        ("mqtt://[", "expected a host"),
        ("mqtt://pi:s3cret", "its port"),
        ("mqtt://pi:0", "expected a host"),
        ("mqtt://broker..local", "its host is no name"),
        ("mqtt://.local", "its host is no name"),
        (f"mqtt://{'s3cret' * 11}", "its host is no name"),
        ("mqtt://pi/a", "--mqtt-topic"),
        ("mqtt://pi?ca=x", "--mqtt-topic"),
    ],
)
def test_a_url_that_is_none_is_refused_without_its_secrets(url: str, says: str):
    with pytest.raises(InputError, match=re.escape(says)) as found:
        parse(url)
    assert "s3cret" not in str(found.value)


@given(st.text(max_size=60))
def test_every_text_is_a_broker_or_an_error(text: str):
    for url in (text, f"mqtt://{text}"):
        try:
            found = parse(url)
        except InputError:
            continue
        assert found.host.encode("idna")  # else paho's thread ends of it, and nobody is told
        assert 1 <= found.port <= 65535


def test_what_does_not_fit_to_the_url_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="needs a user"):
        parse("mqtts://pi", "word")
    with pytest.raises(InputError, match="mqtts:// only"):
        parse("mqtt://pi", None, tmp_path)


@pytest.mark.parametrize(
    ("url", "password", "says"),
    [
        ("mqtt://kit@10.0.0.2", "word", "the password and all judgements travel unencrypted"),
        ("mqtt://pi", None, "all judgements travel unencrypted"),
        ("mqtts://kit@10.0.0.2", "word", ""),
        ("mqtt://kit@127.0.0.1", "word", ""),
        ("mqtt://[::1]", None, ""),
        ("mqtt://localhost", None, ""),
        ("mqtt://localhost.example.org", None, "unencrypted"),
    ],
)
def test_what_travels_unencrypted_is_remarked_upon(url: str, password: str | None, says: str):
    remark = parse(url, password).remark
    assert says in remark
    assert bool(remark) is bool(says)
    assert "word@" not in remark


def test_a_password_comes_from_a_file_or_a_variable(tmp_path: Path):
    file = tmp_path / "word"
    file.write_text("pässword \n# not this line\n", encoding="utf-8")
    file.chmod(0o600)
    assert brokers.load_password(file, "other") == "pässword "
    assert brokers.load_password(None, "other") == "other"
    assert brokers.load_password(None, "") is None
    assert brokers.load_password(None, None) is None
    file.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        brokers.load_password(file, None)
    file.chmod(0o600)
    file.write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        brokers.load_password(file, None)
    with pytest.raises(InputError, match="can't be read"):
        brokers.load_password(tmp_path / "none", None)


# --- Pace, and the options ----------------------------------------------------------------------


def test_the_pace_of_states():
    pace = Pace()
    same, other = outbox.unseen("gone"), {**outbox.unseen(""), "decision": "clear"}
    assert pace.due(same, 0.0)
    pace.sent(same, 100.0)
    assert [pace.due(same, 100.0 + s) for s in (0, 1, 9.9, 10)] == [False, False, False, True]
    assert [pace.due(other, 100.0 + s) for s in (0, 0.9, 1)] == [False, False, True]
    pace.reset()
    assert pace.due(same, 100.0)


def test_an_old_state_does_not_pass_for_the_present():
    waiting = Outbox()
    assert waiting.state(0.0) is None
    waiting.put({"decision": "clear"}, 100.0)
    assert waiting.state(101.0) == {"decision": "clear"}
    assert waiting.state(200.0) is None


def test_an_event_that_made_room_is_not_taken_for_the_next_one():
    waiting = Outbox(events=2)
    events = [{"frame": number} for number in range(3)]
    waiting.add(events[0])
    waiting.add(events[1])
    sending = waiting.first()
    waiting.add(events[2])
    assert sending is events[0]
    waiting.sent(events[0])
    assert waiting.first() is events[1]
    waiting.sent(events[1])
    waiting.sent(events[2])
    assert waiting.first() is None
    assert waiting.lost == 1


def test_the_options_make_a_publisher(
    mosquitto: Mosquitto, listen: Callable[[], Listener], stack: ExitStack, judge, good, photo
):
    listener, said = listen(), []
    wish = cli_mqtt.Wish(f"mqtt://127.0.0.1:{mosquitto.port}", topic="clinic/room2", name="Arm")
    camera = cli_mqtt.publisher(stack, wish, True, judge, said.append)
    assert camera is not None
    camera.show(sighting(good, photo))
    (about,) = until(lambda: listener.all("clinic/room2/Arm/about"), "about")
    assert about["model"] == judge.bundle.contract.model.sha256
    assert about["notice"] == judge.bundle.contract.notice
    assert about["signature"] == judge.bundle.signature
    assert listener.all("homeassistant/device/Arm/config")[0]["device"]["name"] == "Arm"


def test_the_options_warn_of_an_unencrypted_broker(stack: ExitStack, judge: Diagnostician):
    said: list[str] = []
    url = f"mqtt://0.0.0.0:{a_free_port()}"  # this machine, but by no name of the loopback
    cli_mqtt.publisher(stack, cli_mqtt.Wish(url), False, judge, said.append)
    assert said == [f"{url}: all judgements travel unencrypted; use mqtts:// if the broker has TLS"]


def test_options_without_a_broker_are_refused(stack: ExitStack, judge: Diagnostician):
    none = cli_mqtt.Wish()
    assert cli_mqtt.publisher(stack, none, False, judge, pytest.fail) is None
    for wish, button in ((none, True), (cli_mqtt.Wish(pictures=True), False)):
        with pytest.raises(typer.BadParameter, match="--mqtt URL"):
            cli_mqtt.publisher(stack, wish, button, judge, pytest.fail)
