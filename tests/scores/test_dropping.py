"""Inputs taken away from a finished run: scores of the same clips, nothing learnt anew."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.training_stores import make_actors, make_protocol, make_store

from pipeline.errors import StoreError, UsageError
from pipeline.joined import open_stores
from pipeline.learning.train_config import TrainConfig
from pipeline.scores.dropping import Without, scored_split, scores_without
from pipeline.training import train

CONFIG = TrainConfig(device="cpu", epochs=3, baselines=False)
INPUTS = ("text_bert", "audio_logmel")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("dropping") / "a.h5", clips=make_actors(4, 24),
                      protocols=[make_protocol(4, 2)])


@pytest.mark.parametrize("settings", [{}, {"folds": "actor-folds"}, {"folds": "actor-folds", "normalise": "speaker"}])
@pytest.mark.parametrize("model", ["intermediate", "cross_attention"])
def test_with_nothing_taken_away_the_scores_are_those_of_the_run(store: Path, tmp_path: Path, model: str,
                                                                 settings: dict[str, str]) -> None:
    """Folds are pooled as the run pools them; dev that was carved is found again."""
    small = {"width": "8"} if model == "cross_attention" else {}
    run = train(store, model=model, config=CONFIG, inputs=INPUTS, out=tmp_path / "run",
                settings={"seeds": "2", "train_split": "all", **small} if not settings else {**settings, **small})
    metrics = json.loads((run / "metrics.json").read_text())
    split = scored_split(run)
    assert split == ("test" if settings else "dev")
    found = scores_without(run, open_stores(store), [], device="cpu")
    assert json.loads(json.dumps(found)) == metrics[split]
    without = scores_without(run, open_stores(store), ["text_bert"], device="cpu")
    assert without["emotion"] != found["emotion"] and without.keys() == found.keys()


def test_a_network_never_sees_what_is_taken_away(store: Path, tmp_path: Path) -> None:
    """With all taken away every clip is answered alike, by the base rates."""
    run = train(store, model="late", config=CONFIG, inputs=INPUTS, out=tmp_path / "run",
                settings={"train_split": "all"})
    found = scores_without(run, open_stores(store), INPUTS, device="cpu")
    assert found["emotion"]["uar"]["mean"] == pytest.approx(1 / 3) and found["arousal"]["pearson"]["mean"] == 0


def test_clips_of_stores_without_a_feature_lack_its_rows_alone(store: Path) -> None:
    stores = open_stores(store)
    without = Without(stores, ["text_bert"])
    assert not without.rows("text_bert").lengths.any()
    np.testing.assert_array_equal(without.rows("audio_logmel").lengths, stores.rows("audio_logmel").lengths)
    assert stores.rows("text_bert").lengths.any() and len(without) == len(stores)


def test_what_cannot_be_taken_away_is_refused(store: Path, tmp_path: Path) -> None:
    run = train(store, model="early", config=CONFIG, inputs=INPUTS, out=tmp_path / "run",
                settings={"train_split": "all"})
    with pytest.raises(UsageError, match="run has no input 'face_r3d18', only text_bert, audio_logmel"):
        scores_without(run, open_stores(store), ["face_r3d18"])
    fewer = make_store(tmp_path / "b.h5", clips=make_actors(1, 24))
    with pytest.raises(StoreError, match="b.h5 lacks .* of the clips that .*run was scored on, all/clip"):
        scores_without(run, open_stores(fewer), ["text_bert"], device="cpu")
    rows = train(store, model="early", config=CONFIG, inputs=INPUTS, out=tmp_path / "rows",
                 settings={"train_split": "all", "level": "frame"})
    with pytest.raises(UsageError, match="rows answers for rows of clips, which a clip without an input has not"):
        scores_without(rows, open_stores(store), ["text_bert"])
