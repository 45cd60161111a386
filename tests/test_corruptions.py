import numpy as np
import pytest
from skimage import feature, transform

from mnist_cli.evaluation import corruptions
from mnist_cli.evaluation.corruptions import CORRUPTIONS, corrupt

ALWAYS_THE_SAME = {"scale", "brightness", "stripe", "canny edges"}
WAYS = dict.fromkeys(ALWAYS_THE_SAME, 1) | {"shear": 2, "rotate": 2, "translate": 4}  # all others: very many


@pytest.fixture(scope="module")
def digits(train):
    return train.images[:40].numpy()


@pytest.fixture(scope="module")
def images(digits):
    return digits[:, 0] / 255


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class OneWay:
    """Random numbers of which a sign is always positive."""

    def choice(self, signs, count):
        return np.full(count, max(signs))


def blank(count=1):
    return np.zeros((count, 28, 28))


def test_there_are_the_fifteen_of_the_paper():
    assert len(CORRUPTIONS) == 15


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_image_is_changed(digits, name):
    corrupted = corrupt(digits, name, seed=1)
    assert corrupted.dtype == np.uint8
    assert corrupted.shape == digits.shape
    assert (corrupted != digits).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pixels_stay_between_paper_and_ink(images, rng, name):
    corrupted = CORRUPTIONS[name](images, rng)
    assert corrupted.shape == images.shape
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_corruption_is_determined_by_the_seed(digits, name):
    first = corrupt(digits, name, seed=1)
    assert np.array_equal(first, corrupt(digits, name, seed=1))
    assert np.array_equal(first, corrupt(digits, name, seed=2)) == (name in ALWAYS_THE_SAME)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_corruption_of_an_image_does_not_depend_on_later_images(digits, name, monkeypatch):
    monkeypatch.setattr(corruptions, "CHUNK", 16)
    assert np.array_equal(corrupt(digits[:35], name, seed=1), corrupt(digits, name, seed=1)[:35])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_no_image_gets_the_noise_of_another(digits, name, monkeypatch):
    monkeypatch.setattr(corruptions, "CHUNK", 16)
    same = digits[:1].repeat(40, axis=0)
    ways = len({image.tobytes() for image in corrupt(same, name, seed=1)})
    # Of the angles and rows that are drawn, some come twice; repeated chunks would leave 16 ways at most.
    assert ways == WAYS[name] if name in WAYS else ways > 30


def test_shot_noise_counts_quanta(rng):
    shot = CORRUPTIONS["shot noise"](np.full((100, 28, 28), 0.1), rng)
    assert set((shot * 3).round(9).ravel()) == {0, 1, 2, 3}
    assert shot.mean() == pytest.approx(0.1, abs=0.002)
    assert not CORRUPTIONS["shot noise"](blank(), rng).any()


def test_impulse_noise_hits_17_percent_half_of_them_with_ink(rng):
    grey = np.full((100, 28, 28), 0.5)
    hit = CORRUPTIONS["impulse noise"](grey, rng)
    assert set(hit.ravel()) == {0, 0.5, 1}
    assert (hit != 0.5).mean() == pytest.approx(0.17, abs=0.005)
    assert (hit == 1).mean() == pytest.approx(0.085, abs=0.005)


def test_between_its_blurs_the_glass_only_moves_pixels(images, rng):
    moved = corruptions.swap_neighbours(images, rng)
    blurred = corruptions.blur(
        corruptions.swap_neighbours(corruptions.blur(images, 0.7), np.random.default_rng(1)), 0.7
    )
    assert np.array_equal(CORRUPTIONS["glass blur"](images, np.random.default_rng(1)), blurred)
    assert (np.sort(moved.reshape(40, -1)) == np.sort(images.reshape(40, -1))).all()
    away = np.abs(moved - images).sum() / images.sum()
    assert 0.1 < away < 1


def test_glass_swaps_three_of_eight_pixels_with_a_neighbour(rng):
    places = np.tile(np.arange(784.0).reshape(28, 28), (500, 1, 1))
    moved = corruptions.swap_neighbours(places, rng)
    assert (moved[:, :1] == places[:, :1]).all()  # the reach ends at row 1 and column 1
    assert (moved[:, :, :1] == places[:, :, :1]).all()
    # No other pixel reaches the one in the last corner, so only its own trade, once in each pass, moves it.
    assert (moved[:, 27, 27] == 783).mean() == pytest.approx((5 / 8) ** 2, abs=0.05)


