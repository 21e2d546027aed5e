"""The page of clusters: the right faces, nothing that runs or loads, and no picture that must not be shown."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.clip import Corpus
from pipeline.identities import ClusterConfig, find_clusters, read_tracks
from pipeline.pages.cluster_sheet import MOST_CLUSTERS, draw_sheet
from pipeline.store import FeatureStore
from tests.identity_stores import RECIPE, make_identities
from tests.html_pages import Page, assert_inert, brightness, open_browser, parse

CAST = [["ann", "bob"]] * 7
HOSTILE = "</p><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still: red where the first track is, green where the second one is."""
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:, :55, 0] = 255
    picture[:, 55:, 1] = 255
    path = tmp_path_factory.mktemp("media") / "halves.png"
    Image.fromarray(picture).save(path)
    return path


def sheet(path: Path, *, thumbnails: bool = False, least_tracks: int = 2) -> Page:
    store = FeatureStore(path)
    tracks = read_tracks(store)
    clusters = find_clusters(tracks, store.column("speaker").tolist(), ClusterConfig(least_tracks=least_tracks))
    page = path.with_suffix(".html")
    page.write_text(draw_sheet(store, tracks, clusters, thumbnails=thumbnails), encoding="utf-8")
    return parse(page)


def colours(page: Page) -> list[list[int]]:
    found = []
    for image in page.all("img"):
        picture = Image.open(io.BytesIO(base64.b64decode((image["src"] or "").partition(",")[2])))
        found.append([round(value / 255) for value in picture.getpixel((56, 56))])
    return found


def test_a_cluster_shows_faces_of_its_tracks(tmp_path: Path, halves: Path) -> None:
    page = sheet(make_identities(tmp_path / "s.h5", CAST, speakers=["Ann"] * 4, source=halves))
    assert_inert(page)
    assert colours(page) == [[1, 0, 0]] * 6 + [[0, 1, 0]] * 6, "four typical faces and two unusual ones of each"
    assert "7 tracks in 7 clips" in page.words and page.words.count("unusual") == 4
    assert "Perhaps Ann, who speaks in 57 % of these clips" in page.words
    assert len({image["alt"] for image in page.all("img")[:6]}) == 6, "of different clips"


def test_pictures_of_a_restricted_corpus_are_shown_only_when_asked(tmp_path: Path, halves: Path) -> None:
    path = make_identities(tmp_path / "s.h5", CAST, source=halves, corpus=Corpus("secret", redistribute="no"))
    page = sheet(path)
    assert not page.all("img") and "terms of secret do not allow passing on pictures" in page.words
    assert "Cluster 1" in page.words
    page = sheet(path, thumbnails=True)
    assert len(page.all("img")) == 12 and "keep this page to yourself" in page.words


def test_faces_that_were_made_anew_since_are_not_shown(tmp_path: Path, halves: Path) -> None:
    recipe = {**RECIPE, "upstream": {"faces": "other faces"}}
    page = sheet(make_identities(tmp_path / "s.h5", CAST, source=halves, recipe=recipe))
    assert not page.all("img") and "no longer holds the face boxes" in page.words


def test_media_that_are_gone_are_counted(tmp_path: Path) -> None:
    page = sheet(make_identities(tmp_path / "s.h5", CAST, source=tmp_path / "gone.mp4"))
    assert "12 pictures are missing: its file is no longer there" in page.words and not page.all("img")


def test_random_weights_are_said_to_mean_nothing(tmp_path: Path) -> None:
    recipe = {**RECIPE, "weights": [{"network": "n", "source": "random"}]}
    assert "random weights" in sheet(make_identities(tmp_path / "s.h5", CAST, recipe=recipe)).words
    assert "random weights" not in sheet(make_identities(tmp_path / "t.h5", CAST)).words


def test_a_store_without_clusters_has_a_page_too(tmp_path: Path) -> None:
    assert "No two tracks are alike enough" in sheet(make_identities(tmp_path / "s.h5", [["ann"], [], ["bob"]])).words


def test_only_the_largest_clusters_are_shown(tmp_path: Path) -> None:
    crowd = [[f"person {number}"] for number in range(MOST_CLUSTERS + 5)]
    page = sheet(make_identities(tmp_path / "s.h5", crowd), least_tracks=1)
    assert len(page.all("article")) == MOST_CLUSTERS and "And 5 smaller clusters" in page.words


def test_hostile_names_stay_text(tmp_path: Path, halves: Path) -> None:
    corpus = Corpus(HOSTILE, licence=HOSTILE, citation=HOSTILE, redistribute="yes")
    page = sheet(make_identities(tmp_path / "s.h5", CAST, speakers=[HOSTILE] * 7, source=halves, corpus=corpus))
    assert_inert(page)
    assert page.words.count("<script>alert(1)</script>") >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_narrow_and_wide_and_loads_nothing(tmp_path: Path, halves: Path, scheme: str) -> None:
    path = make_identities(tmp_path / "s.h5", CAST, speakers=[HOSTILE] * 7, source=halves,
                           corpus=Corpus(HOSTILE, redistribute="yes"))
    sheet(path)
    with open_browser() as browser:
        for width in (360, 1200):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page, wrong = context.new_page(), list[str]()
            page.on("console", lambda message: wrong.append(message.text))
            page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
            page.on("request", lambda request: wrong.append(request.url)
                    if not request.url.startswith(("file:", "data:")) else None)
            page.goto(path.with_suffix(".html").as_uri())
            overflow, background, ink, broken = page.evaluate("""() => [
                document.documentElement.scrollWidth - innerWidth,
                getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
                [...document.images].filter(image => !image.naturalWidth).length]""")
            context.close()
            assert not wrong and overflow <= 0 and broken == 0
            assert (brightness(ink) < brightness(background)) == (scheme == "light")


def test_each_cluster_stands_between_marks_so_that_it_can_be_taken_out(tmp_path: Path, halves: Path) -> None:
    path = make_identities(tmp_path / "s.h5", CAST, source=halves)
    sheet(path)
    text = path.with_suffix(".html").read_text(encoding="utf-8")
    blocks = re.findall("<!-- cluster ([0-9]+) -->(.*?)<!-- /cluster ([0-9]+) -->", text, flags=re.DOTALL)
    assert [(first, last) for first, _, last in blocks] == [("0", "0"), ("1", "1")]
    assert all(block.count("<article") == block.count("</article>") == 1 for _, block, _ in blocks)
