"""Figures on a rendered corpus show that the parts work: every place that prints one says so."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.clip import Corpus
from pipeline.extraction import ExtractConfig
from pipeline.predicting.networks import Networks
from pipeline.predicting.speakers import answer_speakers
from pipeline.rendering.corpus import is_rendered
from pipeline.runs import read_json, write_json
from pipeline.scores.answers import learnt_from_rendered
from pipeline.store import FeatureStore
from tests.html_pages import parse
from tests.makers import make_video
from tests.predicting.runs import make_corpus
from tests.speaker_runs import make_speaker_run
from tests.speaking.test_speaker_tables import HEADER, unitalk_row

NOTICE = "are rendered, not filmed: figures on them show that the parts work, not how good they are on people"
LEARNT = "the run learnt from rendered clips of manifest, not from film: its answers show that the parts work"
QUICK = ("--set", "epochs=1", "--device", "cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of what lies in a sample dataset's folder."""
    folder = tmp_path_factory.mktemp("sample")
    write_json(folder / "sample.json", {"renderer_version": 1, "layout": "meld"})
    return make_corpus(folder)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store made in the same way of what lies elsewhere."""
    return make_corpus(tmp_path_factory.mktemp("people"))


def run_on(store: Path, out: Path, *options: str) -> Path:
    if not out.exists():
        assert main(["train", "--features", str(store), "--out", str(out), *QUICK, *options]) == 0
    return out


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on(store, tmp_path_factory.mktemp("runs") / "rendered")


def said(capsys: pytest.CaptureFixture[str], arguments: Sequence[object]) -> str:
    """All that a command prints, as one line."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    return " ".join("".join(capsys.readouterr()).split())


def test_a_sample_of_any_layout_is_known_by_the_file_beside_it(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c.csv"
    inner.parent.mkdir(parents=True)
    inner.write_text("")
    assert not is_rendered(inner)
    (tmp_path / "sample.json").write_text('{"num": 3}')
    assert not is_rendered(tmp_path), "a file of that name may be anybody's"
    write_json(tmp_path / "sample.json", {"renderer_version": 1})
    assert is_rendered(inner) and is_rendered(inner.parent) and is_rendered(tmp_path)


def test_a_store_says_that_its_corpus_is_rendered(store: Path, people: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert FeatureStore(store).corpus.rendered and not FeatureStore(people).corpus.rendered
    assert FeatureStore(store).corpus.notice == f"these clips of manifest {NOTICE}" and Corpus("x").notice == ""
    assert "rendered, not filmed" in said(capsys, ["inspect", store])
    assert "rendered" not in said(capsys, ["inspect", people])
    assert '"rendered": true' in said(capsys, ["inspect", store, "--json"])


def test_training_says_so_in_the_terminal_the_scores_and_the_report(
        store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = said(capsys, ["train", "--features", store, "--out", tmp_path / "run", *QUICK])
    assert words.partition("Scores")[0].count(NOTICE) == 1 and words.partition("Scores")[2].count(NOTICE) == 1
    assert f"these clips of manifest {NOTICE}" in read_json(tmp_path / "run" / "metrics.json")["notes"]
    page = parse(tmp_path / "run" / "report.html").words
    assert f"These clips of manifest {NOTICE}" in page.partition("Scores on")[0]


def test_folds_say_so_each_and_together(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert NOTICE in said(capsys, ["train", "--features", store, "--folds", "2-group-folds", "--out", run, *QUICK])
    for place in (run, run / "fold-1"):
        assert read_json(place / "metrics.json")["notes"].count(f"these clips of manifest {NOTICE}") == 1
    assert learnt_from_rendered(run) and Networks.load(run).stamps[0].startswith(LEARNT)


def test_scores_on_people_of_a_run_that_learnt_from_rendered_faces_say_so(
        run: Path, store: Path, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert NOTICE in said(capsys, ["evaluate", "--run", run, "--features", store])
    words = said(capsys, ["evaluate", "--run", run, "--features", people, "--json"])
    assert LEARNT in words and NOTICE not in words


def test_comparisons_and_audits_say_so(run: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = run_on(store, run.with_name("other"), "--model", "late")
    assert said(capsys, ["compare", run, other]).count(LEARNT) == 1
    assert NOTICE in said(capsys, ["audit", "--run", run])
    found = json.loads(said(capsys, ["audit", "--features", store, "--json"]))
    assert found["notes"] == [f"these clips of manifest {NOTICE}"]


def test_a_run_on_people_says_nothing_of_it(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = said(capsys, ["train", "--features", people, "--out", tmp_path / "run", *QUICK])
    assert "rendered" not in words and "rendered" not in read_json(tmp_path / "run" / "config.json")
    assert learnt_from_rendered(tmp_path / "run") == () == learnt_from_rendered(tmp_path / "nothing")
    assert "rendered" not in parse(tmp_path / "run" / "report.html").words


def test_predictions_are_stamped(run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = make_video(tmp_path / "talk.mp4", seconds=2.0, face=False)
    words = said(capsys, ["predict", "--run", run, video, "--out", tmp_path / "out", "--no-mark"])
    assert LEARNT in words
    assert LEARNT in json.loads((tmp_path / "out" / "talk.json").read_text())["stamps"][0]
    assert LEARNT in parse(tmp_path / "out" / "talk.html").words
    assert LEARNT in (tmp_path / "out" / "talk.csv").read_text()


def test_who_speaks_is_stamped_too(tmp_path: Path) -> None:
    run = make_speaker_run(tmp_path / "run")
    write_json(run / "config.json", {name: kind() for name, kind in {
        "features": list, "dataset": str, "model": str, "model_config": dict, "inputs": list, "tasks": list,
        "select_by": str, "seeds": list, "splits": dict, "training": dict, "notes": list}.items()} | {
            "rendered": ["manifest"]})
    (tmp_path / "talk.mp4").write_bytes(b"nothing")
    [found] = answer_speakers(run, {tmp_path / "talk.mp4": "talk"}, settings={}, config=ExtractConfig(jobs=1),
                              watch=lambda: pytest.fail("nothing is extracted"))
    assert found.problem and found.stamps[0].startswith(LEARNT)


@pytest.mark.parametrize("rendered", [True, False])
def test_scores_of_files_in_a_sample_say_so(rendered: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if rendered:
        write_json(tmp_path / "sample.json", {"renderer_version": 1, "layout": "unitalk"})
    (tmp_path / "csv").mkdir()
    truth, predictions = tmp_path / "csv" / "val_orig.csv", tmp_path / "predictions.csv"
    rows = [unitalk_row(f"{number / 25:g}", "SPEAKING_AUDIBLE" if number % 2 else "NOT_SPEAKING", "v:1", "v")
            for number in range(6)]
    truth.write_text("\n".join([HEADER, *rows]) + "\n")
    with predictions.open("w", newline="") as file:
        for row in csv.reader(rows):
            csv.writer(file).writerow([*row[:6], "SPEAKING_AUDIBLE", row[7], "0.5"])
    arguments = ["score-asd", "--truth", truth, "--predictions", predictions]
    assert (NOTICE in said(capsys, arguments)) is rendered
    assert ("notes" in json.loads(said(capsys, [*arguments, "--json"]))) is rendered
