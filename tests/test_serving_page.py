"""The page in a real browser, drawn on the way people do, with a real `mnist serve` underneath."""

import base64
import io
import math
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image, ImageDraw

from pretraining import strokes as drawing
from pretraining import written_forms

pytest.importorskip("fastapi", reason='the service is not installed: pip install ".[serve]"')
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is not installed")
expect = sync_api.expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("there is no chromium to look at the page with", allow_module_level=True)

pytestmark = pytest.mark.browser

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
expect.set_options(timeout=20_000)  # ms, for a machine that is busy with other tests
DESKTOP, TABLET, PHONE = (1440, 900), (768, 1024), (390, 844)  # px


def arc(x, y, across, down, start, end):
    """Points of a part of an ellipse, angles in degrees clockwise from the right."""
    angles = (math.radians(start + (end - start) * step / 10) for step in range(11))
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]


# The strokes of each digit, in fractions of the sheet, in the order and direction in which people draw them.
STROKES = {
    0: [arc(0.5, 0.5, 0.2, 0.3, -90, -450)],
    1: [[(0.42, 0.3), (0.52, 0.2), (0.52, 0.8)]],
    2: [[*arc(0.48, 0.36, 0.17, 0.16, -160, 30), (0.34, 0.78), (0.68, 0.78)]],
    3: [arc(0.47, 0.35, 0.17, 0.15, -150, 90) + arc(0.47, 0.66, 0.19, 0.16, -90, 150)],
    4: [[(0.45, 0.2), (0.3, 0.56), (0.7, 0.56)], [(0.6, 0.35), (0.58, 0.82)]],
    5: [[(0.38, 0.22), (0.36, 0.47), *arc(0.47, 0.62, 0.18, 0.18, -120, 150)], [(0.38, 0.22), (0.66, 0.21)]],
    6: [[(0.6, 0.18), (0.42, 0.4), *arc(0.5, 0.64, 0.16, 0.17, -180, -540)]],
    7: [[(0.32, 0.22), (0.68, 0.22), (0.45, 0.82)]],
    8: [arc(0.5, 0.35, 0.14, 0.14, 90, 450) + arc(0.5, 0.65, 0.17, 0.16, -90, -450)],
    9: [[*arc(0.5, 0.36, 0.15, 0.15, 0, -360), (0.63, 0.6), (0.58, 0.82)]],
}
LETTER = [[(0.2, 0.85), (0.5, 0.15), (0.8, 0.85)], [(0.32, 0.6), (0.68, 0.6)]]  # an A


class Server:
    """`mnist serve` in a process of its own, always on the same port."""

    def __init__(self, folder, *options):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.folder, self.options = folder, options
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "mnist_cli", "serve", "--port", str(self.port), *self.options]
        self.process = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(300):
            assert self.process.poll() is None, "mnist serve ended before it answered"
            try:
                with urllib.request.urlopen(f"{self.url}healthz"):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("mnist serve did not answer within 30 seconds")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("serving"), "--collect", "corrections")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visit(server, browser):
    """Open the page; an error in its console, or a request to another server, fails the test at its end."""
    contexts, problems = [], []

    def visit(size=DESKTOP, locale="en-US", scheme="light", touch=False, server=server):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale=locale,
            color_scheme=scheme,
            has_touch=touch,
            is_mobile=touch,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.problems = problems  # a test that makes requests fail clears them
        page.on("console", lambda message: message.type in {"error", "warning"} and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda one: one.url.startswith((server.url, "blob:")) or problems.append(one.url))
        page.goto(server.url)
        expect(page.locator("#model")).not_to_be_empty()
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(visit):
    return visit()


def places(page, points):
    box = page.locator("#canvas").bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]


def draw(page, strokes):
    for stroke in strokes:
        here, *rest = places(page, stroke)
        page.mouse.move(*here)
        page.mouse.down()
        for there in rest:
            page.mouse.move(*there, steps=math.ceil(math.dist(here, there) / 45))
            here = there
        page.mouse.up()