def test_a_blur_reaches_all_sides_alike_and_loses_no_ink():
    spot = blank()
    spot[0, 14, 14] = 1
    blurred = corruptions.blur(spot, 0.7)[0]
    assert blurred[13, 14] == blurred[15, 14] > 0.1
    assert blurred[14, 13] == pytest.approx(blurred[13, 14])
    assert blurred.sum() == pytest.approx(1)


def test_motion_draws_a_spot_out_to_the_left(rng):
    spots = blank(200)
    spots[:, 14, 22] = 1
    blurred = CORRUPTIONS["motion blur"](spots, rng)
    weights = np.exp(-(np.arange(21) ** 2) / 18)
    assert blurred.sum(axis=(1, 2)) == pytest.approx(1)
    assert blurred[:, 14, 22] == pytest.approx(weights[0] / weights.sum())
    assert not blurred[:, :, 23:].any()
    up, down = blurred[:, :14].sum(axis=(1, 2)), blurred[:, 15:].sum(axis=(1, 2))
    assert ((up == 0) | (down == 0)).all()  # a straight line
    assert 0.3 < (up > down).mean() < 0.7
    columns = np.arange(28) @ blurred.sum(axis=1).T
    rows = np.arange(28) @ blurred.sum(axis=2).T
    assert (np.abs(rows - 14) <= 22 - columns + 1e-9).all()  # 45 degrees at most


@pytest.mark.parametrize(
    ("name", "matrix"),  # of (x, y), as scikit-image wants it
    [
        ("rotate", [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]),
        ("shear", [[1, -np.sin(0.4)], [0, np.cos(0.4)]]),
        ("scale", [[1 / 0.7, 0], [0, 1 / 0.7]]),
    ],
)
def test_a_distortion_is_scikit_images(images, name, matrix):
    whole = np.eye(3)
    whole[:2, :2] = matrix
    whole[:2, 2] = 13.5 - whole[:2, :2] @ [13.5, 13.5]  # the middle stays
    theirs = np.stack([transform.warp(image, transform.AffineTransform(whole)) for image in images])
    assert np.allclose(CORRUPTIONS[name](images, OneWay()), theirs, atol=1e-9)


def test_scale_leaves_70_percent_of_the_extent(rng):
    square = blank()
    square[:, 4:24, 4:24] = 1  # 20 px
    scaled = CORRUPTIONS["scale"](square, rng)[0]
    assert scaled[14].sum() == pytest.approx(14, abs=0.1)
    assert scaled[:, 14].sum() == pytest.approx(14, abs=0.1)
    assert np.allclose(scaled, scaled[::-1, ::-1])  # it stays in the middle


def test_translate_moves_all_ink_by_three_pixels_to_a_corner(rng):
    inner = blank(50)
    inner[:, 5:23, 5:23] = rng.random((50, 18, 18))
    corners = [(row, column) for row in (-3, 3) for column in (-3, 3)]
    found = [
        [corner for corner in corners if (np.roll(image, corner, axis=(0, 1)) == moved).all()]
        for image, moved in zip(inner, CORRUPTIONS["translate"](inner, rng), strict=True)
    ]
    assert all(len(some) == 1 for some in found)
    assert {some[0] for some in found} == set(corners)


def test_ink_that_leaves_the_picture_does_not_come_in_again(rng):
    assert CORRUPTIONS["translate"](np.ones((20, 28, 28)), rng).sum(axis=(1, 2)).tolist() == [25 * 25] * 20


def test_brightness_adds_a_half(digits):
    exact = (digits + 127.5).clip(max=255)
    assert np.abs(corrupt(digits, "brightness", seed=0) - exact).max() <= 0.5


def test_stripes_swap_ink_and_paper_in_both_quarters(digits):
    striped, plain = corrupt(digits, "stripe", seed=0), digits
    assert np.array_equal(striped[..., :7], 255 - plain[..., :7])
    assert np.array_equal(striped[..., 7:21], plain[..., 7:21])
    assert np.array_equal(striped[..., 21:], 255 - plain[..., 21:])


def test_fog_leaves_a_quarter_of_the_contrast_of_ink(images):
    black = (images > 0).astype(float)
    dot = blank(40)
    dot[:, 14, 14] = 1
    foggy, only_fog = (CORRUPTIONS["fog"](some, np.random.default_rng(3)) for some in (black, dot))
    assert np.allclose(foggy - only_fog, (black - dot) / 4)


