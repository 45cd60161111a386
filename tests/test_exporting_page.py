"""The exported page, opened from a file in a real browser without a network, against the models and the preparation in Python."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from test_exporting_networks import NETWORKS, network, noise

from mnist_cli.config import PRETRAINED
from mnist_cli.exporting import networks, webpage
from mnist_cli.models import checkpoints
from mnist_cli.models.checkpoints import Checkpoint
from mnist_cli.pictures import binarize, decode, normalize
from mnist_cli.recognition import classification

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is not installed")
pages = pytest.importorskip("test_serving_page", reason="there is no browser")
expect = sync_api.expect

pytestmark = pytest.mark.browser


def checkpoint_of(model):
    return Checkpoint(PRETRAINED, model, None, [], {}, {})


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=pages.CHROMIUM, args=pages.OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, tmp_path):
    """Open an exported page from its file, offline; what it complains about, or asks of anybody, fails the test."""
    contexts, problems = [], []

    def visit(content, size=pages.DESKTOP, locale="en-US", scheme="light"):
        path = tmp_path / "page.html"
        path.write_bytes(content)
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=viewport, locale=locale, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type in {"error", "warning"} and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda one: one.url.startswith((path.as_uri(), "data:", "blob:")) or problems.append(one.url)
        )
        page.goto(path.as_uri())
        expect(page.locator("#model")).not_to_be_empty()
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="module")
def shipped():
    """The page of the model that ships."""
    return webpage.page(checkpoints.load(PRETRAINED), "float16")


def logits(page, images):
    """The logits that the page computes of images (N, 1, 28, 28)."""
    script = """pixels => {
        const bytes = Uint8Array.from(atob(pixels), (character) => character.charCodeAt(0));
        const count = bytes.length / 784;
        return Array.from({ length: count }, (_, at) => [...mnist.logits(bytes.subarray(784 * at, 784 * (at + 1)))]);
    }"""
    return np.array(page.evaluate(script, base64.b64encode(images.tobytes()).decode()))


def answers_of(page, pictures):
    """The answers of the page for pictures, whose files it decodes itself."""
    script = """async files => {
        const read = (file) => Uint8Array.from(atob(file), (character) => character.charCodeAt(0));
        const results = [];
        for (const file of files) results.push(await mnist.predict(new Blob([read(file)])));
        return results;
    }"""
    return page.evaluate(script, [base64.b64encode(png(picture)).decode() for picture in pictures])


def frames(page, pictures):
    """The frames that the page makes of pictures; an empty one where there is no ink."""
    return [answer["frame"] or [] for answer in answers_of(page, pictures)]


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def drawing(number):
    """A digit drawn by lines, of any size, slant, place and pen; each fourth leaves the sheet, each fifth is in colours."""
    rng = np.random.default_rng(number)
    size = 280 if number % 5 else int(rng.integers(60, 700))
    paper, ink = ((255, 255, 255), (0, 0, 0)) if number % 5 else (rng.integers(190, 256, 3), rng.integers(0, 120, 3))
    zoom, slant = rng.uniform(0.3, 1.4), rng.uniform(-0.3, 0.3)
    reach = 0.55 - 0.3 * zoom if number % 4 else 0.5
    middle = rng.uniform(0.5 - abs(reach), 0.5 + abs(reach), 2)
    turn = zoom * np.array([[1, slant], [-slant / 2, 1]])
    picture = Image.new("RGB", (3 * size, 3 * size), tuple(map(int, paper)))
    pen = pages.ImageDraw.Draw(picture)
    for stroke in pages.STROKES[number % 10]:
        points = [tuple(3 * size * (turn @ (np.array(point) - 0.5) + middle)) for point in stroke]
        pen.line(
            points, fill=tuple(map(int, ink)), width=max(2, round(3 * size * rng.uniform(0.02, 0.09))), joint="curve"
        )
    return picture.reduce(3)  # so that its edges are soft


@pytest.mark.parametrize(
    ("name", "hidden", "activation", "precision"),
    [(*it, "float32") for it in NETWORKS] + [(*NETWORKS[-1], "float16"), (*NETWORKS[-1], "int8")],
)
def test_the_page_computes_the_logits_of_every_network_with_the_rounded_weights(
    visit, name, hidden, activation, precision
):
    model, images = network(name, hidden, activation), noise(10)
    page = visit(webpage.page(checkpoint_of(model), precision))
    rounded = networks.with_weights(model, webpage.ROUNDED[precision])
    assert logits(page, images) == pytest.approx(rounded.logits(images), abs=2e-4)
    assert (logits(page, images).argmax(axis=1) == rounded.logits(images).argmax(axis=1)).all()


@pytest.mark.slow
def test_the_page_gives_the_predictions_of_the_checkpoint_for_val_images(visit, trained, shipped, val):
    images, _ = val[:1_000].arrays()
    checkpoint = checkpoints.load(trained)
    found = logits(visit(webpage.page(checkpoint, "float32")), images)
    assert found == pytest.approx(checkpoint.model.logits(images), abs=1e-4)
    assert (found.argmax(axis=1) == checkpoint.model.logits(images).argmax(axis=1)).all()
    model = checkpoints.load(PRETRAINED).model
    assert (logits(visit(shipped), images[:100]).argmax(axis=1) == model.logits(images[:100]).argmax(axis=1)).all()


@pytest.mark.slow
def test_images_that_are_not_sure_have_the_predictions_of_predict_in_several_views(visit, shipped, val):
    model = checkpoints.load(PRETRAINED).model
    images = val.images[:3_000].numpy()
    scores = np.logaddexp.reduce(model.logits(images), axis=1)
    unsure = images[scores < 5][:15]
    expected = classification.classify(model, [image.transpose(1, 2, 0).astype(np.float32) for image in unsure])
    answers = answers_of(visit(shipped), [Image.fromarray(image[0]) for image in unsure])
    assert [answer["digit"] for answer in answers] == [one.digit for one in expected]
    for answer, one in zip(answers, expected, strict=True):
        assert answer["probabilities"] == pytest.approx(one.probabilities, abs=0.01)
    alone = model.logits(unsure)
    assert not np.allclose([one.score for one in expected], np.logaddexp.reduce(alone, axis=1), atol=0.1)


@pytest.mark.slow
def test_the_frames_of_100_drawings_are_those_of_predict(visit, shipped):
    # The last one touches the edge, and rounding once made ink of the paper.
    pictures = [drawing(number) for number in (*range(99), 681)]
    found = frames(visit(shipped), pictures)
    for number, (picture, frame) in enumerate(zip(pictures, found, strict=True)):
        expected = normalize.draw(next(binarize.candidates(decode.from_image(picture))))[0].astype(int)
        assert np.abs(np.array(frame) - expected).max() <= 2, number


def test_frames_with_a_border_dark_paper_or_nothing_are_those_of_predict(visit, shipped):
    seven = Image.fromarray(np.asarray(drawing(7)))
    framed = seven.copy()
    pages.ImageDraw.Draw(framed).rectangle((0, 0, 279, 279), outline="navy", width=7)
    light = Image.fromarray(255 - np.asarray(seven))
    slope = Image.fromarray((np.asarray(seven) * np.linspace(0.7, 1, 280)[:, None, None]).astype(np.uint8))
    with Image.open(io.BytesIO((webpage.SHARED / "examples/3.png").read_bytes())) as image:
        example = image.copy()
    pictures = [framed, light, slope, seven.convert("L").resize((1_900, 1_900)), example]
    found = frames(visit(shipped), pictures)
    levels = [decode.from_image(picture) for picture in pictures]
    expected = [
        frame if frame is not None else normalize.draw(next(binarize.candidates(picture)))
        for picture, frame in zip(levels, normalize.already_drawn(levels), strict=True)
    ]
    for frame, wanted in zip(found, expected, strict=True):
        assert np.abs(np.array(frame) - wanted[0].astype(int)).max() <= 2
    assert frames(visit(shipped), [Image.new("RGB", (280, 280), "white")]) == [[]]


def test_one_draws_on_the_page_from_a_file_without_a_network(visit, shipped):
    page = visit(shipped)
    for digit in (7, 2):
        pages.draw(page, pages.STROKES[digit])
        pages.expect_digit(page, digit)
        expect(page.locator("#sure")).to_have_text(re.compile(r"^(> )?9\d\.\d% confidence$"))
        assert np.count_nonzero(pages.ink(page, "#frame")) > 50
        page.keyboard.press("Delete")
    pages.draw(page, pages.LETTER)
    expect(page.locator("#sure")).to_have_text("Not a digit")
    expect(page.locator("#several")).to_be_hidden()
    page.get_by_role("button", name="A 3 from MNIST").click()
    pages.expect_digit(page, 3)
    expect(page.locator("#model")).to_contain_text("457,994 parameters · 99.60% val accuracy")
    expect(page.locator("#privacy")).to_contain_text("your pictures are not sent anywhere")
    expect(page.locator("#documentation")).to_be_hidden()
    expect(page.locator("#view")).to_be_hidden()
    page.locator("#language").click()
    expect(page.locator("#privacy")).to_contain_text("图片不会发送到任何地方")


def test_the_answer_for_a_drawing_is_that_of_predict(visit, shipped):
    page = visit(shipped)
    script = """async file => mnist.predict(new Blob([Uint8Array.from(atob(file), (one) => one.charCodeAt(0))]))"""
    found = page.evaluate(script, base64.b64encode(png(drawing(7))).decode())
    model = checkpoints.load(PRETRAINED).model
    (expected,) = classification.classify(model, [decode.from_image(drawing(7))])
    assert found["digit"] == expected.digit == 7
    assert found["probabilities"] == pytest.approx(expected.probabilities, abs=1e-3)
    assert found["reason"] is None


def test_a_file_that_is_not_a_picture_has_a_message(visit, shipped, tmp_path):
    page = visit(shipped)
    (tmp_path / "note.txt").write_text("seven")
    page.locator("#choose").set_input_files(tmp_path / "note.txt")
    expect(page.locator("#why")).to_contain_text("This file cannot be read as a picture")