def ink(page, canvas="#canvas"):
    """How opaque each pixel of a canvas is, 0 to 255."""
    page.evaluate("new Promise(requestAnimationFrame)")
    png = base64.b64decode(page.locator(canvas).evaluate("it => it.toDataURL()").partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))[..., 3].astype(int)


def expect_digit(page, digit):
    """What is read aloud comes after a finished stroke only, so no answer from its middle passes for the last."""
    expect(page.locator("#spoken")).to_have_text(re.compile(rf"^It is a {digit}, "))
    expect(page.locator("#numeral")).to_have_text(str(digit))


def test_ten_digits_drawn_with_the_mouse_are_read(page):
    for digit, strokes in STROKES.items():
        draw(page, strokes)
        expect_digit(page, digit)
        page.keyboard.press("Delete")
        expect(page.locator("#spoken")).to_be_empty()


def five_ways(digit, rng):
    """Strokes of five written forms of a digit, each of another kind where it has as many, by a hand that is not quite steady."""
    by_kind = {form.kind: form for form in written_forms.DIGITS[digit] if form.kind not in ("display", "slashed")}
    others = [form for form in written_forms.DIGITS[digit] if form not in by_kind.values() and form.kind in by_kind]
    for form in [*by_kind.values(), *others][:5]:
        size, left, top = rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.35), rng.uniform(0.15, 0.35)
        paths = [
            drawing._catmull_rom(np.array(stroke) + drawing._jitter(stroke, 0.012, rng))
            for stroke in written_forms.strokes_of(form.strokes)
        ]
        yield form.kind, [[(left + size * x, top + size * y) for x, y in [*path[::4], path[-1]]] for path in paths]


def test_each_digit_drawn_in_five_ways_with_the_mouse_is_read(page):
    rng = np.random.default_rng(5)
    wrong = []
    for digit in range(10):
        for kind, curves in five_ways(digit, rng):
            draw(page, curves)
            try:
                expect(page.locator("#spoken")).to_have_text(re.compile(rf"^It is a {digit}, "), timeout=5_000)
            except AssertionError:
                wrong.append((digit, kind, page.locator("#spoken").inner_text()))
            page.keyboard.press("Delete")
            expect(page.locator("#spoken")).to_be_empty()
    assert len(wrong) <= 1, wrong


def test_the_result_has_confidence_ten_bars_and_the_model_input(page):
    with page.expect_response(lambda response: "predict" in response.url and response.ok):
        draw(page, STROKES[7])
    expect_digit(page, 7)
    expect(page.locator("#sure")).to_have_text(re.compile(r"^(> )?9\d\.\d% confidence$"))
    expect(page.locator("#bars li.most .digit")).to_have_text("7")
    shares = [float(text.strip(": >%")) for text in page.locator("#bars .unseen").all_inner_texts()]
    assert len(shares) == 10
    assert shares.index(max(shares)) == 7
    expect(page.locator("#bars li.most .value")).to_have_text(re.compile(r"^>?9\d%$"))
    seen = ink(page, "#frame")
    assert seen.shape == (28, 28)
    rows = np.flatnonzero(seen.max(axis=1) > 60)
    assert 19 <= rows[-1] - rows[0] + 1 <= 21  # px: drawn anew, the way MNIST draws


def test_a_prediction_is_shown_while_the_stroke_is_drawn(page):
    draw(page, STROKES[1])
    expect_digit(page, 1)
    page.keyboard.press("Delete")
    expect(page.locator("#spoken")).to_be_empty()
    first, *rest = places(page, STROKES[0][0])
    page.mouse.move(*first)
    page.mouse.down()
    for place in rest:
        page.mouse.move(*place)
    for place in rest[-1:-3:-1] * 50:
        if page.locator("#numeral").inner_text():
            break
        page.wait_for_timeout(100)
        page.mouse.move(*place)
    expect(page.locator("#numeral")).not_to_be_empty()
    expect(page.locator("#spoken")).to_be_empty()
    page.mouse.up()
    expect(page.locator("#spoken")).not_to_be_empty()


