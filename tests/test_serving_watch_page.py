"""The page of `mnist train --watch` in a real browser, with a real training underneath."""

import os
import re
import subprocess
import sys

import pytest
from test_serving_page import CHROMIUM, DESKTOP, OPTIONS, PHONE, expect, sync_api

from mnist_cli.models import checkpoints

pytestmark = pytest.mark.browser

WAIT = 60_000  # ms, for a machine that is busy with other tests


class Training:
    """`mnist train --watch` in a process of its own, of a run that does not end by itself."""

    def __init__(self, folder, data_dir):
        options = ["--model", "linear", "--train-size", "2000", "--epochs", "100000", "--name", "one"]
        command = [sys.executable, "-m", "mnist_cli", "train", "--watch", *options]
        environment = {**os.environ, "MNIST_DATA_DIR": str(data_dir)}
        pipe = subprocess.PIPE
        self.folder = folder
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)
        self.url = next(line.split()[-1] for line in self.process.stderr if line.startswith("Watch it on "))


@pytest.fixture
def training(tmp_path, data_dir):
    training = Training(tmp_path, data_dir)
    yield training
    training.process.kill()
    training.process.communicate()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visit(training, browser):
    """Open the page; an error in its console, or a request to another server, fails the test at its end."""
    expect.set_options(timeout=WAIT)
    problems, contexts = [], []

    def visit(size=DESKTOP, locale="en-US", scheme="light"):
        viewport = {"width": size[0], "height": size[1]}
        contexts.append(browser.new_context(viewport=viewport, locale=locale, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT)
        page.on("console", lambda message: message.type in {"error", "warning"} and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda one: one.url.startswith(training.url) or problems.append(one.url))
        page.goto(training.url)
        expect(page.locator("#state")).to_have_text("Training" if locale == "en-US" else "正在训练")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


def points(page, chart="loss"):
    return len((page.locator(f"#{chart} polyline").first.get_attribute("points") or "").split())


def finished_steps(page):
    return int(re.search(r"step ([\d,]+) of", page.locator("#progress").inner_text())[1].replace(",", ""))


def wait_until(page, condition):
    for _ in range(WAIT // 100):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not become true in time")


def test_a_training_is_watched_paused_stepped_steered_and_stopped(visit, training):
    page = visit()
    wait_until(page, lambda: points(page) >= 1)
    before = finished_steps(page)
    wait_until(page, lambda: finished_steps(page) > before)

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("Paused")
    expect(page.locator("#spoken")).to_contain_text("Paused after step")
    page.wait_for_timeout(500)
    here = finished_steps(page)
    page.wait_for_timeout(500)
    assert finished_steps(page) == here
    page.get_by_role("button", name="One step").click()
    wait_until(page, lambda: finished_steps(page) == here + 1)
    expect(page.locator("#state")).to_have_text("Paused")

    slider = page.get_by_role("slider", name="Learning rate")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")  # a factor of 10 ** -0.2
    expect(page.locator("#rate-value")).to_have_text(re.compile(r"schedule . 0\.631"))
    config = training.folder / "runs/one/config.toml"
    wait_until(page, lambda: f'rate_changes = "{here + 1}:0.631"' in config.read_text())

    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#state")).to_have_text("Training")
    wait_until(page, lambda: finished_steps(page) > here + 1)
    page.get_by_role("button", name="Stop and save").click()
    expect(page.locator("#state")).to_have_text("Stopped and saved")
    assert training.process.wait(60) == 130
    assert "Resume with:" in training.process.stderr.read()
    checkpoint = checkpoints.load(training.folder / "checkpoints/one/last.pt")
    assert checkpoint.config.rate_changes == f"{here + 1}:0.631"


def test_a_page_that_is_opened_again_shows_all_since_the_beginning(visit):
    page = visit()
    wait_until(page, lambda: page.locator("#accuracy circle").count() >= 2)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("Paused")
    page.wait_for_timeout(500)
    seen = finished_steps(page), page.locator("#accuracy circle").count()
    page.reload()
    expect(page.locator("#state")).to_have_text("Paused")
    wait_until(page, lambda: (finished_steps(page), page.locator("#accuracy circle").count()) == seen)


def test_a_drawn_digit_is_read_again_and_the_inside_is_shown(visit):
    page = visit()
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    corners = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in [(0.3, 0.2), (0.7, 0.2), (0.45, 0.8)]
    ]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=5)
    page.mouse.up()
    expect(page.locator("#reading")).to_have_text(re.compile(r"^It reads \d, with "))
    wait_until(page, lambda: len(page.locator("#readings").inner_text().split(": ")[1].split()) >= 3)
    expect(page.locator("#hardest li")).to_have_count(10)
    counts = [int(text) for text in page.locator("#confusion td").all_inner_texts() if text]
    assert sum(counts) == 1_000
    drawn = "it => [...it.getContext('2d').getImageData(0, 0, it.width, it.height).data].some(Boolean)"
    assert page.locator("#weights").evaluate(drawn)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#reading")).to_have_text("Draw, and see what the network makes of it.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_in_chinese(visit, scheme):
    page = visit(PHONE, "zh-CN", scheme)
    expect(page.get_by_role("heading", level=1)).to_have_text("训练直播")
    expect(page.locator("#hardest li")).to_have_count(10)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    unnamed = "[...document.querySelectorAll('button, input, svg[role], canvas[role]')].filter(it => !it.ariaLabel && !it.textContent.trim() && !it.labels?.length).map(it => it.id)"
    assert page.evaluate(unnamed) == []


def test_both_languages_have_the_same_texts_with_the_same_blanks(visit):
    page = visit()
    differing = page.evaluate(
        """async () => {
            const { STRINGS } = await import("./strings.js");
            const blanks = (text) => String(text?.match(/\\{\\w+\\}/g)?.sort());
            return Object.keys({ ...STRINGS.en, ...STRINGS.zh }).filter((key) => blanks(STRINGS.en[key]) !== blanks(STRINGS.zh[key]));
        }"""
    )
    assert differing == []
