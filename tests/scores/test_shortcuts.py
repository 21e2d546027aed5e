"""Trivial cues: what is known of clips without looking, and answers that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.clip import Clip, Corpus, Task
from pipeline.faces import COLUMNS
from pipeline.joined import open_stores
from pipeline.media import FeatureSequence
from pipeline.scores.shortcuts import LEVEL_COLUMN, Cues, score_fold_shortcuts, score_shortcuts
from pipeline.storage.packing import Cell, Failure, FeatureData, write_store

EMOTION, AROUSAL = Task("emotion", ("calm", "angry")), Task("arousal", value_range=(0.0, 1.0))


def rows(values: Any, seconds: float = 1.0) -> FeatureSequence:
    found = np.asarray(values, np.float32)
    stops = np.linspace(0, seconds, len(found) + 1)[1:]
    return FeatureSequence(found, np.stack([stops - stops[0], stops], axis=1).astype(np.float32))


def cues_store(path: Path, **features: FeatureData) -> Path:
    clips = [Clip("train/a", text="yes", split="train", speaker="Ann"), Clip("train/b", text="no no", split="train"),
             Clip("train/c", text=" ", split="train", speaker="Bob", start_seconds=1, stop_seconds=3.5)]
    return write_store(path, corpus=Corpus("made-up", (EMOTION,)), clips=clips, features=features)


def test_cues_are_those_that_a_store_knows(tmp_path: Path) -> None:
    face = [[track, *[0] * (len(COLUMNS) - 1)] for track in (4, 4, 7)]
    logmel = {"train/a": rows(np.full((50, 8), -20), 2.0), "train/b": rows(np.full((20, 8), -40), 0.5)}
    found = Cues.of(open_stores(cues_store(
        tmp_path / "a.h5", audio_logmel=FeatureData("audio", (8,), {"extractor": "audio_logmel"}, logmel),
        faces=FeatureData("face", (len(COLUMNS),), {"extractor": "faces"}, {
            "train/a": rows(face), "train/c": FeatureSequence.empty((len(COLUMNS),))},
            {"train/b": Cell.failed(Failure("decode", "permanent", "gone"))}, columns=COLUMNS, is_input=False))))
    assert found.names == ("speaker", "duration", "loudness", "text", "faces", "together")
    np.testing.assert_allclose(np.expm1(found.numbers["duration"][:, 0]), [2.0, 0.5, 2.5], rtol=1e-5)
    np.testing.assert_allclose(found.numbers["loudness"][:, 0], [-20, -40, np.nan], atol=1e-4)
    np.testing.assert_allclose(np.expm1(found.numbers["faces"][:, 0]), [2, np.nan, 0], atol=1e-5)
    np.testing.assert_allclose(np.expm1(found.numbers["text"]), [[1, 3], [2, 5], [0, 0]], atol=1e-5)
    assert found.at(np.array([2, 0])).speakers.tolist() == ["Bob", "Ann"]


def test_loudness_is_the_level_among_the_functionals_where_they_are_stored(tmp_path: Path) -> None:
    data = {name: rows([[5, level]]) for name, level in (("train/a", -12), ("train/b", -30), ("train/c", -31))}
    functionals = FeatureData("audio", (2,), {"extractor": "audio_functionals"}, data, columns=("f0", LEVEL_COLUMN))
    logmel = FeatureData("audio", (8,), {"extractor": "audio_logmel"}, {"train/a": rows(np.zeros((3, 8)))})
    stores = open_stores(cues_store(tmp_path / "a.h5", audio_functionals=functionals, audio_logmel=logmel))
    np.testing.assert_allclose(Cues.of(stores).numbers["loudness"][:, 0], [-12, -30, -31], atol=1e-4)


def test_what_is_alike_for_all_clips_or_unknown_is_no_cue(tmp_path: Path) -> None:
    clips = [Clip(f"train/{place}", text="same words", speaker="Ann", stop_seconds=2.0) for place in range(3)]
    data = {clip.clip_id: replace(rows([[1.0]]), times_kind="proportional") for clip in clips}
    path = write_store(tmp_path / "a.h5", corpus=Corpus("made-up", (EMOTION,)), clips=clips, features={
        "text_bert": FeatureData("text", (1,), {"extractor": "text_bert"}, data)})
    assert Cues.of(open_stores(path)).names == ()


def made(speakers: str, **numbers: Any) -> Cues:
    return Cues(np.array([part.strip("-") for part in speakers]), {name: np.asarray(values, np.float32)[:, None]
                                                                   for name, values in numbers.items()})


def test_a_speaker_says_what_they_mostly_said_and_strangers_what_all_say() -> None:
    cues = made("aaabbbbac-")
    labels = {"emotion": np.array([1, 1, 0, 0, 0, 0, 0, 1, 0, 0]), "arousal": np.array(
        [1, 1, 0, 0, 0, 0, 0, 2 / 3, 2 / 7, 2 / 7], np.float32)}
    found = score_shortcuts(cues, labels, {"dev": np.arange(7, 10)}, np.arange(7), [EMOTION, AROUSAL])
    assert list(found) == ["speaker"]
    assert found["speaker"]["dev"]["emotion"]["accuracy"]["seeds"] == [1.0]
    assert found["speaker"]["dev"]["arousal"]["mae"]["mean"] == pytest.approx(0, abs=1e-3)
    swapped = {"emotion": 1 - labels["emotion"]}
    assert score_shortcuts(cues, swapped, {"dev": np.arange(9, 10)}, np.arange(7),
                           [EMOTION])["speaker"]["dev"]["emotion"]["accuracy"]["mean"] == 1.0


def test_numbers_tell_what_lies_in_the_middle_and_the_unknown() -> None:
    random = np.random.default_rng(0)
    seconds = random.uniform(0, 3, 300)
    seconds[::10] = np.nan
    labels = {"emotion": np.where(np.isnan(seconds), 1, (np.abs(seconds - 1.5) < 0.7)).astype(np.int64),
              "arousal": np.where(np.isnan(seconds), 1, seconds / 3).astype(np.float32)}
    cues = made("-" * 300, duration=seconds, text=random.normal(size=300))
    found = score_shortcuts(cues, labels, {"dev": np.arange(200, 300)}, np.arange(200), [EMOTION, AROUSAL])
    assert list(found) == ["duration", "text", "together"]
    accuracy = {cue: scores["dev"]["emotion"]["accuracy"]["mean"] for cue, scores in found.items()}
    assert accuracy["duration"] > 0.9 and accuracy["together"] > 0.9 > 0.75 > accuracy["text"]
    assert found["duration"]["dev"]["arousal"]["ccc"]["mean"] > 0.95


def test_average_precision_is_by_how_sure_a_cue_is() -> None:
    speaking = Task("speaking", ("no", "yes"), positive="yes")
    labels = {"speaking": np.array([0, 0, 1, 0, 1, 1, 0, 1])}
    found = score_shortcuts(made("aaabbbab"), labels, {"dev": np.arange(6, 8)}, np.arange(6), [speaking])
    assert found["speaker"]["dev"]["speaking"]["average_precision"]["mean"] == 1.0


def test_folds_learn_anew_and_are_scored_together() -> None:
    cues, labels = made("aabb"), {"emotion": np.array([0, 0, 1, 1])}
    halves = [(np.array([0, 2]), np.array([1, 3])), (np.array([1, 3]), np.array([0, 2]))]
    assert score_fold_shortcuts(cues, labels, halves, [EMOTION])["speaker"]["test"]["emotion"]["accuracy"]["mean"] == 1
    people = [(np.array([0, 1]), np.array([2, 3])), (np.array([2, 3]), np.array([0, 1]))]
    assert score_fold_shortcuts(cues, labels, people, [EMOTION])["speaker"]["test"]["emotion"]["accuracy"]["mean"] == 0


def test_a_split_or_task_without_labels_is_left_out_and_one_class_is_learnt() -> None:
    labels = {"emotion": np.array([1, 1, 1, -1]), "mood": np.full(4, -1)}
    found = score_shortcuts(made("aabb", duration=[1, 2, 3, 4]), labels, {"dev": np.array([2]), "test": np.array([3])},
                            np.arange(2), [EMOTION, Task("mood", ("x", "y"))])
    assert found["duration"] == {"dev": {"emotion": found["speaker"]["dev"]["emotion"]}}