def test_a_late_response_is_dropped(page):
    held = []
    page.route("**/api/predict*", lambda route: held.append(route) if not held else route.continue_())
    draw(page, STROKES[4][:1])
    expect(page.locator("#undo")).to_be_enabled()
    draw(page, STROKES[4][1:])
    expect_digit(page, 4)
    held[0].fulfill(json={"digit": 9, "confidence": 1, "probabilities": [0] * 9 + [1], "reason": None, "frame": None})
    page.wait_for_timeout(200)
    expect(page.locator("#numeral")).to_have_text("4")


def test_undo_takes_one_stroke_back_and_brings_back_what_was_cleared(page):
    draw(page, STROKES[4][:1])
    one_stroke = ink(page)
    draw(page, STROKES[4][1:])
    page.keyboard.press("Control+z")
    assert (ink(page) == one_stroke).all()
    page.get_by_role("button", name="Clear").click()
    assert not ink(page).any()
    expect(page.locator("#sure")).to_have_text("Waiting for your digit")
    page.get_by_role("button", name="Undo").click()
    assert (ink(page) == one_stroke).all()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    expect(page.get_by_role("button", name="Clear")).to_be_disabled()


def test_the_pen_can_be_made_thicker(page):
    draw(page, STROKES[1])
    thin = ink(page).sum()
    page.keyboard.press("Delete")
    page.get_by_role("slider", name="Pen width").fill("5")
    draw(page, STROKES[1])
    assert ink(page).sum() > 1.5 * thin
    expect_digit(page, 1)


def test_a_pen_draws_thicker_where_it_is_pressed(page):
    touch = page.context.new_cdp_session(page)
    amounts = []
    for force in (0.1, 0.9):
        for number, (x, y) in enumerate(places(page, [(0.3, 0.3), (0.5, 0.5), (0.7, 0.7)])):
            kind = "mouseMoved" if number else "mousePressed"
            pen = {"button": "left", "buttons": 1, "clickCount": 1, "pointerType": "pen", "force": force}
            touch.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **pen})
        touch.send("Input.dispatchMouseEvent", {"type": "mouseReleased", "x": x, "y": y, **pen, "buttons": 0})
        amounts.append(ink(page).sum())
        page.keyboard.press("Delete")
    assert amounts[1] > 1.5 * amounts[0]


def test_a_finger_draws_and_a_phone_takes_a_photo(visit, tmp_path):
    page = visit(PHONE, touch=True)
    finger = page.context.new_cdp_session(page)
    for number, (x, y) in enumerate(places(page, [(0.32, 0.22), (0.5, 0.22), (0.68, 0.22), (0.57, 0.5), (0.45, 0.82)])):
        kind = "touchMove" if number else "touchStart"
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect_digit(page, 7)
    assert page.evaluate("scrollY") == 0
    expect(page.locator(".camera")).to_be_visible()
    assert page.locator("#photograph").get_attribute("capture") == "environment"
    draw_seven(900, ink="navy", paper="tan").save(tmp_path / "photo.jpg")
    page.locator("#clear").click()
    page.locator("#photograph").set_input_files(tmp_path / "photo.jpg")
    expect_digit(page, 7)


def test_the_keyboard_is_enough_to_draw(page):
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowLeft")
    for _ in range(7):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(15):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect_digit(page, 1)
    expect(page.locator("#keys")).to_be_visible()


def test_several_digits_are_boxed(page):
    left = [[(0.15, 0.3), (0.15, 0.7)]]
    middle = [[(0.5, 0.3), (0.38, 0.53), (0.62, 0.53)], [(0.54, 0.42), (0.54, 0.7)]]
    right = [[(0.72, 0.3), (0.92, 0.3), (0.8, 0.7)]]
    draw(page, left + middle + right)
    expect(page.locator("#spoken")).to_have_text("3 digits: 147.")
    expect(page.locator("#numeral")).to_have_text("147")
    expect(page.locator(".box")).to_have_text(["1", "4", "7"])
    expect(page.locator("#found li")).to_have_count(3)
    box = page.locator(".box").nth(1).bounding_box()
    for x, y in places(page, middle[0] + middle[1]):
        assert box["x"] <= x <= box["x"] + box["width"]
        assert box["y"] <= y <= box["y"] + box["height"]
    page.keyboard.press("Delete")
    expect(page.locator(".box")).to_have_count(0)