def test_clouds_are_made_by_the_diamond_square_algorithm():
    side, seed = 32, 5
    noise = np.random.default_rng(seed).uniform(-1, 1, (side, side))
    heights, step = {(0, 0): 0.0}, side
    while step > 1:
        half = step // 2
        amount = 1.4 ** (-2 * np.log2(side / step))
        for reach, offsets in (
            ([(-half, -half), (-half, half), (half, -half), (half, half)], [(half, half)]),
            ([(-half, 0), (half, 0), (0, -half), (0, half)], [(0, half), (half, 0)]),
        ):
            for top in range(0, side, step):
                for left in range(0, side, step):
                    for down, right in offsets:
                        row, column = top + down, left + right
                        around = [heights[(row + y) % side, (column + x) % side] for y, x in reach]
                        heights[row, column] = np.mean(around) + amount * noise[row, column]
        step = half
    low, high = min(heights.values()), max(heights.values())
    expected = [[(heights[row, column] - low) / (high - low) for column in range(28)] for row in range(28)]
    assert np.allclose(corruptions.clouds(1, side, np.random.default_rng(seed))[0], expected)


def test_clouds_differ_more_across_the_sky_than_from_pixel_to_pixel(rng):
    clouds = corruptions.clouds(100, corruptions.MAP, rng)
    assert clouds.mean() == pytest.approx(0.5, abs=0.1)
    assert clouds.mean(axis=(1, 2)).std() > 5 * np.abs(np.diff(clouds)).mean()


def test_mud_covers_with_one_grey(images, rng):
    grey = 63 / 255
    mud = CORRUPTIONS["spatter"](blank(40), rng)
    assert mud.max() <= grey
    assert mud[mud > 0].min() >= 0.8 * grey
    assert 0.05 < (mud > 0).mean() < 0.5
    muddy = CORRUPTIONS["spatter"](np.ones((40, 28, 28)), np.random.default_rng(0))
    assert np.allclose(muddy, 1 - mud / grey + mud)  # what is below is covered as much


def test_a_dotted_line_goes_from_edge_to_edge_two_columns_on_two_off(rng):
    lines = CORRUPTIONS["dotted line"](blank(50), rng)
    for line in lines:
        assert np.flatnonzero(line.any(axis=0)).tolist() == [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26]
        middle = (np.arange(28) @ line / line.sum(axis=0).clip(1e-9))[line.any(axis=0)]
        steps = np.diff(middle) / np.diff(np.flatnonzero(line.any(axis=0)))
        assert np.ptp(steps) < 1.1  # straight, but for the rows being whole ones


def test_the_ink_of_a_line_fades_with_the_distance():
    left, right, row = np.zeros(1), np.full(1, 27.0), np.full(1, 14.0)
    flat = corruptions.draw_lines((left, row), (right, row))[0]
    assert flat[14, :27].tolist() == [1] * 27
    assert flat[13, 5] == flat[15, 5] == pytest.approx(1 + np.log(1 - 1 / 2.3))
    assert not flat[:13].any()
    assert not flat[16:].any()
    assert not flat[:, 27].any()


def test_a_zigzag_goes_to_either_side_every_four_pixels(rng):
    lines = CORRUPTIONS["zigzag"](blank(200), rng)
    assert not lines[:, :, :2].any()
    assert not lines[:, :, 26:].any()
    inside = [line for line in lines if not line[[0, 27]].any()]  # none of its columns left the picture
    assert len(inside) > 50
    for line in inside:
        assert line[:, 2:25].any(axis=0).all()
        middle = np.arange(28) @ line[:, 2:25] / line[:, 2:25].sum(axis=0)
        turns = np.diff(np.sign(np.diff(middle - np.linspace(middle[0], middle[-1], 23)).round(3)))
        assert 5 <= np.count_nonzero(turns) <= 9
        assert 2.5 < np.ptp(middle - np.polyval(np.polyfit(np.arange(23), middle, 1), np.arange(23))) < 5


def test_canny_leaves_the_outline(rng):
    square = blank()
    square[:, 8:20, 8:20] = 1
    edges = CORRUPTIONS["canny edges"](square, rng)[0]
    assert set(edges.ravel()) == {0, 1}
    rows, columns = np.nonzero(edges)
    away = np.maximum(np.abs(rows - 13.5), np.abs(columns - 13.5))
    assert ((away == 5.5) | (away == 6.5)).all()
    assert 40 <= edges.sum() <= 52


def test_the_edges_are_scikit_images(images, rng):
    noise = rng.random((40, 28, 28))
    for some in (images, noise, images * noise, 1 - images):
        theirs = np.stack([feature.canny(image, sigma=1) for image in some])
        assert np.array_equal(CORRUPTIONS["canny edges"](some, rng), theirs)
