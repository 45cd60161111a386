"""Take the screenshots of the page of `mnist serve`: page-light.png in English, page-dark.png in Chinese, page-inside.png.

    python docs/screenshots.py

It needs Chromium, Playwright, which drives it, and the fonts Inter and Noto Sans CJK.
"""

import io
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

FOLDER = Path(__file__).parent
SIZE = {"width": 1240, "height": 888}  # px of the window
INSIDE_HEIGHT = 1_350  # px of the window in the view Inside, which is longer
SCALE = 1.5  # px of the picture for each
COLOURS = 256  # of the palette, which makes the file smaller
ONE = [[(0.354, 0.35), (0.52, 0.205), (0.5, 0.82)]]  # a 1 that looks like a 7; fractions of the drawing area


def arc(x: float, y: float, across: float, down: float, start: float, end: float) -> list[tuple[float, float]]:
    """Return points of a part of an ellipse, angles in degrees clockwise from the right."""
    angles = (math.radians(start + (end - start) * step / 20) for step in range(21))
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]


NUMBER = [
    [*arc(0.16, 0.42, 0.09, 0.11, -170, 30), (0.09, 0.7), (0.27, 0.7)],
    [(0.54, 0.31), (0.43, 0.48), *arc(0.48, 0.61, 0.085, 0.11, -180, -540)],
    [(0.76, 0.32), (0.68, 0.56), (0.91, 0.56)],
    [(0.85, 0.42), (0.84, 0.74)],
]


def main() -> None:
    """Start the service and take the pictures."""
    command = [sys.executable, "-m", "mnist_cli", "serve", "--checkpoint", "pretrained", "--port", "0"]
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert service.stderr
        url = next(line.split()[2] for line in service.stderr if line.startswith("Draw on "))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            take(browser, url, "page-light.png", "en-US", "light", ONE, digits="1")
            take(browser, url, "page-dark.png", "zh-CN", "dark", NUMBER, digits="264")
            take(browser, url + "#inside", "page-inside.png", "en-US", "light", ONE, digits="1")
            browser.close()
    finally:
        service.terminate()
        service.wait()


def take(browser: Any, url: str, name: str, locale: str, scheme: str, strokes: Any, digits: str) -> None:
    """Draw `strokes` on the page, wait until it shows `digits`, and save a picture of it."""
    options = {"viewport": SIZE, "device_scale_factor": SCALE, "locale": locale, "color_scheme": scheme}
    page = browser.new_page(**options)
    page.goto(url)
    for stroke in strokes:
        draw(page, stroke)
    expect(page.locator("#numeral")).to_have_text(digits, timeout=20_000)
    if url.endswith("#inside"):
        page.set_viewport_size({"width": SIZE["width"], "height": INSIDE_HEIGHT})
        page.locator("#layers section").first.locator(".units button").nth(4).click()
        expect(page.locator("#unit")).to_be_visible()
        page.evaluate("scrollTo(0, 0)")
    page.mouse.move(SIZE["width"] - 1, SIZE["height"] - 1)  # away from the buttons
    page.wait_for_timeout(1_000)  # ms, until nothing moves
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(COLOURS).save(FOLDER / name, optimize=True)


def draw(page: Page, stroke: list[tuple[float, float]]) -> None:
    """Draw one stroke."""
    box = page.locator("#canvas").bounding_box()
    assert box
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up()


if __name__ == "__main__":
    main()