def test_a_drawing_that_is_not_a_digit_has_a_reason(page):
    draw(page, LETTER)
    expect(page.locator("#sure")).to_have_text("Not a digit")
    expect(page.locator("#numeral")).to_have_text("?")
    expect(page.locator("#why")).to_have_text(
        re.compile(r"^It is not similar enough to any of the ten digits; the most similar is \d\.$")
    )
    expect(page.locator("#spoken")).to_contain_text("Not a digit")


def test_lines_of_digits_are_read_on_request(page, tmp_path):
    picture = Image.new("L", (400, 400), "white")
    for place, digit in enumerate([4, 7, 1, 2, 0, 5]):
        left, top = place % 3 * 130, place // 3 * 200  # px
        for stroke in STROKES[digit]:
            points = [(left + 130 * x, top + 200 * y) for x, y in stroke]
            ImageDraw.Draw(picture).line(points, fill="black", width=12, joint="curve")
    picture.save(tmp_path / "lines.png")
    nothing = {"digit": None, "confidence": 0.4, "probabilities": [0.1] * 10, "reason": "not a digit", "frame": None}
    page.route("**/api/predict?frame=true", lambda route: route.fulfill(json=nothing))
    page.locator("#choose").set_input_files(tmp_path / "lines.png")
    page.get_by_role("button", name="Recognize several digits").click()
    expect(page.locator("#spoken")).to_have_text("6 digits: 471, 205.")


def test_a_chosen_picture_is_shown_and_read_and_can_be_drawn_on(page, tmp_path):
    draw_seven(600, ink="white", paper="navy").save(tmp_path / "seven.jpg")
    page.locator("#choose").set_input_files(tmp_path / "seven.jpg")
    expect_digit(page, 7)
    assert (ink(page) == 255).all()  # the picture covers the sheet
    draw(page, [[(0.3, 0.45), (0.6, 0.45)]])  # a bar through the 7, in white, as on the picture
    expect(page.locator("#took")).not_to_be_empty()
    expect_digit(page, 7)


def test_a_picture_is_taken_from_the_clipboard_or_dropped(page, tmp_path):
    draw_seven(200).save(tmp_path / "seven.png")
    for way in ("paste", "drop"):
        page.evaluate(
            """([way, bytes]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], "seven.png", { type: "image/png" }));
                document.body.dispatchEvent(way === "paste"
                    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
                    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
            }""",
            [way, list((tmp_path / "seven.png").read_bytes())],
        )
        expect_digit(page, 7)
        page.keyboard.press("Delete")


def test_a_blank_picture_and_a_file_that_is_not_a_picture_have_different_messages(page, tmp_path):
    Image.new("L", (100, 100), "white").save(tmp_path / "blank.png")
    page.locator("#choose").set_input_files(tmp_path / "blank.png")
    expect(page.locator("#sure")).to_have_text("No ink")
    (tmp_path / "letter.png").write_text("Dear all")
    page.locator("#choose").set_input_files(tmp_path / "letter.png")
    expect(page.locator("#why")).to_have_text(re.compile("^This file cannot be read as a picture"))


def test_a_failed_upload_clears_the_sheet_and_undo_brings_the_drawing_back(page, tmp_path):
    draw(page, STROKES[7])
    expect_digit(page, 7)
    (tmp_path / "letter.png").write_text("Dear all")
    page.locator("#choose").set_input_files(tmp_path / "letter.png")
    expect(page.locator("#why")).to_have_text(re.compile("^This file cannot be read as a picture"))
    assert ink(page).max() == 0
    expect(page.locator("#numeral")).to_have_text("!")
    page.locator("#undo").click()
    expect_digit(page, 7)


