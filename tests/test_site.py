"""The documentation site is built without a warning, names all there is, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import plugins
from pipeline.cli import commands
from tests.html_pages import brightness, open_browser

pytest.importorskip("sphinx")
ROOT = Path(__file__).resolve().parents[1]
PAGES = "index", "own_data", "reference/extractors", "reference/commands"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once, as the guide to contributing says, behind a proxy that does not exist."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", "docs", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **nowhere}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def words(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_every_guide_and_every_name_is_on_it(site: Path) -> None:
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} == {page.stem for page in site.glob("*.html")} - {
        "genindex", "py-modindex", "search"}
    for kind in ("dataset", "extractor", "model"):
        sections = re.findall(r"<h2>([^<]+)<", (site / f"reference/{kind}s.html").read_text(encoding="utf-8"))
        assert tuple(sections) == plugins.names(kind)       # type: ignore[arg-type]
    shown = words(site / "reference/commands.html")
    assert all(f"python -m pipeline {name} " in shown for name in commands.commands)
    assert "python -m pipeline train --features cache/meld.h5" in shown, "options keep their two dashes"


def test_guides_that_name_each_other_are_linked(site: Path) -> None:
    assert re.search(r'href="what_scores_mean\.html"><span class="doc">docs/what_scores_mean\.md',
                     (site / "own_data.html").read_text(encoding="utf-8"))


def test_no_page_names_anything_to_load_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"(?:https?:)?//|<link[^>]+href=\"(?:https?:)?//",
                              page.read_text(encoding="utf-8")), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_pages_open_with_the_network_blocked_in_light_and_dark(site: Path) -> None:
    seen = {}
    with open_browser() as browser:
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme, offline=True)
            page, asked, trouble = context.new_page(), [], []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: trouble.append(message.text))
            page.on("pageerror", lambda error: trouble.append(str(error)))
            for name in PAGES:
                page.goto((site / f"{name}.html").as_uri())
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            seen[scheme] = brightness(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert trouble == [] and all(url.startswith(("file:", "data:")) for url in asked)
            context.close()
    assert seen["light"] > 200 and seen["dark"] < 60
