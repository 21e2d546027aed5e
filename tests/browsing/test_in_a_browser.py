"""The store browser in a real one: opened, filtered, clicked, dark, narrow, attacked; its console stays quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browsing.stores import make_evil, make_store, serving
from tests.html_pages import brightness, open_browser
from tests.makers import make_video


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("browser")
    with serving(make_store(folder / "s.h5", source=make_video(folder / "face.mp4", seconds=0.5))) as server:
        yield server.address


@contextmanager
def reading(browser: Any, address: str, *, width: int = 1200, scheme: str = "light") -> Iterator[Any]:
    """A browser's page; afterwards nothing was complained of, asked of elsewhere or popped up."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda response: wrong.append(f"{response.status} {response.url}")
            if response.status >= 400 else None)
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: wrong.append(request.url)
            if not request.url.startswith((address, "data:")) else None)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


def follow(page: Any, selector: str) -> None:
    """Click on what leads to another page, and wait for that."""
    with page.expect_navigation():
        page.locator(selector).first.click()


def ids(page: Any) -> list[str]:
    return [str(text) for text in page.locator("td.clip a").all_inner_texts()]


def fits(page: Any) -> bool:
    """Nothing is wider than the screen, and every picture came."""
    page.wait_for_load_state("networkidle")
    found: list[int] = page.evaluate("""() => [document.documentElement.scrollWidth - innerWidth,
        [...document.images].filter(image => image.complete && !image.naturalWidth).length]""")
    return found[0] <= 0 and found[1] == 0


def test_clips_are_filtered_and_opened(browser: Any, address: str) -> None:
    with reading(browser, address) as page:
        page.goto(address)
        follow(page, "text=Clips")
        assert len(ids(page)) == 12
        page.select_option("select[name=split]", "dev")
        page.select_option("select[name='label.emotion']", "2")
        follow(page, "button")
        assert ids(page) == ["dev/c8"]
        page.fill("input[name=words]", "no such words")
        with page.expect_navigation():
            page.press("input[name=words]", "Enter")
        assert "No clip is like that" in page.inner_text("main")
        follow(page, "text=all clips")
        page.fill("input[name=where]", "arousal < 0.12 and turn > 0")
        follow(page, "button")
        assert ids(page) == ["train/c1", "train/c2"]
        follow(page, "text=train/c2")
        assert page.inner_text("h1") == "train/c2" and fits(page)
        follow(page, "text=next clip")
        assert page.inner_text("h1") == "train/c3"
        follow(page, "text=by text_bert")
        assert page.locator("text=By the angle").count() == 1 and fits(page)


def test_pictures_of_a_clip_are_drawn(browser: Any, address: str) -> None:
    with reading(browser, address) as page:
        page.goto(f"{address}clip?id=train%2Fc4")
        assert fits(page)
        strip = page.locator("img.strip")
        strip.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('img.strip').naturalWidth > 0")
        drawn = page.locator("svg.picture image").first
        assert drawn.bounding_box()["width"] > 500 and drawn.bounding_box()["height"] == 160


def test_the_map_is_coloured_pointed_at_and_clicked(browser: Any, address: str) -> None:
    with reading(browser, address) as page:
        page.goto(address + "map")
        page.select_option("select[name=feature]", "text_bert")
        page.select_option("select[name=colour]", "speaker")
        follow(page, "button")
        points = page.locator("svg.map circle")
        assert points.count() == 12
        fills = page.evaluate("[...new Set([...document.querySelectorAll('svg.map circle')]"
                              ".map(point => getComputedStyle(point).fill))]")
        assert len(fills) == 3
        title = points.nth(5).locator("title").text_content()
        with page.expect_navigation():
            points.nth(5).click()
        assert page.inner_text("h1") == title.splitlines()[0]
        page.goto(f"{address}map?feature=text_bert&colour=speaker")
        follow(page, ".legend >> text=speaker1")
        assert page.locator("svg.map circle").count() == 4
        follow(page, "text=These clips as a table")
        assert len(ids(page)) == 4


@pytest.mark.parametrize("width", [1200, 390, 320])
def test_pages_fit_the_screen(browser: Any, address: str, width: int) -> None:
    with reading(browser, address, width=width) as page:
        for path in ("", "clips", "clip?id=train%2Fc4&near=text_bert", "map?feature=text_bert", "failures"):
            page.goto(address + path)
            assert fits(page), path


def test_dark_readers_get_dark_pages(browser: Any, address: str) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        with reading(browser, address, scheme=scheme) as page:
            for path in ("", "clips", "map?feature=text_bert", "clip?id=train%2Fc4"):
                page.goto(address + path)
                colours = page.evaluate("[getComputedStyle(document.body).backgroundColor,"
                                        " getComputedStyle(document.body).color]")
                seen[scheme, path] = list(map(brightness, colours))
    for (scheme, _), (ground, ink) in seen.items():
        assert (ground > 200 and ink < 128) if scheme == "light" else (ground < 60 and ink > 128)


def test_hostile_text_does_nothing(browser: Any, tmp_path: Path) -> None:
    store = make_evil(tmp_path / "s.h5", make_video(tmp_path / "face.mp4", seconds=0.5))
    with serving(store) as server, reading(browser, server.address, width=390) as page:
        for path in ("", "clips", "map?colour=speaker", "failures"):
            page.goto(server.address + path)
            assert fits(page), path
        page.goto(server.address + "clips")
        follow(page, "tr:nth-child(3) td.clip a")
        assert "alert(1)" in page.inner_text("h1") and fits(page)
        follow(page, "#near a[href*=near]")
        assert fits(page)


def test_text_that_turns_the_direction_of_writing_turns_no_other(browser: Any, tmp_path: Path) -> None:
    with serving(make_evil(tmp_path / "s.h5")) as server, reading(browser, server.address) as page:
        page.goto(server.address)
        # Left edges of the letters of our own words after a hostile one: from left to right, as they were written.
        edges = page.evaluate("""() => {
            const words = document.createTreeWalker(document.querySelector('footer'), NodeFilter.SHOW_TEXT);
            let last = null;
            while (words.nextNode()) if (words.currentNode.data.includes('This page')) last = words.currentNode;
            const start = last.data.indexOf('This page');
            return [0, 1, 2, 3].map(place => {
                const range = document.createRange();
                range.setStart(last, start + place);
                range.setEnd(last, start + place + 1);
                return range.getBoundingClientRect().left;
            });
        }""")
        assert edges == sorted(edges)
