"""The audit of stores and runs, as library and command, and in the report."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.frame_stores import make_frame_store
from tests.html_pages import parse
from tests.training_stores import TASKS, make_actors, make_clips, make_protocol, make_store

from pipeline import audit
from pipeline.audit import audit_run, audit_stores, leak_notes, shared_with_train, statements
from pipeline.cli import main
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.joined import open_stores
from pipeline.learning.train_config import TrainConfig
from pipeline.report import write_report
from pipeline.training import train

EVIL = "<img src=x onerror=alert(1)>[red]"
QUICK = TrainConfig(epochs=1, device="cpu")


def metrics_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "metrics.json").read_text()))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of MELD by name, so that its leaks are known; one speaker has a name that would do harm."""
    clips = [replace(clip, speaker=EVIL if clip.speaker == "speaker0" else clip.speaker)
             for clip in make_clips({"train": 60, "dev": 62, "test": 64})]
    return make_store(tmp_path_factory.mktemp("audit") / "a.h5", clips=clips, features=["text_bert"], corpus="meld")


@pytest.fixture(scope="module")
def run(store: Path) -> Path:
    return train(store, model="early", config=QUICK, out=store.parent / "run")


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(audit).failed == 0


def test_what_splits_share_is_counted_by_clips() -> None:
    clips = pd.DataFrame({"text": ["Oh  my", "no", "oh MY", "never", "", "no"],
                          "speaker": ["Ann", "Bob", "Ann", "Cat", "Ann", "Ann"]})
    splits = {"train": np.array([0, 1]), "test": np.array([2, 3, 4, 5]), "dev": np.array([], np.int64)}
    found = shared_with_train(clips, splits, "train")
    assert found == {"test": {"texts": pytest.approx(2 / 3), "speakers": 0.75, "train_speakers": 2,
                              "half_speakers": 1}}
    assert statements(found) == ["66.7 % of the clips of test have a text of train, 75.0 % a speaker of train; 1 of"
                                 " train's 2 speakers say half of them"]
    assert statements({"dev": {"speakers": 0.0}}) == ["0.0 % of the clips of dev have a speaker of train"]
    assert shared_with_train(clips.assign(text="", speaker=""), splits, "train") == {}


