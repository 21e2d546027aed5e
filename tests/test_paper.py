"""Runs written up: the figures are theirs, bold is tested, and hostile names stay words."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.pages.test_latex import balanced
from tests.training_stores import make_actors, make_clips, make_protocol, make_store, rows_of

from pipeline.cli import main
from pipeline.clip import Corpus, Task
from pipeline.errors import TrainingError, UsageError
from pipeline.learning.train_config import TrainConfig
from pipeline.paper import paper
from pipeline.storage.packing import FeatureData, write_store
from pipeline.training import train

EVIL = r"\input{x} 5% & $a_b^c$ #~{"
WEIGHTS = [{"network": "bert", "source": "pretrained", "name": "bert-base-uncased/model.safetensors",
            "digest": "68d45e234eb4a928074dfd868cead021"},
           {"network": "head", "source": "file", "name": "mine.pt", "digest": "00ff00ff"},
           {"network": "tail", "source": "random", "name": "seed 0", "digest": "aa"}]


def metrics_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "metrics.json").read_text()))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One run learnt from words with baselines, one hardly from noise."""
    folder = tmp_path_factory.mktemp("paper")
    store = make_store(folder / "a.h5")
    good = training(store, folder / "good", ["text_bert", "face_r3d18"], epochs=15, seeds=2)
    return good, training(store, folder / "poor", ["audio_logmel"], epochs=1, lr=1e-6, baselines=False)


def training(store: Path, out: Path, inputs: list[str], **settings: Any) -> Path:
    return train(store, model="early", inputs=inputs, config=TrainConfig(device="cpu", **settings), out=out)


def with_baselines_at(share: float, run: Path, folder: Path) -> Path:
    """A copy of a run beside which TF-IDF scores so much of everything, and no other baseline is scored."""
    folder.mkdir()
    for name in ("config.json", "predictions.csv"):
        (folder / name).write_text((run / name).read_text())
    metrics = metrics_of(run)
    metrics["baselines"] = {"tfidf": metrics["baselines"]["tfidf"]}
    for scores in metrics["baselines"]["tfidf"]["test"]["emotion"].values():
        scores["mean"] = share
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_the_table_prints_the_figures_of_the_runs_and_bold_is_tested(runs: tuple[Path, Path], tmp_path: Path) -> None:
    found = paper([with_baselines_at(0.5, runs[0], tmp_path / "good"), runs[1]], intervals=True)
    assert balanced(found.table) and balanced(found.methods)
    good, poor = (next(line for line in found.table.splitlines() if line.startswith(name))
                  for name in ("early on text\\_bert and face\\_r3d18 &", "early on audio\\_logmel &"))
    metrics = metrics_of(runs[0])
    f1, edges = metrics["test"]["emotion"]["weighted_f1"], metrics["intervals"]["test"]["emotion"]
    figure = rf"$\mathbf{{{100 * f1['mean']:.1f}}} \pm {100 * f1['sd']:.1f}$"
    assert good.split(" & ")[1] == f"{figure} {{\\scriptsize $({100 * edges['low']:.1f}, {100 * edges['high']:.1f})$}}"
    assert "mathbf" not in poor and "bold: better than every other run, p" in found.table
    assert "TF-IDF of the words & " in found.table
    assert "\\multicolumn{3}{c}{emotion} & \\multicolumn{2}{c}{arousal}" in found.table
    assert "1 or 2 seeds" in found.table
    for words in ("paired bootstrap over groups with 2000 samples", "\\paragraph{Training of early on audio\\_logmel.}",
                  "test split of a.h5 had been scored 1 time when", "120 clips of train"):
        assert words in found.methods, words


