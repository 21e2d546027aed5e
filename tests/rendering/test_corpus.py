from __future__ import annotations

import csv
import doctest
import filecmp
import json
from pathlib import Path

import pytest

from pipeline.errors import DatasetError, PipelineError
from pipeline.rendering import corpus
from pipeline.rendering.corpus import is_finished, render_corpus


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(corpus).failed == 0


def test_names_and_columns_are_melds(small_corpus: Path) -> None:
    assert [name for name in files(small_corpus) if name.endswith(".mp4")] == [
        "dev_splits_complete/dia0_utt0.mp4", "output_repeated_splits_test/dia0_utt0.mp4", "train_splits/dia0_utt0.mp4"]
    for split in ("train", "dev", "test"):
        table = rows(small_corpus / f"{split}_sent_emo.csv")
        assert list(table[0]) == ["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID",
                                  "Utterance_ID", "Season", "Episode", "StartTime", "EndTime"]
        assert len(table) == 1 and table[0]["StartTime"] == "00:01:00,000"


def test_truth_names_the_speaker_and_words_lie_inside_the_clip(small_corpus: Path) -> None:
    truth = {(row["split"], row["clip"]): row for row in rows(small_corpus / "truth.csv")}
    assert len(truth) == 3
    for word in rows(small_corpus / "words.csv"):
        clip = truth[word["split"], word["clip"]]
        above, _, below = clip["rate_hz"].partition("/")
        duration = int(clip["num_frames"]) * int(below or 1) / int(above)
        assert 0 < float(word["start_seconds"]) < float(word["stop_seconds"]) < duration
        assert len(clip["speaking_box"].split()) == 4
        assert bool(clip["listener"]) == bool(clip["listening_box"]) == (clip["speaking_side"] != "only")


def test_two_processes_give_the_same_bytes_as_one(small_corpus: Path, tmp_path: Path) -> None:
    again = render_corpus(tmp_path / "again", num_clips=3, seed=5, jobs=2)
    assert files(again) == files(small_corpus)
    _, different, missing = filecmp.cmpfiles(small_corpus, again, files(small_corpus), shallow=False)
    assert (different, missing) == ([], [])
    assert [path.name for path in tmp_path.iterdir()] == ["again"], "nothing of the work is left behind"


def test_a_whole_corpus_is_finished_for_its_own_settings_only(small_corpus: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_finished(small_corpus, num_clips=3, seed=5)
    assert not is_finished(small_corpus, num_clips=4, seed=5)
    assert not is_finished(small_corpus, num_clips=3, seed=6)
    monkeypatch.setattr(corpus, "RENDERER_VERSION", corpus.RENDERER_VERSION + 1)
    assert not is_finished(small_corpus, num_clips=3, seed=5)


@pytest.mark.parametrize("marker", ["", "{", "[]", "{}", None])
def test_a_folder_with_a_broken_marker_or_none_is_not_finished(tmp_path: Path, marker: str | None) -> None:
    if marker is not None:
        (tmp_path / "sample.json").write_text(marker)
    assert not is_finished(tmp_path, num_clips=3, seed=5)


def test_melds_own_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "train_sent_emo.csv").write_text("precious")
    with pytest.raises(DatasetError, match="holds 'train_sent_emo.csv', which is not of an earlier sample"):
        render_corpus(tmp_path, num_clips=3)
    assert (tmp_path / "train_sent_emo.csv").read_text() == "precious"


def test_a_users_file_in_an_earlier_sample_is_never_lost(tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text(json.dumps({}))
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(DatasetError, match="holds 'notes.txt'"):
        render_corpus(tmp_path, num_clips=3)


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(DatasetError, match="is a file"):
        render_corpus(tmp_path / "out", num_clips=3)


def test_too_few_clips_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 3 clips"):
        render_corpus(tmp_path / "out", num_clips=2)
    assert not (tmp_path / "out").exists()


def test_an_ffmpeg_that_fails_is_reported_with_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\ncat > /dev/null\necho 'Unknown encoder libx264' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(corpus, "ffmpeg_path", lambda: str(broken))
    with pytest.raises(PipelineError, match="cannot write dia0_utt0.mp4: Unknown encoder libx264"):
        render_corpus(tmp_path / "out", num_clips=3, jobs=1)
    assert not (tmp_path / "out").exists()