def test_examples_are_the_first_val_image_of_each_digit_and_are_read(page, server, val):
    for digit in range(10):
        with urllib.request.urlopen(f"{server.url}examples/{digit}.png") as file:
            example = np.asarray(Image.open(file))
        first = int((val.labels == digit).nonzero()[0])
        assert (example == val.images[first, 0].numpy()).all()
        page.get_by_role("button", name=f"A {digit} from MNIST").click()
        expect_digit(page, digit)


def test_the_theme_follows_the_system_until_it_is_set_and_is_then_stored(visit):
    page = visit(scheme="dark")

    def brightness():
        return sum(page.evaluate(r"getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number)"))

    assert brightness() < 150
    page.get_by_role("button", name="Light or dark").click()
    assert brightness() > 600
    page.reload()
    assert brightness() > 600
    page.get_by_role("button", name="Light or dark").click()
    assert brightness() < 150


def test_the_language_follows_the_browser_until_it_is_set_and_is_then_stored(visit):
    page = visit(locale="zh-CN")
    assert page.evaluate("document.documentElement.lang") == "zh"
    expect(page.get_by_role("heading", level=1)).to_have_text("写一个数字")
    draw(page, STROKES[7])
    expect(page.locator("#spoken")).to_have_text(re.compile("^这是 7.置信度 "))
    page.locator("#language").click()
    expect(page.locator("#sure")).to_have_text(re.compile("confidence$"))
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Draw a digit")


def test_both_languages_have_the_same_texts_with_the_same_blanks(page):
    blanks = page.evaluate(
        """async () => {
            const { STRINGS, TEXTS_OF_OTHER_CLASSES } = await import("./strings.js");
            const blanks = (texts) => Object.entries(texts).map(([key, text]) => [key, (text.match(/{\\w+}/g) ?? []).sort()]);
            return [STRINGS, TEXTS_OF_OTHER_CLASSES].map((all) => Object.values(all).map(blanks));
        }"""
    )
    for english, chinese in blanks:
        assert english == chinese
    texts, others = (dict(english) for english, _ in blanks)
    assert others.items() <= texts.items()


def refuse(status):
    return lambda route: route.fulfill(status=status, headers={"Retry-After": "1"}, json={})


def test_a_request_to_a_busy_server_is_repeated(page):
    page.route("**/api/predict*", refuse(503), times=1)
    page.get_by_role("button", name="A 3 from MNIST").click()
    expect(page.locator("#why")).to_have_text("The server is busy; retrying …")
    expect_digit(page, 3)
    page.problems.clear()  # the browser's own word on the 503


def test_a_refused_picture_is_explained(page):
    statuses = {413: "The picture is too large", 422: "This file cannot be read", 500: "The server failed to respond"}
    for status, why in statuses.items():
        page.unroute_all()
        page.route("**/api/predict*", refuse(status))
        page.get_by_role("button", name="A 3 from MNIST").click()
        expect(page.locator("#why")).to_have_text(re.compile(f"^{why}"))
    page.problems.clear()


def test_a_correction_is_kept_by_a_server_that_collects(page, server):
    draw(page, STROKES[1])
    expect_digit(page, 1)
    page.get_by_role("button", name="It is a 7").click()
    expect(page.locator("#why")).to_have_text("Saved as a 7. Thank you.")
    expect(page.locator("#privacy")).to_contain_text("stores those that you correct")
    (picture,) = server.folder.rglob("corrections/*.png")
    assert Image.open(picture).convert("L").getextrema()[0] < 50
    assert f"{picture.name},7" in (server.folder / "corrections/labels.csv").read_text()


def test_corrections_are_not_offered_by_a_server_that_does_not_collect(page):
    page.route("**/api/model", lambda route: route.fulfill(json={**route.fetch().json(), "collect": False}))
    page.reload()
    draw(page, STROKES[1])
    expect_digit(page, 1)
    expect(page.locator("#correct")).to_be_hidden()
    expect(page.locator("#privacy")).to_contain_text("stores none")


