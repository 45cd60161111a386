import numpy as np
import pytest
from scipy import ndimage

from mnist_cli.pictures.distortions import Distortion


@pytest.fixture
def frame():
    """An upright bar, a little off the middle."""
    levels = np.zeros((1, 28, 28), np.uint8)
    levels[0, 5:20, 11:14] = 255
    return levels


def ink(frame):
    return float(frame.sum()) / 255


def test_nothing_is_changed_by_default(frame):
    assert np.array_equal(Distortion().of(frame), frame)


def test_strokes_become_thicker_and_thinner_by_the_pixels_that_are_named(frame):
    assert ink(Distortion(thickness=1).of(frame)) == pytest.approx(17 * 5, rel=0.08)
    assert ink(Distortion(thickness=-0.5).of(frame)) == pytest.approx(14 * 2, rel=0.15)


def test_a_frame_turns_clockwise(frame):
    before, after = (ndimage.center_of_mass(one[0]) for one in (frame, Distortion(rotation=90).of(frame)))
    assert after == pytest.approx((before[1], 27 - before[0]), abs=0.1)


def test_a_blur_spreads_the_ink_and_keeps_its_amount(frame):
    blurred = Distortion(blur=1).of(frame)
    assert ink(blurred) == pytest.approx(ink(frame), rel=0.03)
    assert np.count_nonzero(blurred) > 1.5 * np.count_nonzero(frame)


def test_noise_is_the_same_each_time_and_as_strong_as_named(frame):
    noisy = Distortion(noise=0.1).of(frame)
    assert np.array_equal(noisy, Distortion(noise=0.1).of(frame))
    assert noisy[0, 20:].std() == pytest.approx(0.1 * 255 * 0.584, rel=0.15)  # half of a Gaussian, clipped at 0
