import pytest

from dermedge import address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://cam/1", "rtsp://cam"),
        ("rtsp://10.0.0.9:554/live?channel=1", "rtsp://10.0.0.9:554"),
        ("RTSPS://[fe80::1]:322/live", "RTSPS://[fe80::1]:322"),
        ("rtsp://ward:s3cret@10.0.0.9/live", "rtsp://10.0.0.9"),
        ("rtsp://ward:s3cr@t@10.0.0.9:554/live?token=s3cret", "rtsp://10.0.0.9:554"),
        ("rtsp://10.0.0.9/user=ward_password=s3cret_channel=1.sdp", "rtsp://10.0.0.9"),
        ("http://cam?usr=ward&pwd=s3cret", "http://cam"),
        # What is the host here nobody knows: "ward", as FFmpeg reads it, or "cam".
        ("rtsp://ward:s3cret/x@cam/live", "rtsp://…"),
        ("rtsp://ward:s3cret?x@cam", "rtsp://…"),
        ("rtsp://cam/user=ward&password=s3cr@t.sdp", "rtsp://…"),
        ("rtsp://ward:s3cret", "rtsp://…"),
        ("ward:s3cret://cam", "://…"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_of_an_address_scheme_and_host_are_shown(text: str, shown: str):
    assert address.shown(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://ward@cam/live",
        "rtsp://ward:s3cret@cam/live",
        "rtsp://ward:s3cret/x@cam/live",
        "rtsp://cam/user=ward_password=s3cret_channel=1_stream=0.sdp",
        "rtsp://cam/live?USER=ward&Pwd=s3cret",
        "http://cam/video.cgi?loginuse=ward&loginpas=s3cret",
        "http://cam/snap?authbasic=d2FyZDpzM2NyZXQ",
        "http://cam/snap?api_key=s3cret",
        "http://cam/snap?password%3Ds3cret",
    ],
)
def test_a_password_is_seen_wherever_it_stands(text: str):
    assert address.is_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        *("rtsp://cam/1", "rtsp://cam:554/cam/realmonitor?channel=1&subtype=0", "rtsp:", "auto"),
        *("http://cam/axis-cgi/mjpg/video.cgi?resolution=640x480", "picamera2", "/srv/a=b@c.mp4"),
    ],
)
def test_what_holds_none_is_none(text: str):
    assert not address.is_secret(text)


@pytest.mark.parametrize("text", ["rtsp:", "RTSPS:", "http:", "https:"])
def test_a_scheme_alone_stands_for_an_address(text: str):
    assert address.is_placeholder(text)
    assert address.is_address(text)


@pytest.mark.parametrize("text", ["fake:", "rtsp", "rtsp://cam", "picamera2:1", ":", ""])
def test_nothing_else_does(text: str):
    assert not address.is_placeholder(text)
    assert address.is_address(text) == ("://" in text)
