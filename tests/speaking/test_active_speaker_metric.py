"""Scoring files of predictions: joins, refusals, sub-categories, tracks, on made files and on AVA's ground truth."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.errors import DatasetError
from pipeline.speaking.active_speaker_metric import (TRACK_COLUMNS, by_sub_category, read_scores, read_sub_categories,
                                                     read_truth, score_speakers, scores_of, track_rows)
from tests.scores.test_average_precision import published

HEADER = ("video_id,frame_timestamp,entity_box_x1,entity_box_y1,entity_box_x2,entity_box_y2,label,entity_id,label_id,"
          "instance_id")
LABELS = ("NOT_SPEAKING", "SPEAKING_AUDIBLE", "SPEAKING_NOT_AUDIBLE")
Row = tuple[str, str, str, str, float]  # video, time, entity, label, score
ROWS: tuple[Row, ...] = (
    ("a", "0.04", "a:1", "SPEAKING_AUDIBLE", .9), ("a", "0.08", "a:1", "NOT_SPEAKING", .8),
    ("a", "0.04", "a:2", "SPEAKING_AUDIBLE", .7), ("long-name", "1440", "long-name:1", "SPEAKING_NOT_AUDIBLE", .6),
    ("long-name", "1440.04", "long-name:1", "SPEAKING_AUDIBLE", .5))


def write(path: Path, rows: Sequence[Row], *, scored: bool = False, ten: bool = False) -> Path:
    lines = [HEADER + (",score" if scored else "")] if ten else []
    for video, time, entity, label, score in rows:
        cells = [video, time, "0.1", "0.2", "0.3", "0.4", "SPEAKING_AUDIBLE" if scored else label, entity]
        if ten:
            cells += ["1" if scored else str(int(label == "SPEAKING_AUDIBLE")), f"{entity}:0"]
        lines.append(",".join(cells + [repr(float(score))] * scored))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "truth.csv", ROWS), write(tmp_path / "scores.csv", ROWS[::-1], scored=True)


@pytest.mark.parametrize("ten", [False, True])
@pytest.mark.parametrize("scored_ten", [False, True])
def test_the_command_prints_the_benchmarks_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str], ten: bool,
                                                  scored_ten: bool) -> None:
    truth = write(tmp_path / "truth.csv", ROWS, ten=ten)
    scores = write(tmp_path / "scores.csv", ROWS[::-1], scored=True, ten=scored_ten)
    assert main(["score-asd", "--truth", str(truth), "--predictions", str(scores), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # Positives at ranks 1, 3 and 5: precision 1, 2/3, 3/5.
    assert found["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert (found["num_rows"], found["num_positive"], found["num_videos"]) == (5, 3, 2)
    assert found["positive_rate"] == .6 and len(found["interval"]) == 2
    assert main(["score-asd", "--truth", str(truth), "--predictions", str(scores)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "75.56\n" and "95 % interval" in shown.err


def test_avas_ground_truth_is_scored_as_by_hand(shared_data: Path, tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    ava = shared_data / "ava" / "train"
    truth = read_truth(ava)
    assert len(truth) == 33903 and int(truth.speaking.sum()) == 7917, "rows, and SPEAKING_AUDIBLE of them"
    rng = np.random.default_rng(0)
    for digits in (1, 2, 16):  # with ten, with a hundred different scores, without ties
        scores = np.round(np.clip(.35 * truth.speaking + .7 * rng.random(len(truth)), 0, 1), digits)
        found = score_speakers(truth, scores, num_resamples=20)
        assert found.average_precision == published(truth.speaking, scores)
        assert found.lowest <= found.average_precision <= found.highest
        assert (found.highest - found.lowest > .001) == (digits < 16), "ties matter where there are few scores"
        assert found.interval is not None and found.interval[0] < found.average_precision < found.interval[1]
    lines = [line for file in sorted(ava.iterdir()) for line in file.read_text().splitlines()]
    rows = [",".join([*line.split(",")[:6], "SPEAKING_AUDIBLE", line.split(",")[7], repr(float(score))])
            for line, score in zip(lines, scores)]
    (tmp_path / "predictions.csv").write_text("\n".join(rows[::-1]))
    assert main(["score-asd", "--truth", str(ava), "--predictions", str(tmp_path / "predictions.csv"),
                 "--resamples", "0", "--json"]) == 0
    given = json.loads(capsys.readouterr().out)
    assert given["average_precision"] == published(truth.speaking, scores) and given["interval"] is None


def test_the_order_of_the_predictions_does_not_matter_even_on_ties(tmp_path: Path) -> None:
    tied = [(*row[:4], .5) for row in ROWS]
    truth = read_truth(write(tmp_path / "truth.csv", tied))
    found = {score_speakers(truth, scores_of(truth, read_scores(write(tmp_path / "p.csv", order, scored=True))))
             .average_precision for order in (tied, tied[::-1], tied[2:] + tied[:2])}
    assert found == {published(truth.speaking, np.full(5, .5))}
    score = score_speakers(truth, np.full(5, .5))
    assert (score.lowest, score.highest) == (pytest.approx(3 / 5), 1.0)


def test_times_agree_as_numbers(tmp_path: Path) -> None:
    truth = read_truth(write(tmp_path / "truth.csv", ROWS))
    padded = [(video, f"{float(time):.3f}", entity, label, score) for video, time, entity, label, score in ROWS]
    predictions = read_scores(write(tmp_path / "p.csv", padded, scored=True))
    assert scores_of(truth, predictions).tolist() == [.9, .8, .7, .6, .5]


def test_a_missing_prediction_is_named_or_counts_as_zero(tmp_path: Path, files: tuple[Path, Path],
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    truth, _ = files
    some = write(tmp_path / "some.csv", ROWS[:2], scored=True)
    assert main(["score-asd", "--truth", str(truth), "--predictions", str(some)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "no prediction for a:2 at 0.04 s" in said and "truth.csv, row 3" in said and "2 more of 5 rows" in said
    assert main(["score-asd", "--truth", str(truth), "--predictions", str(some), "--missing-as-zero", "--json"]) == 0
    # Ranks: .9 positive, .8 negative, then three zeros in the truth's order: positive, negative, positive.
    assert json.loads(capsys.readouterr().out)["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_predictions_that_do_not_fit_are_refused(tmp_path: Path, files: tuple[Path, Path]) -> None:
    truth, predictions = read_truth(files[0]), read_scores(files[1])
    with pytest.raises(DatasetError, match="no row of a:1 at 0.12 s"):
        scores_of(truth, read_scores(write(tmp_path / "p.csv", [*ROWS, ("a", "0.12", "a:1", "", .1)], scored=True)))
    with pytest.raises(DatasetError, match="holds no scores"):
        scores_of(truth, truth)
    for old, new, match in (("0.3,", "0.31,", "row 1: the box of long-name:1 at 1440.04 s is not that of"),
                            ("SPEAKING_AUDIBLE", "NOT_SPEAKING", "predictions have SPEAKING_AUDIBLE in every row"),
                            (",0.5\n", ",nan\n", "row 1"), ("1440.04", "1440", "already")):
        (tmp_path / "q.csv").write_text(files[1].read_text().replace(old, new, 1))
        with pytest.raises(DatasetError, match=match):
            scores_of(truth, read_scores(tmp_path / "q.csv"))
    assert scores_of(truth, predictions).tolist() == [.9, .8, .7, .6, .5]


@pytest.mark.parametrize("label", LABELS)
def test_labels_of_one_kind_are_refused(tmp_path: Path, label: str) -> None:
    rows = [(*row[:3], label, row[4]) for row in ROWS]
    truth = read_truth(write(tmp_path / "truth.csv", rows))
    with pytest.raises(DatasetError, match="needs rows that speak and rows that do not"):
        score_speakers(truth, np.arange(5.0))


def test_each_sub_category_is_scored_alone(tmp_path: Path, files: tuple[Path, Path],
                                           capsys: pytest.CaptureFixture[str]) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "test_noise.csv").write_text("a")
    (lists / "test_mixed.csv").write_text("long-name\nnot-here")
    assert read_sub_categories(lists) == {"mixed": ("long-name", "not-here"), "noise": ("a",)}
    truth, predictions = (str(file) for file in files)
    assert main(["score-asd", "--truth", truth, "--predictions", predictions, "--sub-categories", str(lists),
                 "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["sub_categories"]
    assert {name: one["average_precision"] for name, one in found.items()} == {
        "mixed": pytest.approx(1 / 2), "noise": pytest.approx((1 + 2 / 3) / 2)}
    assert found["noise"]["interval"] is None, "one video has no others to draw"
    table = read_truth(files[0])
    with pytest.raises(DatasetError, match="no video of the sub-category visual"):
        by_sub_category(table, np.zeros(5), {"visual": ("b",)})
    speaking = read_truth(write(tmp_path / "t.csv", [*ROWS, ("b", "0.04", "b:1", "SPEAKING_AUDIBLE", 0)]))
    with pytest.raises(DatasetError, match="sub-category visual: .* needs rows that speak"):
        by_sub_category(speaking, np.zeros(6), {"visual": ("b",)})


def test_each_track_has_a_line(tmp_path: Path, files: tuple[Path, Path]) -> None:
    assert main(["score-asd", "--truth", str(files[0]), "--predictions", str(files[1]), "--per-track",
                 str(tmp_path / "tracks.csv")]) == 0
    with (tmp_path / "tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == TRACK_COLUMNS and len(list(track_rows(read_truth(files[0]), np.arange(5.)))) == 3
    assert {row["entity_id"]: (row["num_rows"], row["num_positive"], row["average_precision"],
                               row["mean_score_not_speaking"]) for row in rows} == {
        "a:1": ("2", "1", "1.000000", "0.800000"), "a:2": ("1", "1", "", ""),
        "long-name:1": ("2", "1", "0.500000", "0.600000")}


def test_the_interval_is_of_whole_videos(tmp_path: Path) -> None:
    """Two videos, one scored perfectly and one the wrong way round: draws hold either, or both."""
    rows = [(video, f"{time}.0", f"{video}:1", LABELS[time % 2], float((time % 2) == (video == "good")))
            for video in ("good", "bad") for time in range(20)]
    truth = read_truth(write(tmp_path / "truth.csv", rows))
    scores = np.array([row[4] for row in rows])
    assert score_speakers(truth, scores).interval == (pytest.approx(.5), pytest.approx(1.0))
    assert score_speakers(truth, scores, seed=1) == score_speakers(truth, scores, seed=1)


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no \*.csv"):
        read_truth(tmp_path)


def test_nothing_asks_numpy_for_names_that_it_dropped() -> None:
    """The official script says np.NAN, which numpy 2 no longer knows."""
    folder = Path(__file__).resolve().parents[2]
    sources = [path for name in ("pipeline", "models") for path in (folder / name).rglob("*.py")]
    assert len(sources) > 100
    dropped = re.compile(r"\bnp\.(NAN|NaN|Inf|float_|unicode_)\b")
    assert not [path for path in sources if dropped.search(path.read_text("utf-8"))]
