"""Ablations: the right runs, none trained twice, paired differences, and a table that says what it compares."""

from __future__ import annotations

import doctest
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from tests.training_stores import MODALITIES, make_actors, make_protocol, make_store

from pipeline import ablation
from pipeline.ablation import ablate, as_frame, variants_of
from pipeline.cli import main
from pipeline.errors import TrainingError, UsageError
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Progress, Quiet
from pipeline.pages.ablation_plots import plot_ablation

CONFIG = TrainConfig(device="cpu", epochs=2, baselines=False)
PAIR = ("audio_logmel", "text_bert")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("ablation") / "a.h5")


class Seen(Quiet):
    """Counts epochs; stops after so many."""

    def __init__(self, most: int = 10 ** 6) -> None:
        self.num_epochs, self.most, self.variants = 0, most, [""]

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        self.num_epochs += 1
        if self.num_epochs == self.most:
            raise KeyboardInterrupt

    def watch(self, name: str, number: int, total: int) -> AbstractContextManager[Progress]:
        self.variants.append(f"{number}/{total} {name}")
        return nullcontext(self)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(ablation).failed == 0


def test_all_subsets_of_the_inputs_are_compared_with_all_of_them() -> None:
    found = variants_of(["inputs"], tuple("abc"), {"lr": "1"})
    assert [variant.name for variant in found] == ["a+b+c", "a+b", "a+c", "b+c", "a", "b", "c"]
    assert found[1].inputs == ("a", "b") and found[1].settings == {"lr": "1"}


def test_values_of_a_setting_are_compared_with_the_first() -> None:
    found = variants_of(["pools=mean;mean,std"], ["a"], {"lr": "1"})
    assert [variant.settings for variant in found] == [{"lr": "1", "pools": "mean"}, {"lr": "1", "pools": "mean,std"}]
    assert [variant.name for variant in found] == ["pools=mean", "pools=mean,std"]


@pytest.mark.parametrize(("over", "inputs", "message"), [
    ("inputs", ["a"], r"--over inputs: subsets are of 2 to 6 inputs, found 1 \(a\); name them with --inputs"),
    ("inputs", list("abcdefg"), "subsets are of 2 to 6 inputs, found 7"),
    ("lr", ["a"], "--over lr: expected inputs, or FIELD=A,B with two values or more that differ"),
    ("lr=1", ["a"], "two values or more"), ("lr=1,1", ["a"], "that differ"), ("lr=1,", ["a"], "that differ"),
    ("=1,2", ["a"], "expected inputs, or FIELD"), ("x=..,a", ["a"], "would not do as the name of a folder"),
    ("folds=a/b,c", ["a"], "'a/b' would not do as the name of a folder"),
    ("set=1,2", ["a"], "set is also set to 3; leave one of them out")])
