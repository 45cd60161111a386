import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material", reason="the generator of the site is not installed")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LANGUAGES = {"": "en", ".zh": "zh"}


def build(project, site):
    """Build the site as `make site` does."""
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_every_page_is_in_the_site_and_can_be_searched(site, suffix):
    found = {entry["location"] for entry in json.loads((site / "search" / "search_index.json").read_text())["docs"]}
    for path in ROOT.glob("docs/*.md"):
        if path.name.endswith(f"{suffix}.md"):
            assert f"{path.stem}/" in found
    assert {"", "index.zh/", "contributing/", "security/", "changelog/"} <= found


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_a_page_names_its_language(site, suffix):
    text = (site / f"lessons{suffix}" / "index.html").read_text(encoding="utf-8")
    assert f'<html lang="{LANGUAGES[suffix]}"' in text


def test_links_between_the_texts_of_the_repository_lead_to_pages(site):
    first, robustness = ((site / page).read_text(encoding="utf-8") for page in ("index.html", "robustness/index.html"))
    assert 'href="model-card/"' in first
    assert 'src="page-light.png"' in first
    assert 'href="NOTICE"' in first
    assert 'href="../security/"' in robustness


def test_nothing_is_loaded_from_another_host(site):
    reports = {site / path.name for path in ROOT.glob("docs/*.html")}  # each has everything in it
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\bsrc="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]*\brel="(?:stylesheet|preconnect|icon)"[^>]*>', text)
        assert loaded or page in reports
        assert not [some for some in loaded if "//" in some], page


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path):
    for name in ("docs", "mnist_cli/bundled", "mnist_cli/training"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.xz", "*.onnx", "*.pt"))
    for path in (*ROOT.glob("*.md"), ROOT / "LICENSE", ROOT / "mkdocs.yml"):
        shutil.copy(path, tmp_path)
    (tmp_path / "docs" / "python.md").write_text("# Python\n\n[nowhere](nowhere.md)\n", encoding="utf-8")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert "'nowhere.md'" in done.stderr