SHAPES = {
    "circle": [arc(0.5, 0.5, 0.3, 0.3, -90, -450)],
    "cross": [[(0.2, 0.2), (0.8, 0.8)], [(0.8, 0.2), (0.2, 0.8)]],
    "stroke": [[(0.5, 0.15), (0.5, 0.85)]],
}


@pytest.fixture(scope="module")
def server_of_shapes(tmp_path_factory):
    """A service with a model of three classes, trained on pictures of them."""
    folder = tmp_path_factory.mktemp("shapes")
    for name, strokes in SHAPES.items():
        (folder / "shapes" / name).mkdir(parents=True)
        for size in range(60, 80):  # px
            picture = Image.new("L", (size, size), "white")
            for stroke in strokes:
                ImageDraw.Draw(picture).line([(size * x, size * y) for x, y in stroke], width=size // 14, joint="curve")
            picture.save(folder / f"shapes/{name}/{size}.png")
    options = ["--data", "shapes", "--model", "linear", "--batch-size", "8", "--name", "shapes", "--device", "cpu"]
    subprocess.run([sys.executable, "-m", "mnist_cli", "train", *options], cwd=folder, check=True, capture_output=True)
    server = Server(folder, "--checkpoint", "shapes", "--collect", "corrections")
    server.start()
    yield server
    server.stop()


def test_a_model_of_other_classes_answers_with_their_names_and_nothing_on_the_page_is_for_digits(
    visit, server_of_shapes
):
    page = visit(server=server_of_shapes)
    expect(page.get_by_role("heading", level=1)).to_have_text("Draw a picture")
    for name, strokes in SHAPES.items():
        draw(page, strokes)
        expect(page.locator("#spoken")).to_have_text(re.compile(rf"^{name}, with .*% confidence\.$"))
        expect(page.locator("#numeral")).to_have_text(name)
        page.get_by_role("button", name="Inside the network").click()
        expect(page.locator("#classes tbody th")).to_have_text(list(SHAPES))
        expect(page.locator("#classes .most th")).to_have_text(name)
        page.get_by_role("button", name="Inside the network").click()
        for part in ("#bars", "#examples", "#several"):
            expect(page.locator(part)).to_be_hidden()
        page.get_by_role("button", name="It is “cross”").click()
        expect(page.locator("#why")).to_have_text("Saved as “cross”. Thank you.")
        assert not re.search("digit|MNIST", page.locator("body").inner_text())
        page.keyboard.press("Delete")
        assert "digit" not in page.locator("body").inner_text()
    page.locator("#language").click()
    assert "数字" not in page.locator("body").inner_text()
    rows = (server_of_shapes.folder / "corrections/labels.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["label", *["cross"] * len(SHAPES)]
    # A worker imports torch for a checkpoint: while that takes long, on a busy machine, the page is asked to retry.
    page.problems[:] = [problem for problem in page.problems if "503" not in problem]


def test_the_page_fits_its_window_and_shows_the_result_without_scrolling(page):
    draw(page, STROKES[8])
    expect_digit(page, 8)
    for _ in ("en", "zh"):
        for width, height in (DESKTOP, TABLET, PHONE):
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate("scrollTo(0, 0)")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for part in ("#canvas", "#numeral", "#sure", "#bars"):
                expect(page.locator(part)).to_be_in_viewport(ratio=1)
        page.locator("#language").click()


def test_every_control_has_a_name_and_is_reached_with_the_tab_key(page):
    draw(page, STROKES[7])  # which enables them all
    expect_digit(page, 7)
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in tree if node["role"]["value"] in {"button", "slider", "link", "application", "image"}]
    assert len(controls) >= 18
    assert [node for node in controls if not node["name"]["value"]] == []
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        outline = page.evaluate(
            "getComputedStyle(document.activeElement.closest('label, .sheet') ?? document.activeElement).outlineStyle"
        )
        assert outline == "solid" or page.evaluate("document.activeElement === document.body")
    assert {"canvas", "undo", "clear", "thickness", "choose", "language", "theme", "documentation"} <= reached


def test_text_has_contrast_enough_to_be_read(page):
    page.emulate_media(reduced_motion="reduce")  # nothing is half faded in
    contrasts = []

    def look():
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            contrasts.extend(page.evaluate(CONTRASTS))

    look()
    draw(page, LETTER)
    expect(page.locator("#spoken")).to_contain_text("Not a digit")
    look()
    page.keyboard.press("Delete")
    draw(page, STROKES[7])
    expect_digit(page, 7)
    look()
    assert len(contrasts) > 120
    assert [contrast for contrast in contrasts if contrast[0] < 4.5] == []


# Contrast of each visible text with what lies behind it (WCAG 2.2, 1.4.3), and the text; disabled controls are exempt.
CONTRASTS = """() => {
    const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (colour) => {
        const [r, g, b] = rgba(colour).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (it) => {
        while (it && rgba(getComputedStyle(it).backgroundColor)[3] < 255) it = it.parentElement;
        return getComputedStyle(it ?? document.documentElement).backgroundColor;
    };
    const isShown = (it) => it.checkVisibility({ checkOpacity: true }) && !it.closest(":disabled, .unseen");
    return [...document.querySelectorAll("body *")]
        .filter((it) => isShown(it) && [...it.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
        .map((it) => {
            const [low, high] = [luminance(getComputedStyle(it).color), luminance(ground(it))].sort((a, b) => a - b);
            return [(high + 0.05) / (low + 0.05), it.textContent.trim()];
        });
}"""


def look_inside(page, digit=7):
    """Draw a digit and open the second view."""
    draw(page, STROKES[digit])
    expect_digit(page, digit)
    page.get_by_role("button", name="Inside the network").click()
    expect(page.locator("#layers section")).to_have_count(4)


def logit(page, digit):
    return float(page.locator("#classes tbody tr").nth(digit).locator("td").first.text_content())


def test_inside_shows_the_way_from_the_ink_to_the_probabilities_live(page):
    expect(page.locator("#inside")).to_be_hidden()
    look_inside(page)
    units = [page.locator("#layers section").nth(layer).locator(".units button") for layer in range(4)]
    assert [one.count() for one in units] == [32, 64, 144, 256]
    for canvas in ("#inside-ink", "#inside-frame", "#evidence canvas >> nth=0"):
        assert np.count_nonzero(ink(page, canvas)) > 50
    expect(page.locator("#classes .most th")).to_have_text("7")
    expect(page.locator("#evidence figcaption").first).to_have_text("Evidence for 7")
    page.keyboard.press("Delete")
    expect(page.locator("#inside-note")).to_contain_text("Draw a digit")
    draw(page, STROKES[2])
    expect(page.locator("#classes .most th")).to_have_text("2")
    page.get_by_role("button", name="Inside the network").click()
    expect(page.locator("#inside")).to_be_hidden()
    expect(page.locator("#bars")).to_be_visible()


def test_a_unit_that_is_switched_off_changes_the_logit_by_its_contribution(page):
    look_inside(page)
    before = logit(page, 7)
    units = page.locator("#layers section").nth(3).locator(".units button")
    names = units.evaluate_all("all => all.map((it) => it.ariaLabel)")
    contributions = [float(name.rpartition(" ")[2]) for name in names]
    most = int(np.argmax(contributions))
    assert contributions[most] > 0.1
    units.nth(most).click()
    expect(page.locator("#unit p")).to_have_text(
        f"Without it, the logit of 7 would be {contributions[most]:.2f} lower."
    )
    page.locator("#unit").get_by_role("button", name="Switch off").click()
    expect(units.nth(most)).to_have_accessible_name(f"Unit {most}, switched off")
    expect(page.locator("#inside-spoken")).to_have_text(re.compile(r"^Changes: 1\. 7, .*%\.$"))
    assert logit(page, 7) == pytest.approx(before - contributions[most], abs=0.011)
    expect(page.locator("#unit button")).to_be_focused()
    page.get_by_role("button", name="Switch the layer off").last.click()
    expect(page.locator("#classes .most .percent")).to_have_text(re.compile(r"^[1-4]?\d\.\d%$"))
    expect(page.locator("#classes tbody tr").nth(7).locator(".before")).to_have_text("> 99.9%")
    page.get_by_role("button", name="Undo all changes").click()
    expect(page.locator("#classes .most .percent")).to_have_text("> 99.9%")
    assert logit(page, 7) == before


def test_the_frame_is_changed_with_sliders_and_a_class_shows_its_evidence(page):
    look_inside(page)
    frame = ink(page, "#inside-frame").sum()
    page.get_by_role("slider", name="Stroke width").last.fill("1.5")
    page.get_by_role("slider", name="Noise").fill("0.3")
    expect(page.locator("#inside-spoken")).to_have_text(re.compile(r"^Changes: 2\. "))
    assert ink(page, "#inside-frame").sum() > 1.5 * frame
    page.locator("#classes").get_by_role("button", name="1", exact=True).click()
    expect(page.locator("#evidence figcaption").first).to_have_text("Evidence for 1")


def test_inside_is_used_with_the_keyboard_and_read_aloud(page):
    look_inside(page)
    first = page.locator("#layers section").first.locator(".units button")
    first.first.focus()
    page.keyboard.press("ArrowRight")
    expect(first.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(first.last).to_be_focused()
    page.keyboard.press("Enter")
    expect(first.last).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("img", name="Its weights")).to_be_visible()
    assert first.evaluate_all("all => all.filter((it) => it.tabIndex === 0).length") == 1
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in tree if node["role"]["value"] in {"button", "slider", "image", "group", "table"}]
    assert len(controls) > 450
    assert [node for node in controls if not node.get("name", {}).get("value")] == []