def test_what_cannot_be_compared_is_refused(over: str, inputs: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        variants_of([over], inputs, {"set": "3"})


@pytest.mark.parametrize("over", [["inputs", "inputs"], ["lr=1,2", "lr=3,4"], []])
def test_a_thing_differs_once_and_something_does(over: list[str]) -> None:
    with pytest.raises(UsageError, match="expected inputs, or a setting and its values, each once"):
        variants_of(over, ["a", "b"], {})


def test_every_combination_of_inputs_and_values_is_a_variant() -> None:
    found = variants_of(["inputs", "level=utterance,frame"], ["a", "b"], {"lr": "1"})
    assert [variant.name for variant in found] == [
        f"{inputs},level={level}" for inputs in ("a+b", "a", "b") for level in ("utterance", "frame")]
    assert found[3].inputs == ("a",) and found[3].settings == {"lr": "1", "level": "frame"}
    other_way = variants_of(["level=utterance,frame", "inputs"], ["a", "b"], {})
    assert other_way[2].name == "level=utterance,b" and other_way[2].inputs == ("b",)


def test_every_figure_is_that_of_a_run_and_differences_are_paired_by_seed(store: Path, tmp_path: Path) -> None:
    table = ablate(store, tmp_path / "out", inputs=PAIR, config=CONFIG, settings={"seeds": "2"}, drop=True)
    assert table == json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert [row["variant"] for row in table["rows"]] == [
        "audio_logmel+text_bert", "audio_logmel", "text_bert", "reference without audio_logmel",
        "reference without text_bert"]
    assert [row["trained"] for row in table["rows"]] == [True] * 3 + [False] * 2
    assert (table["split"], table["task"], table["metric"]) == ("test", "emotion", "weighted_f1")
    for row in table["rows"][:3]:
        config, metrics = (json.loads((tmp_path / "out" / row["run"] / f"{name}.json").read_text())
                           for name in ("config", "metrics"))
        assert config["inputs"] == row["inputs"] and row["scores"] == metrics["test"]
    full, last = table["rows"][0], table["rows"][-1]
    assert full["difference"] == {} and last["inputs"] == ["audio_logmel"] and last["run"] == full["run"]
    for task, metric in (("emotion", "uar"), ("arousal", "ccc")):
        apart = last["difference"][task][metric]
        pairs = zip(last["scores"][task][metric]["seeds"], full["scores"][task][metric]["seeds"], strict=True)
        assert apart["seeds"] == pytest.approx([mine - other for mine, other in pairs])
        assert apart["mean"] == pytest.approx(sum(apart["seeds"]) / 2)
    written = pd.read_csv(tmp_path / "out" / "ablation.csv")
    assert len(written) == 5 * 8 and written["difference"].notna().sum() == 4 * 8
    assert written["mean"].tolist() == pytest.approx(as_frame(table)["mean"].tolist())
    with Image.open(tmp_path / "out" / "ablation.png") as picture:
        assert picture.format == "PNG" and picture.size[0] > 500


def test_both_levels_stand_in_one_table_and_answer_for_the_same_rows(store: Path, tmp_path: Path,
                                                                     capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["ablate", "--features", str(store), "--inputs", ",".join(PAIR), "--over", "inputs", "--over",
                 "level=utterance,frame", "--tasks", "emotion", "--set", "epochs=1", "--set", "baselines=false",
                 "--seeds", "2", "--device", "cpu", "--out", str(out)]) == 0
    table = json.loads((out / "ablation.json").read_text())
    assert [(row["variant"], row["answers"]) for row in table["rows"][:5]] == [
        ("audio_logmel+text_bert,level=utterance", "utterances"), ("audio_logmel+text_bert,level=frame", "rows"),
        ("audio_logmel+text_bert,level=frame, clips by majority", "utterances"),
        ("audio_logmel+text_bert,level=frame, clips by mean probability", "utterances"),
        ("audio_logmel,level=utterance", "utterances")]
    assert [row["variant"] for row in table["rows"] if not row["difference"]] == [
        f"audio_logmel+text_bert,level={level}" for level in ("utterance", "frame")], "first of their kinds"
    text_by_row = next(row for row in table["rows"] if row["variant"] == "text_bert,level=frame")
    metrics, all_metrics = (json.loads((out / row["run"] / "metrics.json").read_text())
                            for row in (text_by_row, table["rows"][1]))
    assert text_by_row["scores"] == metrics["test"]
    assert metrics["num_clips"]["test"]["scored"] == all_metrics["num_clips"]["test"]["scored"], "the same rows"
    apart = text_by_row["difference"]["emotion"]["uar"]["seeds"]
    assert apart == pytest.approx([mine - other for mine, other in zip(
        metrics["test"]["emotion"]["uar"]["seeds"], all_metrics["test"]["emotion"]["uar"]["seeds"], strict=True)])
    assert json.loads((out / text_by_row["run"] / "config.json").read_text())["training"]["clock"] == "audio_logmel"
    shown = " ".join(capsys.readouterr().err.split())
    assert "note differences are to the first that is scored by the same, utterances or rows" in shown


def test_what_is_finished_is_not_trained_again_and_what_was_stopped_goes_on(store: Path, tmp_path: Path) -> None:
    whole = ablate(store, tmp_path / "whole", inputs=PAIR, config=CONFIG)
    stopped = Seen(most=3)
    with pytest.raises(KeyboardInterrupt):
        ablate(store, tmp_path / "out", inputs=PAIR, config=CONFIG, watch=stopped.watch)
    assert stopped.variants[1:] == ["1/3 audio_logmel+text_bert", "2/3 audio_logmel"]
    rest = Seen()
    table = ablate(store, tmp_path / "out", inputs=PAIR, config=CONFIG, watch=rest.watch)
    assert rest.num_epochs == 3 and [row["scores"] for row in table["rows"]] == [
        row["scores"] for row in whole["rows"]]
    again = Seen()
    assert ablate(store, tmp_path / "out", inputs=PAIR, config=CONFIG, watch=again.watch) == table
    assert again.num_epochs == 0


def test_another_ablation_or_other_files_are_not_written_over(store: Path, tmp_path: Path) -> None:
    wishes: dict[str, Any] = {"inputs": PAIR, "tasks": ["emotion"], "config": CONFIG, "over": ["lr=0.001,0.01"]}
    ablate(store, tmp_path / "out", **wishes)
    for changed, name in (({"over": ["lr=0.001,0.02"]}, "over"), ({"tasks": ["arousal"]}, "tasks"),
                          ({"settings": {"hidden": "8"}}, "settings"), ({"inputs": PAIR[:1]}, "fingerprints, inputs")):
        with pytest.raises(TrainingError, match=rf"out holds an ablation with other wishes \({name} differ\)"):
            ablate(store, tmp_path / "out", **{**wishes, **changed})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="mine holds something else than an ablation; give a new folder"):
        ablate(store, tmp_path / "mine", **wishes)