def test_a_store_is_audited_on_its_splits_and_the_look_at_test_is_counted(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", features=["text_bert"])
    found = audit_stores(path)
    assert found["cues"] == ["speaker", "duration", "text", "together"]
    assert set(found["shortcuts"]["text"]) == {"train", "dev", "test"} and found["known_leaks"] == {}
    assert set(found["shortcuts"]["text"]["test"]) == {"emotion", "arousal"}
    assert found["shared_with_train"]["test"]["speakers"] == 1.0 and found["test_reads"] == {str(path): 1}
    assert audit_stores(path, tasks=["arousal"])["main_metrics"] == {"arousal": "ccc"}


def test_folds_are_audited_on_all_that_they_test(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", clips=make_actors(4), features=["text_bert"],
                      protocols=[make_protocol(4, 2)])
    found = audit_stores(path, folds="actor-folds")
    assert set(found["shortcuts"]["together"]) == {"test"} and found["shared_with_train"] == {}
    run = train(path, config=replace(QUICK, folds="actor-folds"), tasks=["emotion"], out=tmp_path / "run")
    inside = metrics_of(run)
    assert set(inside["shortcuts"]) == set(found["shortcuts"])
    assert set(metrics_of(run / "fold-1")["shortcuts"]["text"]) == {"train", "dev", "test"}
    assert audit_run(run)["shortcuts"]["speaker"]["emotion"] == inside["shortcuts"]["speaker"]["test"]["emotion"]


def test_a_run_has_its_cues_and_leaks_beside_it(run: Path, store: Path) -> None:
    metrics = metrics_of(run)
    assert set(metrics["shortcuts"]) == {"speaker", "duration", "text", "together"}
    same = audit_stores(store)["shortcuts"]["text"]["test"]["emotion"]["accuracy"]["mean"]
    assert metrics["shortcuts"]["text"]["test"]["emotion"]["accuracy"]["mean"] == pytest.approx(same, abs=0.05)
    note = next(note for note in metrics["notes"] if note.startswith("meld: "))
    assert "disjoint by dialogue only" in note and "100.0 % a speaker of train" in note
    assert leak_notes(open_stores(store), {}) == []


def test_without_baselines_nothing_is_audited(store: Path, tmp_path: Path) -> None:
    run = train(store, model="early", config=replace(QUICK, baselines=False), out=tmp_path / "run")
    assert not {"shortcuts", "shared_with_train"} & metrics_of(run).keys()
    page = parse(write_report(run))
    assert "No trivial cue was tried beside this model" in page.words
    assert audit_run(run)["shortcuts"] == {} and len(audit_run(run)["subgroups"]["emotion"]) == 3


def test_rows_are_audited_by_the_clips_that_they_are_of(tmp_path: Path) -> None:
    store = make_frame_store(tmp_path / "tracks.h5")
    for name, options in (("frames", {"model": "early", "tasks": ["speaking"]}), ("moods", {"tasks": ["mood"]})):
        run = train(store, inputs=["asd_audio"], config=QUICK, out=tmp_path / name, **options)  # type: ignore[arg-type]
        task = next(iter(metrics_of(run)["shortcuts"]["duration"]["test"]))
        assert task == options["tasks"][0]
    assert "average_precision" in metrics_of(tmp_path / "frames")["shortcuts"]["speaker"]["test"]["speaking"]
    with pytest.raises(UsageError, match="labels no whole clips for speaking"):
        audit_stores(store, tasks=["speaking"])


def test_the_report_shows_the_audit_and_escapes_names(run: Path) -> None:
    page = parse(write_report(run))
    words = page.words.partition("What could be guessed without looking")[2].partition("What was missing")[0]
    metrics = metrics_of(run)
    for cue in ("who speaks", "how long", "how many words", "all of these", "For whom it does well", EVIL):
        assert cue in words, cue
    assert f"{100 * metrics['shortcuts']['text']['test']['emotion']['weighted_f1']['mean']:.1f}" in words
    assert "disjoint by dialogue only" in words and "speakers say half of them" in words


def test_the_command_shows_stores_and_runs(run: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--features", str(store)]) == 0
    said = capsys.readouterr().out
    assert "who speaks" in said and "disjoint by dialogue only" in said and "emotion: weighted F1" in said
    assert main(["audit", "--run", str(run)]) == 0
    said = capsys.readouterr().out
    assert "by subgroup of test" in said and EVIL in said and "early" in said
    assert main(["audit", "--run", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "test"


@pytest.mark.parametrize(("options", "message"), [
    ([], "give --features STORE or --run RUN"), (["--run", "x", "--folds", "random"], "leave --tasks and --folds out")])
def test_what_does_not_go_together_is_refused(options: list[str], message: str,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *options]) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_audited_is_said(run: Path, store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has no task 'mood', only emotion, arousal"):
        audit_stores(store, tasks=["mood"])
    clips = [replace(clip, labels={}) if clip.split == "train" else clip for clip in make_clips({"train": 4, "dev": 4})]
    with pytest.raises(TrainingError, match="no clip of 'train' is labelled for 'emotion'"):
        audit_stores(make_store(tmp_path / "a.h5", clips=clips, features=["text_bert"], tasks=TASKS))
    with pytest.raises(TrainingError, match="config.json cannot be read"):
        audit_run(tmp_path)
    (tmp_path / "run").mkdir()
    for name in ("config.json", "predictions.csv"):
        (tmp_path / "run" / name).write_text((run / name).read_text())
    (tmp_path / "run" / "metrics.json").write_text("{}")
    with pytest.raises(TrainingError, match="has not the layout of a run"):
        audit_run(tmp_path / "run")