def test_equal_runs_are_not_told_apart_and_a_better_baseline_forbids_bold(runs: tuple[Path, Path],
                                                                          tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    for name in ("config.json", "metrics.json", "predictions.csv"):
        (again / name).write_text((runs[0] / name).read_text())
    found = paper([runs[0], again])
    assert "mathbf" not in found.table and "so none is bold" in found.table
    assert "early (good)" in found.table and "early (again)" in found.table
    beaten = paper([with_baselines_at(1.0, runs[0], tmp_path / "beaten"), runs[1]]).table
    row = next(line for line in beaten.splitlines() if "face\\_r3d18 &" in line
               and line.startswith("early"))
    assert "mathbf" not in " ".join(row.split(" & ")[1:4]) and "mathbf" in row


def test_a_single_run_by_folds_is_written_up(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.h5", clips=make_actors(4), features=["text_bert"],
                       protocols=[make_protocol(4, 2)])
    run = training(store, tmp_path / "run", ["text_bert"], folds="actor-folds", epochs=1)
    found = paper([run])
    assert "test clips of all folds of actor-folds" in found.table and "bold" not in found.table + found.methods
    assert f"{100 * metrics_of(run)['test']['emotion']['accuracy']['mean']:.1f}" in found.table
    assert "in the 2 folds of actor-folds" in found.methods
    with pytest.raises(UsageError, match="the runs are on made-up, test by actor-folds and"):
        paper([run, training(store, tmp_path / "other", ["text_bert"], epochs=1, baselines=False)])


def test_hostile_names_stay_words_and_everything_is_cited(tmp_path: Path) -> None:
    clips = [replace(clip, labels={EVIL: {"calm": "a&b", "glad": "{", "angry": EVIL}[str(clip.labels["emotion"])]}
                     if "emotion" in clip.labels else {}) for clip in make_clips({"train": 24, "dev": 12})]
    corpus = Corpus(EVIL, (Task(EVIL, ("a&b", "{", EVIL)),), "CC BY 4.0", "https://example.org/terms",
                    "non-commercial", "Doe (2024).\nA {corpus} & more.")
    values = {clip.clip_id: rows_of(replace(clip, labels={}), "text_bert", seed=place)
              for place, clip in enumerate(clips)}
    store = write_store(tmp_path / "evil.h5", corpus=corpus, clips=clips, features={"text_bert": FeatureData(
        "text", (6,), {"extractor": "text_bert", "weights": WEIGHTS, "settings": {"model": EVIL}}, values)})
    found = paper([training(store, tmp_path / "run", ["text_bert"], epochs=1)])
    for text in (found.table, found.methods):
        assert balanced(text) and "\\input" not in text and not re.search(r"(?<!\\)[#&%_^~]", re.sub(
            r"(?m)^%.*| & |\\\\|\$[^$]*\$", "", text))
    lines = found.references.splitlines()
    assert lines[0] == "[1] Doe (2024). A {corpus} & more. Licence: CC BY 4.0; what is made from it may be passed on" \
                       " for non-commercial use. Terms: https://example.org/terms."
    assert "BERT-base, uncased, from https://huggingface.co/bert-base-uncased. Licence: Apache-2.0." in lines[1]
    assert "a file of the user's; cite its publisher" in lines[2] and "never learnt; nothing to cite" in lines[3]
    assert lines[-1].startswith(f"[{len(lines)}] affect-pipeline")


def test_the_command_prints_or_writes_three_files(runs: tuple[Path, Path], tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", *map(str, runs), "--out", str(tmp_path / "out")]) == 0
    files = list(map(Path, capsys.readouterr().out.split()))
    assert [path.name for path in files] == ["table.tex", "methods.tex", "references.txt"]
    assert main(["paper", *map(str, runs)]) == 0
    assert capsys.readouterr().out == "\n".join(path.read_text() for path in files)


def test_what_cannot_be_written_up_is_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one run or several, each once"):
        paper([runs[0], runs[0]])
    with pytest.raises(TrainingError, match="config.json cannot be read"):
        paper([tmp_path])
    for name in ("config.json", "predictions.csv", "metrics.json"):
        (tmp_path / name).write_text((runs[0] / name).read_text())
    (tmp_path / "metrics.json").write_text(json.dumps({**metrics_of(runs[0]), "smoke": True}))
    with pytest.raises(UsageError, match="is a smoke test"):
        paper([tmp_path])
    (tmp_path / "metrics.json").write_text(json.dumps({"smoke": False}))
    with pytest.raises(TrainingError, match="has not the layout of a finished run"):
        paper([tmp_path])
    config = json.loads((runs[0] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tasks": ["arousal"]}))
    metrics = metrics_of(runs[0])
    del metrics["test"]["emotion"], metrics["intervals"]["test"]["emotion"]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert "emotion" not in paper([runs[0], tmp_path]).table
    del metrics["test"]["arousal"]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(UsageError, match="answer no task in common"):
        paper([runs[0], tmp_path])