@pytest.mark.parametrize(("wishes", "message"), [
    ({"over": ["metric_loss=none,tripplet"]}, "expected one of none, triplet"), ({"over": ["hiden=1,2"]}, "hiden"),
    ({"inputs": PAIR[:1], "drop": True, "over": ["lr=0.1,0.2"]},
     "--drop takes each input away in turn .* audio_logmel"),
    ({"drop": True, "over": ["level=frame,utterance"]}, "level=frame, answers for rows .* name level=utterance first"),
    ({"model": "erly"}, "erly")])
def test_wishes_that_cannot_be_are_refused_before_anything_is_written(store: Path, tmp_path: Path,
                                                                      wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ablate(store, tmp_path / "out", config=CONFIG, **wishes)
    assert not (tmp_path / "out").exists()


def test_the_command_shows_a_table_and_says_what_random_weights_mean(tmp_path: Path,
                                                                     capsys: pytest.CaptureFixture[str]) -> None:
    weights = [{"network": "x", "source": "random", "name": "seed 0", "digest": "d"}]
    store = make_store(tmp_path / "a.h5", clips=make_actors(4, 8), features=tuple(MODALITIES)[:2],
                       protocols=[make_protocol(4, 2)], recipe={"weights": weights})
    out = tmp_path / "out"
    assert main(["ablate", "--features", str(store), "--model", "early", "--over", "metric_loss=none,centre", "--folds",
                 "actor-folds", "--tasks", "emotion", "--seeds", "2", "--set", "epochs=1", "--drop", "--device", "cpu",
                 "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}\n"
    for words in ("1 of 2: metric_loss=none", "2 of 2: metric_loss=centre", "emotion on test of actor-folds",
                  "metric_loss=centre", "reference without text_bert", "weighted f1 − first",
                  "note text_bert and audio_logmel have random weights: the figures show that the parts work"):
        assert words in " ".join(shown.err.split()), words
    table = json.loads((out / "ablation.json").read_text())
    assert table["protocol"] == "actor-folds" and len(table["rows"]) == 4


def test_a_plot_is_the_same_each_time_and_leaves_out_what_has_no_figure() -> None:
    scores = {"emotion": {"uar": {"mean": 0.5, "sd": 0.1, "seeds": [0.4, 0.6]}}}
    rows = [{"variant": name, "trained": name != "b", "scores": scores} for name in "ab"]
    table = {"task": "emotion", "metric": "uar", "split": "test", "reference": "a", "seeds": [0, 1], "rows": rows}
    first = plot_ablation(table)
    assert first == plot_ablation(table) and first.startswith(b"\x89PNG")
    none = {"emotion": {"uar": {"mean": None, "sd": None, "seeds": [None, None]}}}
    more = {**table, "rows": [*rows, {"variant": "c", "trained": True, "scores": none}]}
    assert plot_ablation(more) == first
