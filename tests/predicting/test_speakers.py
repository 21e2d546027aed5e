"""A run that tells who speaks, on new recordings: tracks with boxes, times and scores, and the marked-up video."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.datasets.manifest import Manifest
from pipeline.decoding.probe import probe
from pipeline.errors import UsageError
from pipeline.extraction import ExtractConfig, extract
from pipeline.predicting.speakers import tells_who_speaks
from pipeline.prediction import PredictConfig, predict
from pipeline.speaking.tracks import SCORE
from pipeline.store import FeatureStore
from tests.makers import make_video, write_manifest
from tests.speaker_runs import make_speaker_run

QUICK = PredictConfig(jobs=1, device="cpu")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that hears and sees, a video with a face, and a file that is none."""
    folder = tmp_path_factory.mktemp("workplace")
    make_speaker_run(folder / "run")
    make_video(folder / "talk.mp4", seconds=0.6)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def test_faces_have_the_scores_that_extract_gives_them(workplace: Path, tmp_path: Path) -> None:
    found, = predict(workplace / "run", [workplace / "talk.mp4"], config=QUICK)
    manifest = write_manifest(tmp_path / "clips.csv", [{"path": str(workplace / "talk.mp4")}])
    extract(Manifest(Manifest.Config(manifest=manifest, allow_outside=True)), tmp_path / "store.h5",
            extractors=["speaking"], config=ExtractConfig(jobs=1, speaking_run=str(workplace / "run")))
    expected = FeatureStore(tmp_path / "store.h5").read("all/talk", "speaking")
    assert found.faces is not None and len(found.faces) == len(expected.values) > 0
    np.testing.assert_array_equal(found.faces.rows[:, :5], expected.values[:, :5])
    np.testing.assert_allclose(found.faces.speaking, expected.values[:, SCORE], atol=1e-5)
    assert found.stretches == found.tasks == () and not found.problem and not found.notes


def test_tracks_are_written_as_csv_and_json_and_drawn(workplace: Path, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--run", str(workplace / "run"), str(workplace / "talk.mp4"), "--jobs", "1", "--device",
                 "cpu", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(tmp_path) and "how sure it is that they speak" in shown.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk.csv", "talk.json", "talk.mp4"]
    rows = list(csv.DictReader((tmp_path / "talk.csv").read_text().splitlines()))
    held = json.loads((tmp_path / "talk.json").read_text())
    track, = held["tracks"]
    assert len(rows) == track["num_rows"] == len(track["rows"]) and "does not say who" in held["meaning"]
    assert [float(row["speaking"]) for row in rows] == [row["speaking"] for row in track["rows"]]
    assert float(rows[0]["x1"]) < float(rows[0]["x2"]) and float(rows[0]["start_seconds"]) == 0
    assert track["speaking"] == pytest.approx(np.mean([row["speaking"] for row in track["rows"]]), abs=1e-3)
    written, source = probe(tmp_path / "talk.mp4"), probe(workplace / "talk.mp4")
    assert written.size[0] == round(640 * source.size[0] / source.size[1]), "a picture and no panel"
    assert written.audio_span[1] > 0


def test_what_cannot_be_used_is_told_and_the_others_are_answered(workplace: Path, tmp_path: Path) -> None:
    sound = make_video(tmp_path / "later.mp4", seconds=0.6)
    broken, talk = predict(workplace / "run", [workplace / "broken.mp4", sound], out=tmp_path / "out",
                           config=PredictConfig(jobs=1, device="cpu", mark=False))
    assert "broken.mp4" in broken.problem and broken.faces is None
    assert talk.faces is not None and [path.name for path in talk.files] == ["later.csv", "later.json"]
    assert json.loads((tmp_path / "out" / "broken.json").read_text())["tracks"] == []


def test_words_and_settings_that_the_run_did_not_learn_from_are_refused(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("hello")
    with pytest.raises(UsageError, match="tells who speaks from pictures and sound, and reads no words"):
        predict(workplace / "run", [workplace / "talk.mp4"], text=tmp_path / "talk.txt", config=QUICK)
    with pytest.raises(UsageError, match="part was whole and is middle"):
        predict(workplace / "run", [workplace / "talk.mp4"],
                config=PredictConfig(jobs=1, device="cpu", settings={"asd_faces": {"part": "middle"}}))


def test_only_a_run_of_an_active_speaker_network_tells_who_speaks(workplace: Path, tmp_path: Path) -> None:
    assert tells_who_speaks(workplace / "run")
    (tmp_path / "start.pt").touch()
    assert not tells_who_speaks(tmp_path)
