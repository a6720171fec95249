from pathlib import Path

import pytest

from dermedge import inventory
from dermedge.errors import CameraError
from dermedge.inventory import Found, Sight

RIBBON = Found("picamera2", "imx708", ribbon=True)
USB = Found("/dev/video0", "HD Webcam", ribbon=False)


def test_a_ribbon_camera_comes_before_usb_and_the_reason_is_said():
    source, reason = inventory.choose(Sight((USB, RIBBON)))
    assert source == "picamera2"
    assert "before USB" in reason


def test_without_a_ribbon_camera_the_first_usb_camera_is_taken():
    other = Found("/dev/video2", "Microscope", ribbon=False)
    source, reason = inventory.choose(Sight((USB, other)))
    assert (source, "first USB" in reason) == ("/dev/video0", True)


def test_without_a_camera_the_error_says_why_and_how_to_try():
    with pytest.raises(CameraError, match=r"no camera here\. picamera2 is blind\. .*fake:"):
        inventory.choose(Sight((), ("picamera2 is blind",)))


def test_the_list_marks_the_chosen_one():
    lines = inventory.as_text(Sight((RIBBON, USB), ("a note",))).splitlines()
    assert lines[:2] == ["* picamera2    imx708", "  /dev/video0  HD Webcam"]
    assert lines[2].startswith("auto takes picamera2 (imx708")
    assert lines[3] == "a note"
    assert inventory.as_text(Sight(())).startswith("no camera here.")


def test_of_picamera2_only_the_ribbon_counts():
    described = [
        {"Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a", "Num": 0},
        {"Model": "HD Webcam", "Id": "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.2:1.0", "Num": 1},
        {"Model": "ov5647", "Id": "/base/soc/i2c0mux/i2c@0/ov5647@36", "Num": 2},
    ]
    found = inventory.ribbon_cameras(described)
    assert [(one.source, one.says) for one in found] == [
        ("picamera2", "imx708"),
        ("picamera2:2", "ov5647"),
    ]


def test_nodes_that_give_no_picture_are_left_out():
    answers = {
        "video0": ("uvcvideo", "HD Webcam", 0x04200001),
        "video1": ("uvcvideo", "HD Webcam", 0x04A00000),  # its metadata
        "video10": ("bcm2835-codec", "decoder", 0x04204001),
        "video14": ("unicam", "unicam", 0x05200001),
        "video19": ("rp1-cfe", "rp1-cfe", 0x05200001),
    }

    def ask(node: Path) -> tuple[str, str, int]:
        if node.name not in answers:
            raise PermissionError(13, "Permission denied")
        return answers[node.name]

    nodes = [Path("/dev", name) for name in (*answers, "video99")]
    assert inventory.video_nodes(nodes, ask) == [USB]


@pytest.mark.parametrize(("of_card", "can"), [(0x84A00001, 0x04A00000), (0x00000001, 1)])
def test_a_node_s_own_abilities_count_before_its_card_s(of_card: int, can: int):
    answer = bytearray(104)  # offsets of linux/videodev2.h
    answer[0:8], answer[16:25] = b"uvcvideo", b"HD Webcam"
    answer[84:88], answer[88:92] = of_card.to_bytes(4, "little"), (0x04A00000).to_bytes(4, "little")
    assert inventory.read_capability(bytes(answer)) == ("uvcvideo", "HD Webcam", can)


def test_looking_around_works_on_any_machine():
    sight = inventory.look()
    assert isinstance(inventory.as_text(sight), str)
    assert all(found.source and found.says for found in sight.cameras)
