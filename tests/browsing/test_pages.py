"""The browser's pages as readers get them: parsed, filtered, followed, attacked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from pipeline.browsing import pages as pages_module
from pipeline.browsing.pages import Pages, address
from pipeline.clip import Clip, Corpus
from pipeline.errors import StoreError
from pipeline.storage.packing import Cell, Failure, FeatureData, write_store
from tests.browsing.stores import EVIL, FormPage, make_evil, make_store, read, shown
from tests.makers import make_video

OWN_ADDRESS = r"\./|#|data:,$|(clips?|map|failures|faces\.svg|rows\.png|page\.css|browse\.css)([?#]|$)"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "face.mp4", seconds=0.5)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Pages:
    return Pages(make_store(tmp_path_factory.mktemp("pages") / "made-up.h5", source=video))


def links(page: FormPage, start: str) -> list[dict[str, str]]:
    """Fields of all links of a page that begin so."""
    return [dict(parse_qsl(urlsplit(str(part["href"])).query)) for part in page.all("a")
            if str(part["href"]).startswith(start)]


def rows_of(page: FormPage) -> list[str]:
    return [fields["id"] for fields in links(page, "clip?")]


def test_the_overview_has_counts_coverage_labels_failures_and_recipes(pages: Pages) -> None:
    page = shown(pages, "")
    for words in ("12 clips · train 6 · dev 3 · test 3", "audio_logmel", "half the file is gone",
                  "All 2 failures with clip and message", "face_identity tells who people are", "Doe (2024).",
                  "Made by the extractor audio_logmel", "mean 0.275", "frames; 12 unlabelled", "clips; 2 unlabelled",
                  "made-up: CC BY 4.0"):
        assert words in page.words, words
    assert {"status": "failed", "of": "faces"} in links(page, "clips?")
    assert {"label.emotion": "2"} in links(page, "clips?") and {"split": "dev"} in links(page, "clips?")
    sections = [part["id"] for part in page.all("section")]
    assert sections == ["features", "coverage", "labels", "failures", "recipes", "corpus"]


def test_every_link_of_every_page_leads_somewhere(pages: Pages) -> None:
    waiting, seen = ["./"], set[str]()
    while waiting:
        link = waiting.pop()
        if link in seen:
            continue
        seen.add(link)
        parts = urlsplit(link)
        answer = pages.answer(parts.path.removeprefix("./"), dict(parse_qsl(parts.query)))
        assert answer.status == 200, link
        if answer.kind.startswith("text/html"):
            page = read(answer.body)
            found = [part.get("href") or part.get("src") for tag in ("a", "img", "image", "link")
                     for part in page.all(tag)]
            waiting += [str(to).partition("#")[0] for to in found if to and not to.startswith(("#", "data:"))]
    assert {"clips", "map", "failures", "page.css", "browse.css"} <= seen and len(seen) > 80


def test_the_table_shows_all_that_is_known_of_each_clip(pages: Pages) -> None:
    page = shown(pages, "clips")
    assert rows_of(page) == [clip.clip_id for clip in pages._opened.clips]
    assert re.search(r"train/c1 train speaker1 d0\W+1 glad 0.05 yes 33 % Well, yes. 1 0.55 20 50 1 empty 4 missing 5 3",
                     page.words), page.words
    assert "1–12 of 12 clips" in page.words and "failed" in page.words


def test_filters_stay_in_the_form_and_in_the_links(pages: Pages) -> None:
    page = shown(pages, "clips", **{"split": "train", "label.emotion": "1", "words": "yes", "order": "id"})
    assert rows_of(page) == ["train/c1"]
    chosen = [part["value"] for part in page.all("option") if "selected" in part]
    assert chosen == ["train", "", "1", "", "", "id"]
    assert {part["name"]: part.get("value") for part in page.all("input")} == {"words": "yes", "where": ""}
    assert links(page, "map?") == [{"split": "train", "label.emotion": "1", "words": "yes"}]


def test_a_long_table_is_turned(tmp_path: Path) -> None:
    clips = [Clip(f"all/{number:03}", speaker="ann") for number in range(120)]
    pages = Pages(write_store(tmp_path / "s.h5", corpus=Corpus("c"), clips=clips, features={}))
    first, last = shown(pages, "clips", speaker="ann"), shown(pages, "clips", speaker="ann", page="3")
    assert len(rows_of(first)) == 50 and "1–50 of 120 clips" in first.words and "page 1 of 3" in first.words
    assert rows_of(last) == [f"all/{number}" for number in range(100, 120)]
    assert {"speaker": "ann", "page": "2"} in links(first, "clips?")
    for odd in ("99", "0", "-1", "x", "²", "9" * 5000):
        assert shown(pages, "clips", page=odd).words.count("page 3 of 3" if odd == "99" else "page 1 of 3")


def test_nothing_found_and_a_refused_query_are_said(pages: Pages) -> None:
    assert "No clip is like that. The store holds 12." in shown(pages, "clips", words="xyzzy").words
    answer = pages.answer("clips", {"where": "mood == 1"})
    assert answer.status == 400 and "no column named 'mood'" in read(answer.body).words
    assert "mood == 1" in [part["value"] for part in read(answer.body).all("input")]


def test_a_clip_has_its_words_rows_faces_and_neighbours(pages: Pages) -> None:
    page = shown(pages, "clip", id="train/c4", near="text_bert")
    for words in ("Well, yes. 4", "unlabelled", "turn 1", "5 word pieces of text_bert",
                  "words of text_words, a row each", "speaking, frame by frame", "audio_logmel: spectrogram",
                  "50 rows of 8, times measured", "Its rows tell who people are", "In the dialogue",
                  "By the angle between the averages"):
        assert words in page.words, words
    drawn = [dict(parse_qsl(urlsplit(str(part["href"])).query))["feature"] for part in page.all("image")]
    assert drawn == ["audio_logmel", "faces", "speaking", "text_bert", "text_words"]
    assert [str(part["src"]).partition("?")[0] for part in page.all("img")] == ["faces.svg", "rows.png"]
    assert len([fields for fields in links(page, "clip?") if fields.get("near") == "text_bert"]) == 8 + 2


def test_a_clip_that_failed_says_why(pages: Pages) -> None:
    page = shown(pages, "clip", id="train/c0")
    assert "decode, permanent: half the file is gone" in page.words and "No face is known of this clip" in page.words
    assert "previous clip" not in page.words and "next clip" in page.words
    assert "This clip has no rows of audio_logmel" in shown(pages, "clip", id="train/c0", near="audio_logmel").words


def test_pictures_of_rows_and_faces_are_pictures(pages: Pages) -> None:
    answer = pages.answer("rows.png", {"id": "train/c4", "feature": "audio_logmel"})
    assert (answer.status, answer.kind) == (200, "image/png") and answer.body.startswith(b"\x89PNG")
    strip = pages.answer("faces.svg", {"id": "train/c4"})
    assert (strip.status, strip.kind) == (200, "image/svg+xml")
    assert strip.body.count(b"data:image/jpeg") == 5 and b"track 0" in strip.body and b"<script" not in strip.body


@pytest.mark.parametrize(("name", "query", "status", "words"), [
    ("nothing", {}, 404, "there is no page 'nothing'"),
    ("../../etc/passwd", {}, 404, "there is no page"),
    ("clip", {}, 404, "has no clip ''"),
    ("clip", {"id": "train/c99"}, 404, "has no clip 'train/c99'"),
    ("clip", {"id": "train/c1", "near": "face_identity"}, 404, "no feature 'face_identity' to compare"),
    ("rows.png", {"id": "train/c1", "feature": "smell"}, 404, "no feature 'smell'"),
    ("rows.png", {"id": "train/c1", "feature": "face_identity"}, 404, "They are never shown"),
    ("rows.png", {"id": "train/c0", "feature": "audio_logmel"}, 404, "has no rows of train/c0"),
    ("map", {"feature": "faces"}, 404, "no feature 'faces' to project"),
    ("map", {"method": "magic"}, 400, "no method 'magic'; expected one of pca, tsne"),
    ("map", {"colour": "mood"}, 400, "coloured by"),
    ("clips", {"label.emotion": "7"}, 400, "is no class of emotion"),
    ("clips", {"of": "smell"}, 400, "no feature named 'smell'"),
])
def test_what_is_not_there_is_a_page_that_says_so(pages: Pages, name: str, query: dict[str, str], status: int,
                                                  words: str) -> None:
    answer = pages.answer(name, query)
    assert answer.status == status and words in read(answer.body).words


def test_the_map_has_a_point_and_a_link_for_each_clip(pages: Pages) -> None:
    page = shown(pages, "map", colour="label.emotion", feature="text_bert")
    assert [fields["id"] for fields in links(page, "clip?")] == [clip.clip_id for clip in pages._opened.clips]
    assert "the two axes hold" in page.words and "Oh no! 0" in page.words
    assert [fields["label.emotion"] for fields in links(page, "map?")] == ["0", "1", "2"]
    few = shown(pages, "map", feature="text_bert", split="dev")
    assert len(links(few, "clip?")) == 3 and "t-SNE keeps neighbours together" in shown(
        pages, "map", feature="text_bert", method="tsne").words
    nobody = shown(pages, "map", feature="text_bert", words="xyz")
    assert "No clip that has rows of text_bert is like that" in nobody.words


def test_failures_are_listed_and_searched(pages: Pages) -> None:
    assert len(rows_of(shown(pages, "failures"))) == 2
    assert rows_of(shown(pages, "failures", words="FACES")) == ["train/c0"]
    assert "No failure has these words." in shown(pages, "failures", words="xyz").words


def test_faces_of_a_restricted_corpus_are_nowhere_unless_asked_for(tmp_path: Path, video: Path) -> None:
    path = make_store(tmp_path / "s.h5", source=video, redistribute="no")
    shy, bold = Pages(path), Pages(path, thumbnails=True)
    page = shown(shy, "clip", id="train/c4")
    assert not page.all("img") and "--thumbnails" in page.words and "--thumbnails" in shown(shy, "").words
    assert b"jpeg" not in shy.answer("faces.svg", {"id": "train/c4"}).body
    assert shy.answer("rows.png", {"id": "train/c4", "feature": "asd_faces"}).status == 404
    assert len(shown(bold, "clip", id="train/c4").all("img")) == 2
    assert b"jpeg" in bold.answer("faces.svg", {"id": "train/c4"}).body
    assert bold.answer("rows.png", {"id": "train/c4", "feature": "face_identity"}).status == 404


def test_media_that_are_gone_are_said(tmp_path: Path) -> None:
    pages = Pages(make_store(tmp_path / "s.h5", source=tmp_path / "gone.mp4"))
    page = shown(pages, "clip", id="train/c4")
    assert "no longer there" in page.words and [str(part["src"])[:8] for part in page.all("img")] == ["rows.png"]
    assert b"no longer there" in pages.answer("faces.svg", {"id": "train/c4"}).body
    strange = Pages(make_store(tmp_path / "t.h5", source=Path("x" * 5000)))
    assert "no longer there" in shown(strange, "clip", id="train/c4").words


def test_an_empty_store_and_one_of_failures_alone_have_their_pages(tmp_path: Path) -> None:
    empty = Pages(write_store(tmp_path / "a.h5", corpus=Corpus("c"), clips=[], features={}))
    clips = [Clip(f"all/{number}") for number in range(3)]
    failed = {clip.clip_id: Cell.failed(Failure("decode", "permanent", "no film")) for clip in clips}
    broken = Pages(write_store(tmp_path / "b.h5", corpus=Corpus("c"), clips=clips, features={
        "audio_logmel": FeatureData("audio", (8,), {"extractor": "audio_logmel"}, {}, failed)}))
    for name in ("", "clips", "map", "failures"):
        shown(empty, name)
        shown(broken, name)
    assert "0 clips" in shown(empty, "").words and "This store holds no clips." in shown(empty, "clips").words
    assert "no feature that clips can be compared by" in shown(empty, "map").words
    assert "No clip has a row of audio_logmel" in shown(broken, "map").words
    assert "The store holds neither" not in shown(broken, "clip", id="all/1").words
    assert len(rows_of(shown(broken, "failures"))) == 3 and "decode, permanent: no film" in shown(
        broken, "clip", id="all/1").words


def test_a_store_that_is_replaced_is_shown_as_it_is_now(tmp_path: Path) -> None:
    path = make_store(tmp_path / "s.h5")
    pages = Pages(path)
    assert len(rows_of(shown(pages, "clips"))) == 12
    make_store(path, count=4)
    assert len(rows_of(shown(pages, "clips"))) == 4
    path.rename(tmp_path / "away.h5")
    assert "there is no store" in read(pages.answer("clips", {}).body).words
    (tmp_path / "away.h5").rename(path)
    assert len(rows_of(shown(pages, "clips"))) == 4


def test_a_file_that_is_no_store_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.h5").write_text("not a store")
    with pytest.raises(StoreError, match="is not a readable HDF5 file"):
        Pages(tmp_path / "notes.h5")


def test_hostile_text_comes_out_as_text_on_every_page(tmp_path: Path, video: Path) -> None:
    pages = Pages(make_evil(tmp_path / "<b>s.h5", video))
    clip = pages._opened.clips[3].clip_id
    feature = next(name for name in pages._opened.store.features if name != "faces")
    for name, query in (("", {}), ("clips", {}), ("clips", {"words": EVIL, "where": EVIL, "speaker": EVIL}),
                        ("clip", {"id": clip, "near": feature}), ("map", {"colour": f"label.{EVIL}"}),
                        ("map", {"colour": "speaker", "words": EVIL}), ("failures", {"words": EVIL[:9]}),
                        ("clip", {"id": EVIL}), (EVIL, {}), ("map", {"method": EVIL})):
        page = read(pages.answer(name, query).body)
        tags = {tag for tag, _ in page.elements}
        assert "script" not in tags and not [part for part in page.all("img") if part["src"] == "x"]
        for tag, attributes in page.elements:
            assert not [key for key in attributes if key.startswith("on") or key == "style"], (name, tag)
            for key in ("href", "src", "action"):
                to = attributes.get(key) or ""
                assert not to or re.match(OWN_ADDRESS, to), to
        assert "alert(1)" in page.text or name in ("failures", "map")
    strip = pages.answer("faces.svg", {"id": clip}).body
    assert b"<script" not in strip and b"onerror" not in strip


def test_names_that_are_no_text_do_not_stop_a_page(tmp_path: Path) -> None:
    clips = [Clip("all/a", Path("caf\udce9.mp4"), speaker="caf\udce9", text="\udce9")]
    pages = Pages(write_store(tmp_path / "s.h5", corpus=Corpus("c"), clips=clips, features={}))
    assert rows_of(shown(pages, "clips")) == ["all/a"]
    assert "caf?" in shown(pages, "clip", id="all/a").words
    assert rows_of(shown(pages, "clips", speaker="caf\udce9")) == ["all/a"]


def test_pages_run_no_script_and_carry_no_style_of_their_own(pages: Pages) -> None:
    for name in ("", "clips", "map", "failures"):
        page = shown(pages, name)
        assert not page.all("script") and not page.all("style") and not page.all("base")
        assert [part["href"] for part in page.all("link")][:1] == ["data:,"] and len(page.all("link")) == 3


def test_an_address_leaves_out_what_asks_nothing() -> None:
    assert address("clips", {"a": "", "b": "x&y", "page": 2}, page=None, c=0) == "clips?b=x%26y&c=0"
    assert address("") == "./" and address("", {"a": "1"}) == "./?a=1"


def test_styles_are_given_and_other_files_are_not(pages: Pages) -> None:
    assert pages.answer("browse.css", {}).kind.startswith("text/css")
    assert pages.answer("report.html.jinja", {}).status == 404


def test_the_command_s_help_loads_nothing_heavy() -> None:
    script = ("import sys, pipeline.commands.browse;"
              " print([name for name in ('torch', 'numpy', 'jinja2') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_rows_of_a_long_list_of_failures_are_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "PAGE_FAILURES", 1)
    pages = Pages(make_store(tmp_path / "s.h5"))
    assert "page 2 of 2" in shown(pages, "failures", page="2").words
