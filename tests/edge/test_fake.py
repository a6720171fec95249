import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermedge import camera, fake
from dermedge.errors import CameraError, InputError
from dermedge.fake import Fake, Fault
from dermedge.source import Wish

FAST = Wish(size=(64, 48), fps=1000)


def test_a_script_is_read():
    assert fake.parse("fake:") == ()
    assert fake.parse("fake:unplug@50,freeze@100+200,end@400") == (
        Fault("unplug", 50, 2),
        Fault("freeze", 100, 200),
        Fault("end", 400, 1),
    )


@pytest.mark.parametrize("step", ["melt@3", "unplug", "unplug@0", "unplug@-1", "slow@1+", "slow@x"])
def test_a_step_that_is_not_understood_is_named(step: str):
    with pytest.raises(InputError, match=r"not understood.*unplug, freeze"):
        fake.parse(f"fake:end@9,{step}")


@given(st.text(max_size=40))
def test_any_text_is_a_script_or_an_input_error(text: str):
    try:
        faults = fake.parse(f"fake:{text}")
    except InputError:
        return
    assert all(fault.kind in fake.FAULTS and fault.at > 0 for fault in faults)


def test_it_gives_rgb_that_changes_from_frame_to_frame():
    source = camera.open_source("fake:", FAST)
    first, second = source.read(), source.read()
    assert first is not None
    assert second is not None
    assert first.shape == (48, 64, 3)
    np.testing.assert_allclose(first[:8].mean((0, 1)), (225, 180, 160), atol=6)  # skin, not blue
    np.testing.assert_allclose(first[20:28, 28:36].mean((0, 1)), (110, 60, 45), atol=6)
    assert not np.array_equal(first, second)


def test_it_is_unplugged_refuses_to_open_and_goes_on_where_it_was():
    device = Fake("fake:unplug@2+2,end@4", FAST)
    source = device.open()
    source.read()
    with pytest.raises(CameraError, match="unplugged"):
        source.read()
    for _ in range(2):
        with pytest.raises(CameraError, match="can't be opened"):
            device.open()
    source = device.open()
    assert source.read() is not None
    assert source.read() is None


def test_it_freezes_and_thaws():
    source = Fake("fake:freeze@2+2", FAST).open()
    frames = [source.read() for _ in range(4)]
    assert frames[0] is frames[1] is frames[2]
    assert frames[3] is not frames[0]


def test_it_changes_its_size_and_back():
    source = Fake("fake:resize@2+1", FAST).open()
    shapes = [frame.shape[:2] for _ in range(3) if (frame := source.read()) is not None]
    assert shapes == [(48, 64), (24, 32), (48, 64)]


def test_a_damaged_frame_is_left_out_but_three_in_a_row_are_the_end():
    device = Fake("fake:corrupt@2+2", FAST)
    source = device.open()
    source.read()
    assert source.read() is not None
    assert device.shown == 4
    with pytest.raises(CameraError, match="3 in a row were damaged"):
        Fake("fake:corrupt@1+3", FAST).open().read()


@pytest.mark.parametrize("wish", [Wish(fps=0), Wish(size=(8, 8)), Wish(lock=True)])
def test_what_it_has_not_is_refused(wish: Wish):
    with pytest.raises(InputError):
        Fake("fake:", wish)
