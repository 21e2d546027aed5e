"""Pages as readers get them: parsed into words and elements, and opened in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHROMIUM = Path("/usr/bin/chromium")
VOID = {"meta", "link", "img", "br"}


@dataclass
class Page(HTMLParser):
    """What stands in a page: elements, text and whether every element is closed."""

    text: str = ""
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text)


def parse(path: Path) -> Page:
    """Read a page whose elements must all be closed."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    return page


def assert_inert(page: Page) -> None:
    """No scripts, no handlers, no address but data: and anchors that a reader may follow."""
    used = {tag for tag, _ in page.elements}
    assert not {"script", "iframe", "object", "embed", "form", "base", "foreignobject"} & used
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:")) or (tag == "a" and address.startswith("https://"))


@contextmanager
def open_browser() -> Iterator[Any]:
    """Headless Chromium; the test is skipped where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


def visit(browser: Any, page_file: Path, *, width: int, scheme: str) -> Mapping[str, Any]:
    """Open a page and see what it does."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, console, requests, dialogs = context.new_page(), [], [], []
    page.on("console", lambda message: console.append(message.text))
    page.on("pageerror", lambda error: console.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(page_file.as_uri())
    seen = page.evaluate("""() => ({
        overflow: document.documentElement.scrollWidth - innerWidth,
        background: getComputedStyle(document.body).backgroundColor,
        ink: getComputedStyle(document.querySelector('svg text')).fill,
        broken: [...document.images].filter(image => !image.naturalWidth).length})""")
    context.close()
    return {**seen, "console": console, "dialogs": dialogs,
            "requests": [url for url in requests if not url.startswith(("file:", "data:"))]}


def brightness(colour: str) -> float:
    """Mean of red, green and blue, 0 to 255, of a computed colour."""
    return float(np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]]))
