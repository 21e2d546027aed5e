"""What a store holds, in numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.clip import Clip, Corpus, Task
from pipeline.curation.inspection import (command_lines, describe_clip, printable, recipe_lines, recipes, shown,
                                          summarise)
from pipeline.errors import StoreError
from pipeline.media import FeatureSequence
from pipeline.storage.packing import Cell, Failure, FeatureData, write_store
from pipeline.store import FeatureStore
from tests.frame_stores import SPEAKING
from tests.identity_stores import make_identities
from tests.speaker_runs import make_speaker_store
from tests.speaking.test_tracks import face_store

CORPUS = Corpus("toy", (Task("mood", ("glad", "sad")), Task("level", value_range=(0.0, 1.0)),
                        Task("none", value_range=(0.0, 1.0))), "CC0")
CLIPS = [Clip("train/a", split="train", labels={"mood": "sad", "level": 0.0}), Clip("dev/b", split="dev"),
         Clip("train/c", split="train", labels={"mood": "sad", "level": 1.0})]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    cells = {"train/a": Cell.of(FeatureSequence(np.ones((3, 2, 5), np.float32), np.zeros((3, 2), np.float32))),
             "dev/b": Cell.failed(Failure("decode", "passing", "no picture"))}
    recipe = {"weights": [{"source": "random"}, {"source": "random"}]}
    return FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={
        "wide": FeatureData("video", (2, 5), recipe, cells=cells), "plain": FeatureData("audio", (1,))}))


def test_a_summary_counts_everything(store: FeatureStore) -> None:
    summary = summarise(store)
    assert (summary["dataset"], summary["clips"], summary["splits"]) == ("toy", 3, {"train": 2, "dev": 1})
    assert summary["tasks"]["mood"] == {"glad": 0, "sad": 2, "unlabelled": 1}
    assert summary["tasks"]["level"] == {"mean": 0.5, "sd": 0.5, "unlabelled": 1}
    assert summary["tasks"]["none"] == {"mean": None, "sd": None, "unlabelled": 3}
    wide = summary["features"]["wide"]
    assert {status: wide[status] for status in ("done", "empty", "failed", "missing")} == {
        "done": 1, "empty": 0, "failed": 1, "missing": 1}
    assert (wide["rows"], wide["row_shape"], wide["modality"], wide["weights"]) == (3, [2, 5], "video", "random")
    assert wide["megabytes"] == pytest.approx(120e-6, abs=1e-3) and wide["digest"] == store.digest("wide")
    assert summary["features"]["plain"]["weights"] == "none" and summary["features"]["plain"]["missing"] == 3
    assert summary["failures"] == [{"clip": "dev/b", "feature": "wide", "stage": "decode", "kind": "passing",
                                    "message": "no picture"}]


def test_labels_of_frames_are_counted_in_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_speaker_store(tmp_path / "tracks.h5", {"train": 4})
    store = FeatureStore(path)
    labels = np.concatenate([store.read(clip_id, "frame_labels").values[:, 0] for clip_id in store.clips["clip_id"]])
    counts = {"not_speaking": int((labels == 0).sum()), "speaking": int((labels == 1).sum()), "unlabelled": 0}
    assert summarise(store)["tasks"] == {"speaking": counts} and sum(counts.values()) == len(labels) == 60
    assert main(["inspect", str(path)]) == 0
    assert f"speaking {counts['speaking']}, unlabelled 0" in capsys.readouterr().out


@pytest.mark.parametrize("odd", [-1.0, 7.0])
def test_labels_of_frames_that_are_none_count_as_unlabelled(tmp_path: Path, odd: float) -> None:
    rows = FeatureSequence(np.array([[0.0], [1.0], [odd]], np.float32), np.zeros((3, 2), np.float32))
    held = FeatureData("face", (1,), {}, {"train/a": rows}, columns=("speaking",), is_input=False)
    for name, expected in (("frame_labels", (1, 1, 1)), ("other", (0, 0, 0))):
        path = write_store(tmp_path / f"{name}.h5", corpus=Corpus("toy", (SPEAKING,)), clips=CLIPS[:1],
                           features={name: held})
        assert tuple(summarise(FeatureStore(path))["tasks"]["speaking"].values()) == expected


def test_coverage_is_the_share_of_clips_with_a_face_by_split(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = {"train/a": Cell.of(FeatureSequence(np.ones((3, 5), np.float32), np.zeros((3, 2), np.float32))),
             "train/c": Cell.of(FeatureSequence.empty((5,))), "dev/b": Cell.failed(Failure("decode", "passing", "no"))}
    clips = [*CLIPS, Clip("train/d", split="train")]
    path = write_store(tmp_path / "a.h5", corpus=CORPUS, clips=clips, features={
        "face_x": FeatureData("face", (5,), cells=cells), "other": FeatureData("video", (5,), cells=cells)})
    features = summarise(FeatureStore(path))["features"]
    assert features["face_x"]["coverage"] == {"train": pytest.approx(1 / 3), "dev": 0}
    assert "coverage" not in features["other"]
    assert main(["inspect", str(path)]) == 0
    shown_text = capsys.readouterr().out
    assert "Clips with a face, %" in shown_text and "33.3" in shown_text
    empty = write_store(tmp_path / "b.h5", corpus=CORPUS, clips=[], features={"face_x": FeatureData("face", (5,))})
    assert summarise(FeatureStore(empty))["features"]["face_x"]["coverage"] == {}
    assert main(["inspect", str(empty)]) == 0


def test_a_summary_is_json(store: FeatureStore) -> None:
    assert json.loads(json.dumps(summarise(store))) == summarise(store)


def test_a_clip_is_described_with_its_labels_rows_failures_and_faces(tmp_path: Path, store: FeatureStore) -> None:
    found = describe_clip(face_store(tmp_path / "faces.h5"), "train/two")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["clip"], found["split"], found["labels"]) == ("train/two", "train", {"mood": "glad"})
    assert found["features"]["faces"] == {"status": "done", "rows": 4, "times": "measured"}
    assert [(track["number"], track["num_rows"]) for track in found["tracks"]] == [(0, 2), (1, 2)]
    assert found["tracks"][1]["speaking"] == pytest.approx(0.85)
    failed = describe_clip(store, "dev/b")
    assert failed["failures"] == [{"feature": "wide", "stage": "decode", "kind": "passing", "message": "no picture"}]
    assert failed["labels"] == {"mood": None, "level": None, "none": None} and "tracks" not in failed
    assert failed["features"]["wide"]["status"] == "failed" and failed["source"] is None
    with pytest.raises(StoreError, match="has no clip 'dev/x'; ids look like train/a"):
        describe_clip(store, "dev/x")


def test_the_command_shows_a_clip_in_tables_or_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = face_store(tmp_path / "faces.h5").path
    assert main(["inspect", str(path), "--clip", "train/two"]) == 0
    out = capsys.readouterr().out
    assert all(words in out for words in ("train/two", "glad", "speaking", "0.85", "50 px"))
    assert main(["inspect", str(path), "--clip", "test/one"]) == 0
    out = capsys.readouterr().out
    assert all(words in out for words in ("anna", "unlabelled", "unknown", "missing"))
    assert main(["inspect", str(path), "--clip", "test/one", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == describe_clip(FeatureStore(path), "test/one")


@pytest.mark.parametrize(("options", "message"), [
    (["--draw", "a.png"], "--draw draws one clip: say which with --clip ID"),
    (["--clip", "dev/b", "--recipe"], "--recipe is of a whole store and --clip of one clip")])
def test_options_that_contradict_are_usage_errors(store: FeatureStore, capsys: pytest.CaptureFixture[str],
                                                  options: list[str], message: str) -> None:
    assert main(["inspect", str(store.path), *options]) == 2
    assert message in capsys.readouterr().err


RECIPE = {
    "feature": "wide", "extractor": "wide", "version": 3, "settings": {"rate": 15.0, "crop": [112, 112], "on": True},
    "text": None, "upstream": {"faces": "a" * 32}, "made_with": {"torch": "2.4", "ffmpeg": "9.0"},
    "weights": [{"network": "r3d", "digest": "b" * 32, "source": "pretrained"}], "fingerprint": "c" * 32}
COMMAND = ["python", "-m", "pipeline", "extract", "--set", "text.model=it's $HOME; rm -rf *", "--root",
           "caf\udce9\n\x1b[2J"]
REQUEST = {"command": COMMAND, "dataset": "toy", "dataset_settings": {"splits": ["train"]}, "weights": None}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return write_store(tmp_path / "made.h5", corpus=CORPUS, clips=CLIPS, requests=[REQUEST], features={
        "wide": FeatureData("video", (2, 5), RECIPE)})


def test_a_recipe_is_a_line_for_each_thing_that_is_known(made: Path) -> None:
    lines = list(recipe_lines(FeatureStore(made)))
    for line in ("wide", "  version: 3", "    crop: 112, 112", "    on: yes", "  text: none", f"    faces: {'a' * 32}",
                 "      source: pretrained", "    ffmpeg: 9.0", "run 1 of 1", "    splits: train", "  weights: none"):
        assert line in lines, line
    assert lines[0] == f"{made}: toy, 3 clips" and all(line.isprintable() for line in lines)
    assert recipes(FeatureStore(made)) == {"path": str(made), "dataset": "toy", "features": {"wide": RECIPE},
                                           "requests": [REQUEST]}


def test_what_is_not_known_is_said_to_be(store: FeatureStore) -> None:
    assert list(recipe_lines(store))[-1] == "the command that made it: unknown, the store does not say"
    assert summarise(store)["requests"] is None
    with pytest.raises(StoreError, match="does not say by which command it was made; .*inspect --recipe"):
        command_lines(store)


def test_a_command_comes_back_through_a_shell_as_it_was(made: Path) -> None:
    import os
    import subprocess
    line, = command_lines(FeatureStore(made))
    assert line.isprintable() and line.startswith("python -m pipeline extract --set ")
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    assert [os.fsdecode(word) for word in words.split(b"\0")[:-1]] == COMMAND


@pytest.mark.parametrize("command", [None, "rm -rf /", ["rm", "-rf", "/"], ["python", "-m", "pipeline", 3], []])
def test_what_is_no_command_of_this_program_is_not_printed_as_one(tmp_path: Path, command: object) -> None:
    path = write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={}, requests=[{"command": command}])
    with pytest.raises(StoreError, match="was not a command of this program .*inspect --recipe"):
        command_lines(FeatureStore(path))
    assert "  command: " in "\n".join(recipe_lines(FeatureStore(path)))


def test_text_that_a_terminal_would_obey_is_shown_instead() -> None:
    assert printable("a\x1b[31m\nb\udce9 日本") == "a\\x1b[31m\\nb\\udce9 日本"
    assert shown({"a\x07": ["\x00", 1, None]}) == {"a\\x07": ["\\x00", 1, None]}


def test_recipes_of_any_shape_do_no_harm(tmp_path: Path) -> None:
    for number, weights in enumerate([None, 3, ["x"], [{"network": 1}], {"a": []}, [[1, [2]]]]):
        path = write_store(tmp_path / f"{number}.h5", corpus=CORPUS, clips=CLIPS, features={
            "odd": FeatureData("video", (2, 5), {"weights": weights, "<b>": {"\x1b": [{}, []]}})})
        assert json.dumps(summarise(FeatureStore(path)), allow_nan=False)
        assert all(line.isprintable() for line in recipe_lines(FeatureStore(path)))


def test_the_commands_print_what_the_functions_give(made: Path, store: FeatureStore,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", str(made)]) == 0
    assert capsys.readouterr().out == "\n".join(command_lines(FeatureStore(made))) + "\n"
    assert main(["inspect", "--recipe", str(made)]) == 0
    assert capsys.readouterr().out == "\n".join(recipe_lines(FeatureStore(made))) + "\n"
    assert main(["inspect", "--recipe", "--json", str(made)]) == 0
    assert json.loads(capsys.readouterr().out) == recipes(FeatureStore(made))
    assert main(["inspect", "--json", str(store.path)]) == 0
    assert json.loads(capsys.readouterr().out) == summarise(store)
    assert main(["reproduce", str(store.path)]) == 1 and "does not say" in capsys.readouterr().err


def test_a_store_with_identities_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_identities(tmp_path / "people.h5", [["anna"]])
    assert summarise(FeatureStore(path))["identities"] == ["face_identity"]
    assert main(["inspect", str(path)]) == 0
    assert "holds identities of people (face_identity); only its owner may read it" in capsys.readouterr().out