def test_inside_fits_every_window_in_both_languages_and_can_be_read(page):
    look_inside(page)
    page.emulate_media(reduced_motion="reduce")
    for _ in ("en", "zh"):
        for width, height in (DESKTOP, TABLET, PHONE):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#language").click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert [contrast for contrast in page.evaluate(CONTRASTS) if contrast[0] < 4.5] == []


def test_inside_has_a_column_for_each_further_model(page):
    def extended(key, value):
        def fulfill(route):
            answer = route.fetch().json()
            route.fulfill(json={**answer, key: value(answer)})

        return fulfill

    page.route("**/api/model", extended("compared", lambda answer: ["checkpoints/mine/last.pt"]))
    page.route("**/api/inspect*", extended("compared", lambda answer: [answer["probabilities"][::-1]]))
    page.reload()
    look_inside(page)
    expect(page.get_by_role("columnheader", name="checkpoints/mine/last.pt")).to_be_visible()
    expect(page.locator("#classes tbody tr").nth(2).locator("td").last).to_have_text("> 99.9%")


def test_inside_has_an_address_and_says_why_it_cannot_be_shown(page, server):
    reason = {"reason": "its weights are 8-bit integers"}
    page.route("**/api/inspect*", lambda route: route.fulfill(status=501, json=reason))
    page.goto(f"{server.url}#inside")
    page.reload()
    page.get_by_role("button", name="A 3 from MNIST").click()
    expect(page.locator("#inside-note")).to_have_text("What is inside cannot be shown: its weights are 8-bit integers")
    page.unroute_all()
    page.route("**/api/inspect*", refuse(503), times=1)
    page.get_by_role("button", name="A 4 from MNIST").click()
    expect(page.locator("#classes .most th")).to_have_text("4")
    page.problems.clear()  # the browser's own word on the refusals


def test_the_page_reports_a_stopped_server_and_reconnects(page, server):
    server.stop()
    draw(page, STROKES[7])
    expect(page.locator("#why")).to_have_text(re.compile(r"^The server does not respond\. Start it again"))
    expect(page.get_by_role("status")).to_contain_text("The server does not respond")
    server.start()
    expect_digit(page, 7)
    server.stop()
    page.get_by_role("button", name="A 3 from MNIST").click()
    expect(page.locator("#why")).to_have_text(re.compile(r"^The server does not respond\. Start it again"))
    server.start()
    expect_digit(page, 7)  # which is still on the sheet
    page.problems.clear()  # the browser's own word on each request that failed
