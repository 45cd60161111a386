"""Hooks of mkdocs: the texts in the root of the repository are pages of the site, too.

README is the first page, so the site needs no other introduction, and every link has the same target as on a code host.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "README.zh.md": "index.zh.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "LICENSE",
    "mnist_cli/bundled/NOTICE": "NOTICE",
    "mnist_cli/training/backpropagation.py": "backpropagation.py",
}
PUNCTUATION = r"\u3000-\u303f\uff00-\uffef"
CHINESE = rf"[{PUNCTUATION}\u4e00-\u9fff]"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of PAGES to those of docs."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite each link to its target in the site, and join the lines of Chinese sentences without a space."""
    markdown = re.sub(rf"(?<={CHINESE})\n(?={CHINESE}|(?<=[{PUNCTUATION}]\n)\w)", "", markdown)
    return re.sub(r"(?<=\]\()(?:\.\./|docs/)?([^)#]+)", lambda link: PAGES.get(link[1], link[1]), markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Set the language of a Chinese page, by which browsers choose fonts and offer a translation."""
    return output.replace('<html lang="en"', '<html lang="zh"', 1) if page.file.src_uri.endswith(".zh.md") else output
