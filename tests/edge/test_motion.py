import numpy as np
import pytest

from dermedge import scene, skin
from dermedge.grabber import Frame
from dermedge.image import RGB
from dermedge.motion import Change, Motion
from dermedge.thumbnail import thumbnail


@pytest.fixture
def lesion() -> RGB:
    """A dark disc on skin, uint8 (480, 640, 3), RGB."""
    rows, columns = np.mgrid[:480, :640]
    image = np.full((480, 640, 3), (225, 180, 160), np.uint8)
    image[(rows - 240) ** 2 + (columns - 320) ** 2 < 120**2] = (110, 60, 45)
    return image


def noisy(image: RGB, seed: int) -> RGB:
    noise = np.random.default_rng(seed).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def change(*images: RGB) -> Change:
    found = Motion()
    return [found.add(image, float(number)) for number, image in enumerate(images)][-1]


def test_noise_and_flicker_are_no_motion(lesion: RGB):
    found = change(noisy(lesion, 1), noisy((lesion * 0.97).astype(np.uint8), 2))
    assert found.shift is not None
    assert found.shift < scene.MAX_SHIFT
    assert found.frozen_s == 0


def test_a_hand_that_moves_is_motion_and_more_is_more(lesion: RGB):
    shifts = [change(lesion, np.roll(lesion, pixels, axis=1)).shift for pixels in (2, 8, 20, 60)]
    assert None not in shifts
    assert shifts == sorted(shifts, key=float)  # type: ignore[arg-type]
    assert shifts[2] > scene.MAX_SHIFT  # type: ignore[operator] - 3 % of the side


def test_a_plain_wall_has_nothing_that_could_move(lesion: RGB):
    wall = np.full_like(lesion, 128)
    found = change(noisy(wall, 1), noisy(wall, 2))
    assert found.shift is not None
    assert found.shift < scene.MAX_SHIFT


def test_a_frozen_picture_is_timed_and_one_pixel_thaws_it(lesion: RGB):
    found = Motion()
    still = [found.add(lesion.copy(), float(second)).frozen_s for second in range(4)]
    assert still == [0, 1, 2, 3]
    other = lesion.copy()
    other[101, 203, 1] ^= 1  # not among those that are looked at first
    assert found.add(other, 4.0).frozen_s == 0


@pytest.mark.parametrize("shape", [(240, 320), (1, 1), (1, 999)])
def test_another_size_is_said_and_not_compared(lesion: RGB, shape: tuple[int, int]):
    assert change(lesion, np.zeros((*shape, 3), np.uint8)) == Change(None, 0.0, True)


def test_shift_does_not_depend_on_the_resolution(lesion: RGB):
    double = lesion.repeat(2, axis=0).repeat(2, axis=1)
    once = change(lesion, np.roll(lesion, 6, axis=1)).shift
    twice = change(double, np.roll(double, 12, axis=1)).shift
    assert once == pytest.approx(twice, rel=0.05)


@pytest.mark.parametrize("colour", [(128, 128, 128), (10, 10, 10), (40, 160, 60), (60, 90, 200)])
def test_grey_black_green_and_blue_are_no_skin(colour: tuple[int, int, int]):
    assert skin.share(np.full((90, 90, 3), colour, np.uint8)) < skin.MIN_SHARE


@pytest.mark.parametrize("tone", [(255, 219, 190), (225, 180, 160), (141, 85, 60), (75, 45, 33)])
def test_every_tone_of_skin_is_skin(tone: tuple[int, int, int]):
    assert skin.share(np.full((90, 90, 3), tone, np.uint8)) > 0.9


def test_real_photographs_of_skin_are_skin(real_data):
    from dermedge import image

    paths = image.find(real_data / "pad-ufes-20")[::4]
    bare = [path for path in paths if skin.share(image.read(path)) < skin.MIN_SHARE]
    assert len(bare) <= 0.02 * len(paths)


def test_each_fault_of_a_scene_says_what_to_do(lesion: RGB):
    good = Frame(2, lesion, 0.0, shift=0.001)
    assert scene.live(good) == ()
    moving = Frame(2, np.zeros_like(lesion), 0.0, shift=0.5, frozen_s=60.0)
    assert [text.partition(":")[0] for text in scene.live(moving)] == [
        "frozen",
        "moving",
        "no skin in sight",
    ]
    assert len(scene.restless(moving)) == 2
    assert len(scene.frozen(moving)) == 1


def test_the_thumbnail_is_made_once_and_is_its_own(lesion: RGB):
    found = Motion()
    found.add(lesion, 0.0)
    small = thumbnail(lesion)
    np.testing.assert_array_equal(found.thumbnail, small)
    assert thumbnail(small) is small
    assert skin.share(small) == skin.share(lesion)
