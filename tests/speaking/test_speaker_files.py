"""Labels, predictions and TalkNet's lists as files, written and read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.cli import main
from pipeline.errors import DatasetError, TrainingError
from pipeline.speaking.speaker_files import read_loader, scores_of_run, video_of, write_loader, write_table
from pipeline.speaking.speaker_tables import read_ground_truth, read_predictions
from tests.speaking.test_unitalk_files import make_release


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return make_release(tmp_path / "release")


def make_run(folder: Path, *, seeds: tuple[int, ...] = (0, 1), drop: int | None = None, **changed: object) -> Path:
    """A run that answered for the tracks of val, frame by frame: .1 more for each frame and each seed."""
    rows = [{"clip_id": f"test/{video}:{number}", "split": "test", "seed": seed, "task": "speaking", "row": frame,
             "start_seconds": round(.04 * frame, 4), "label": "speaking", "prediction": "speaking",
             "probability_not_speaking": .5, "probability_speaking": .1 * frame + .1 * seed, **changed}
            for seed in seeds for video in ("x", "some_video-of-mine", "y") for number in (2, 1)
            for frame in (2, 0, 1)]
    folder.mkdir()
    pd.DataFrame([row for place, row in enumerate(rows) if place != drop]).to_csv(
        folder / "predictions.csv", index=False)
    return folder


def test_labels_are_written_as_they_were_read(release: Path, tmp_path: Path, shared_data: Path) -> None:
    table = read_ground_truth(release / "csv" / "val_orig.csv")
    write_table(tmp_path / "ten.csv", table)
    assert (tmp_path / "ten.csv").read_text() == (release / "csv" / "val_orig.csv").read_text() + "\n"
    real = shared_data / "ava" / "train" / "-5KQ66BBWC4-activespeaker.csv"
    write_table(tmp_path / "eight.csv", read_ground_truth(real))
    written, source = ([line.split(",") for line in path.read_text().splitlines()]
                       for path in (tmp_path / "eight.csv", real))
    assert len(written) == 11147 and [(*row[:2], *row[6:]) for row in written] == [
        (*row[:2], *row[6:]) for row in source]
    assert [[float(side) for side in row[2:6]] for row in written] == [
        [float(side) for side in row[2:6]] for row in source]
    with pytest.raises(DatasetError, match="is there already"):
        write_table(tmp_path / "ten.csv", table)
    with pytest.raises(DatasetError, match="cannot be written"):
        write_table(tmp_path / "nowhere" / "ten.csv", table)


def test_a_runs_answers_become_the_official_file(release: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    run, truth, out = make_run(tmp_path / "run"), release / "csv" / "val_orig.csv", tmp_path / "predictions.csv"
    assert main(["unitalk", "predictions", str(run), str(out), "--truth", str(truth)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    table = read_predictions(out)
    assert table.score == pytest.approx(np.tile([.05, .15, .25], 6)) and table.speaking.all()
    first, second = out.read_text().splitlines()[:2]
    assert first.split(",")[-1] == "score" and len(second.split(",")) == 11
    assert main(["score-asd", "--truth", str(truth), "--predictions", str(out), "--json"]) == 0
    # Frames speak in the middle: the last frame of each track comes before it.
    assert json.loads(capsys.readouterr().out)["average_precision"] == pytest.approx(.5)
    assert main(["unitalk", "predictions", str(run), str(out), "--truth", str(truth)]) == 1
    assert "is there already" in " ".join(capsys.readouterr().err.split())


def test_one_seed_can_be_asked_for(release: Path, tmp_path: Path) -> None:
    truth = read_ground_truth(release / "csv" / "val_orig.csv")
    assert scores_of_run(make_run(tmp_path / "run"), truth, seed=1) == pytest.approx(np.tile([.1, .2, .3], 6))
    with pytest.raises(TrainingError, match="no answers of seed 7 for the split test; it has test, of the seeds 0, 1"):
        scores_of_run(tmp_path / "run", truth, seed=7)
    with pytest.raises(TrainingError, match="no answers for the split train"):
        scores_of_run(tmp_path / "run", truth, split="train")


def test_rows_without_an_answer_are_named_or_count_as_zero(release: Path, tmp_path: Path,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", seeds=(0,), drop=3)  # the third frame of x:1
    asked = ["unitalk", "predictions", str(run), str(tmp_path / "p.csv"), "--truth",
             str(release / "csv" / "val_orig.csv")]
    assert main(asked) == 1
    assert "no answer for x:1 at 1.08 s" in " ".join(capsys.readouterr().err.split())
    assert main([*asked, "--missing-as-zero"]) == 0
    scores = read_predictions(tmp_path / "p.csv").score
    assert scores is not None and scores[:3] == pytest.approx([0, .1, 0])


@pytest.mark.parametrize(("changed", "match"), [
    ({"clip_id": "test/z:1"}, "answers for z:1 at 0.08 s"), ({"start_seconds": .02}, "at 0.02 s of the track"),
    ({"start_seconds": 9.0}, "at 9 s of the track")])
def test_answers_for_other_tracks_or_times_are_refused(release: Path, tmp_path: Path, changed: dict[str, object],
                                                       match: str) -> None:
    run = make_run(tmp_path / "run", **changed)
    with pytest.raises(DatasetError, match=match):
        scores_of_run(run, read_ground_truth(release / "csv" / "val_orig.csv"))


def test_a_run_that_answers_for_clips_is_refused(release: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    rows = pd.read_csv(run / "predictions.csv").drop(columns="start_seconds")
    rows.to_csv(run / "predictions.csv", index=False)
    with pytest.raises(TrainingError, match="expected a run that answers for every frame"):
        scores_of_run(run, read_ground_truth(release / "csv" / "val_orig.csv"))


def test_talknets_list_and_back(release: Path, tmp_path: Path) -> None:
    truth, loader, back = release / "csv" / "val_orig.csv", tmp_path / "val_loader.csv", tmp_path / "back.csv"
    assert main(["unitalk", "to-talknet", str(truth), str(loader)]) == 0
    lines = loader.read_text().splitlines()
    assert lines[0] == "x:1\t3\t25\t[0, 1, 0]\t1" and len(lines) == 6
    # As TalkNet's loader reads a line.
    entity, frames, rate, labels, start = lines[2].split("\t")
    assert (entity, int(frames), float(rate), int(start)) == ("some_video-of-mine:1", 3, 25.0, 1)
    assert [int(label) for label in labels.replace("[", "").replace("]", "").split(",")] == [0, 1, 0]
    assert main(["unitalk", "from-talknet", str(loader), str(back), "--pictures",
                 str(release / "clips_videos" / "val")]) == 0
    first, second = read_ground_truth(truth), read_ground_truth(back)
    for name in ("video", "time_text", "label", "entity", "label_id", "instance"):
        assert (getattr(first, name) == getattr(second, name)).all(), name
    assert (second.box == [0, 0, 1, 1]).all()
    assert (read_loader(loader).time == first.time).all(), "these tracks start on a whole second"


def test_the_rate_is_that_of_the_video(tmp_path: Path) -> None:
    lines = [f"v,{900 + frame / 29.97:.2f},0.1,0.2,0.3,0.4,NOT_SPEAKING,v_0900_0960:1" for frame in range(1500)]
    (tmp_path / "a.csv").write_text("\n".join([*lines, "w,5,0.1,0.2,0.3,0.4,SPEAKING_AUDIBLE,w:2"]))
    write_loader(tmp_path / "l.csv", read_ground_truth(tmp_path / "a.csv"))
    assert [line.split("\t")[2] for line in (tmp_path / "l.csv").read_text().splitlines()] == ["29.97", "25"]
    assert video_of("v_0900_0960:1") == "v"


@pytest.mark.parametrize("line", ["x:1\t3\t25\t[0, 1]\t1", "x:1 3 25 [0] 1", "x\t1\t25\t[0]\t1", "x:1\t1\t0\t[0]\t1",
                                  "x:1\t1\t25\t[5]\t1", "x:1\t1\t25\t[]\t1", "../x:1\t1\t25\t[0]\t1",
                                  "x:1\t1\tnan\t[0]\t1", "x:1\t1\t25\t[0]\tinf"])
def test_a_wrong_line_of_talknets_list_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "l.csv").write_text(f"y:1\t1\t25\t[0]\t1\n{line}\n")
    with pytest.raises(DatasetError, match=r"l.csv, line 2: .*; expected VIDEO:NUMBER"):
        read_loader(tmp_path / "l.csv")


def test_a_list_that_does_not_fit_its_pictures_is_refused(release: Path, tmp_path: Path) -> None:
    pictures = release / "clips_videos" / "val"
    for text, match in (("x:1\t2\t25\t[0, 1]\t1", "2 labels and 3 pictures"),
                        ("z:1\t1\t25\t[0]\t1", "no pictures of z:1"), ("\n", "holds no track"),
                        ("x:1\t3\t25\t[0, 0, 0]\t1\n" * 2, "line 2: the track x:1 came before")):
        (tmp_path / "l.csv").write_text(text)
        with pytest.raises(DatasetError, match=match):
            read_loader(tmp_path / "l.csv", pictures)
    (pictures / "x" / "x:1" / "cover.jpg").touch()
    (tmp_path / "l.csv").write_text("x:1\t3\t25\t[0, 0, 0]\t1")
    with pytest.raises(DatasetError, match="not named by its time"):
        read_loader(tmp_path / "l.csv", pictures)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_loader(tmp_path / "none.csv")
