"""The page of a recording: parsed, attacked, and opened in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.predicting.files import as_csv, as_json, ass_track, to_text, vtt_track
from pipeline.predicting.findings import Prediction
from pipeline.predicting.timeline import timeline_page
from pipeline.words.subtitles import read_cues
from tests.html_pages import Page, brightness, open_browser, parse, visit
from tests.predicting.runs import hostile, made_up

EVIL = "<img src=x onerror=alert(1)>\"'&amp;{{7*7}}</svg></style>"


def page_of(found: Prediction, folder: Path) -> Page:
    (folder / "page.html").write_text(timeline_page(found), encoding="utf-8")
    return parse(folder / "page.html")


def test_the_page_has_its_sections_and_says_what_scores_mean(tmp_path: Path) -> None:
    page = page_of(made_up(), tmp_path)
    assert [part["id"] for part in page.all("section")] == ["timeline", "utterances", "made", "use"]
    for words in ("how much a clip resembles clips that annotators labelled so", "Article 5(1)(f)", "at work or in",
                  "Ann", "Oh no!", "standard deviation over seeds", "audio_logmel 2", "face 0 speaks",
                  "nothing: the networks' base rates"):
        assert words in page.words, words


def test_probabilities_of_the_table_are_those_of_the_findings(tmp_path: Path) -> None:
    found = made_up()
    page = page_of(found, tmp_path)
    for place in found.of_kind("utterance"):
        best = found.answers["mood"][place].max()
        assert f"{found.label(found.tasks[0], place)} {100 * best:.0f} ± 5 %" in page.words


def test_a_long_recording_has_a_line_a_minute(tmp_path: Path) -> None:
    page = page_of(made_up(duration=200.0), tmp_path)
    assert [str(plot["aria-label"]).partition(":")[0] for plot in page.all("svg")] \
        == ["0", "1", "2", "3"] and "0:00 to 1:00" in str(page.all("svg")[0]["aria-label"])


def test_words_of_strangers_run_nothing(tmp_path: Path) -> None:
    page = page_of(hostile(EVIL), tmp_path)
    assert not page.all("img") and not page.all("script") and "49" not in page.words.replace("4949", "")
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        address = attributes.get("href") or "#"
        assert address.startswith(("#", "data:", "%3Cimg")), address
    assert EVIL in page.text
    (tmp_path / "evil.vtt").write_text(vtt_track(hostile(EVIL)))
    assert "onerror=alert(1)" in read_cues(tmp_path / "evil.vtt")[0].text
    assert "<img" not in (tmp_path / "evil.vtt").read_text()
    assert "{" not in ass_track(hostile(EVIL)).partition("[Events]")[2]


def test_tables_hold_no_formulas_and_json_is_plain() -> None:
    found = made_up(text="=1+1")
    assert ",'=1+1," in as_csv(found) and as_json(found)["utterances"][0]["text"] == "=1+1"
    assert to_text(as_json(found)).startswith("{")


@pytest.mark.parametrize("faces", [True, False])
def test_a_browser_shows_it_in_light_and_dark_and_asks_for_nothing(tmp_path: Path, faces: bool) -> None:
    (tmp_path / "page.html").write_text(timeline_page(hostile(EVIL) if faces else made_up(faces=False)))
    with open_browser() as browser:
        light, dark = (visit(browser, tmp_path / "page.html", width=width, scheme=scheme)
                       for width, scheme in ((390, "light"), (1200, "dark")))
    for seen in (light, dark):
        assert seen["overflow"] <= 0 and not (seen["console"] or seen["requests"] or seen["dialogs"] or seen["broken"])
    assert brightness(light["background"]) > 200 > 60 > brightness(dark["background"])
