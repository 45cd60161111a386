import csv
import shutil
from html.parser import HTMLParser

import pytest
from test_metrics import made

from mnist_cli.evaluation import metrics
from mnist_cli.evaluation.metrics import ModelEvaluation
from mnist_cli.models import checkpoints
from mnist_cli.reporting import html_report

PICTURES = ["classes.png", "confusion.png", "coverage.png", "gallery.png", "reliability.png"]


class References(HTMLParser):
    """Collects what a page would load, and its text."""

    def __init__(self):
        super().__init__()
        self.loaded, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        self.loaded += [value for name, value in attributes if name in {"src", "href", "xlink:href"}]
        assert tag not in {"script", "link", "iframe"}

    def handle_data(self, text):
        self.text += text


def parsed(path):
    parser = References()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


@pytest.fixture(scope="module")
def predictions(trained, val):
    return metrics.predict(checkpoints.load(trained).model, *val.arrays())


def test_the_page_is_self_contained(tmp_path, predictions, val):
    path = html_report.write(tmp_path, [ModelEvaluation("a.pt", predictions)], val.images.numpy())
    assert path == tmp_path / "report.html"
    found = parsed(path)
    assert all(reference.startswith(("data:image/png;base64,", "#")) for reference in found.loaded)
    assert "a.pt on 10,000 val images" in found.text
    assert f"{predictions.evaluation.errors:,} of 10,000 images" in found.text


def test_the_figures_and_every_prediction_are_beside_the_page(tmp_path, predictions, val):
    html_report.write(tmp_path, [ModelEvaluation("a.pt", predictions)], val.images.numpy())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*PICTURES, "predictions.csv", "report.html"])
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10_000
    assert [int(row["label"]) for row in rows[:100]] == val.labels[:100].tolist()
    wrong = sum(row["label"] != row["digit"] for row in rows)
    assert wrong == predictions.evaluation.errors
    assert sum(float(rows[7][f"p{digit}"]) for digit in range(10)) == pytest.approx(1, abs=1e-5)


def test_several_models_are_compared_in_a_table(tmp_path, predictions, val):
    found = parsed(
        html_report.write(
            tmp_path, [ModelEvaluation("a.pt", predictions), ModelEvaluation("b.pt", predictions)], val.images.numpy()
        )
    )
    assert "Comparison" in found.text
    assert sorted(path.name for path in (tmp_path / "model-2").iterdir()) == sorted([*PICTURES, "predictions.csv"])


def test_a_name_cannot_put_anything_into_the_page(tmp_path, predictions, val):
    found = parsed(
        html_report.write(tmp_path, [ModelEvaluation("<script>alert(1)</script>.pt", predictions)], val.images.numpy())
    )
    assert "<script>alert(1)</script>.pt" in found.text


def test_the_summary_names_the_most_common_errors():
    verdict = html_report.describe(made([4, 4, 4, 7, 7, 1], [9, 9, 4, 1, 7, 1], [0.95, 0.8, 0.7, 0.6, 0.5, 0.99]))
    assert "misclassifies 3 of 6 images" in verdict
    assert "4 as 9 (2 times), 7 as 1 (once)" in verdict
    assert "Of the errors, 1 have a confidence above 90 %" in verdict
    assert html_report.describe(made([1], [1])) == "Nowhere: all 1 images were classified correctly."


@pytest.fixture(scope="module")
def compared(tmp_path_factory, predictions, val):
    long = "checkpoints/mlp-20260102-030405-with-a-long-name-of-its-own/last.pt"
    corrupted = {"brightness": 0.1, "motion_blur": 0.2}
    measured = [
        ModelEvaluation(name, predictions, corrupted) for name in (long, "checkpoints/first/best.pt", "pretrained")
    ]
    return html_report.write(tmp_path_factory.mktemp("compared"), measured, val.images.numpy())


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_the_comparison_fits_its_window(compared, width):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no chromium to look at the page with")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(compared.as_uri())
        too_wide = page.evaluate(
            "[document.documentElement, ...document.querySelectorAll('h1, h2, table, .scroll')]"
            ".filter(it => it.scrollWidth > it.clientWidth + 1 || it.getBoundingClientRect().right > innerWidth)"
            ".map(it => it.outerHTML.slice(0, 80))"
        )
        browser.close()
    assert too_wide == []
