"""Rows of all layers of an encoder, from the store to a trained mix: their axis survives, and the mix is read out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models._layers import Mixed
from models.cross_attention import CrossAttention
from pipeline.batch import Batches, as_rows
from pipeline.clip import Clip, Corpus, Task
from pipeline.evaluation import evaluate
from pipeline.joined import Rows, is_layered, open_stores
from pipeline.learning.train_config import TrainConfig
from pipeline.media import FeatureSequence
from pipeline.plugins import names, plugin_class
from pipeline.runs import Checkpoint
from pipeline.storage.packing import FeatureData, write_store
from pipeline.training import train

CLASSES = ("happy", "sad")
LAYERS, UNITS, TELLING = 5, 6, 3
CONFIG = TrainConfig(device="cpu", epochs=12, patience=12, lr=4e-3)


def layers_of(place: int) -> FeatureSequence:
    """One row of all layers, of which the third alone tells the class."""
    values = np.random.default_rng(place).normal(size=(1, LAYERS, UNITS)).astype(np.float32)
    values[0, TELLING, place % 2] += 3
    return FeatureSequence(values, np.array([[0, 1]], np.float32))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder's layers, and maps of the same two axes that tell nothing."""
    clips = [Clip(f"{split}/{place}", split=split, group=f"{split}{place}", speaker=f"s{place % 3}", text="",
                  labels={"emotion": CLASSES[place % 2]})
             for split, number in (("train", 128), ("dev", 24), ("test", 24)) for place in range(number)]
    maps = {clip.clip_id: FeatureSequence(np.random.default_rng(place + 5000).normal(size=(2, 4, 9)).astype(np.float32),
                                          np.full((2, 2), np.nan, np.float32), "none")
            for place, clip in enumerate(clips)}
    layers = {clip.clip_id: layers_of(place) for place, clip in enumerate(clips)}
    features = {
        "audio_encoder": FeatureData("audio", (LAYERS, UNITS), {
            "extractor": "audio_encoder", "settings": {"layers": "all"}}, layers),
        "face_r3d101": FeatureData("face", (4, 9), {
            "extractor": "face_r3d101", "settings": {"rows": "maps"}}, maps)}
    return write_store(tmp_path_factory.mktemp("layers") / "a.h5", corpus=Corpus("toy", (Task("emotion", CLASSES),)),
                       clips=clips, features=features)


@pytest.mark.parametrize(("model", "settings"), [("early", {}), ("cross_attention", {"width": "16"})])
def test_the_layer_that_tells_the_class_gets_the_weight_and_the_run_says_so(
        store: Path, tmp_path: Path, model: str, settings: dict[str, str]) -> None:
    run = train(store, model=model, config=CONFIG, settings={**settings, "baselines": "false"}, out=tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    shares = metrics["layer_weights"]["0"]["audio_encoder"]
    assert list(metrics["layer_weights"]["0"]) == ["audio_encoder"] and len(shares) == LAYERS
    assert int(np.argmax(shares)) == TELLING and shares[TELLING] > 0.4 and sum(shares) == pytest.approx(1, abs=1e-4)
    assert metrics["test"]["emotion"]["accuracy"]["mean"] > 0.8
    checkpoint = Checkpoint.load(run / "seed0" / "best.pt")
    network = checkpoint.network()
    assert isinstance(network, Mixed)
    assert network.layer_weights()["audio_encoder"].tolist() == pytest.approx(shares, abs=1e-5)
    assert not isinstance(network.model, CrossAttention) or list(network.model.maps) == ["for_face_r3d101"]
    assert evaluate(run, store, split="test", device="cpu")["test"] == metrics["test"]


@pytest.mark.parametrize("settings", [{"pools": "mean,std"}, {"normalise": "speaker"}])
def test_pools_scalers_and_baselines_keep_the_layers(store: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    run = train(store, model="early", config=CONFIG, settings={**settings, "epochs": "2"}, out=tmp_path / "run")
    checkpoint = Checkpoint.load(run / "seed0" / "best.pt")
    width = UNITS * (2 if "pools" in settings else 1)
    assert checkpoint.row_shapes["audio_encoder"] == (LAYERS, width)
    assert json.loads((run / "metrics.json").read_text())["baselines"]["logistic_regression"]["test"]["emotion"][
        "accuracy"]["mean"] > 0.8


def test_statistics_of_rows_of_layers_stand_side_by_side_in_each_layer() -> None:
    values = np.random.default_rng(0).normal(size=(5, 3, 2)).astype(np.float32)
    rows = Rows(values, np.array([0, 2, 5]), np.array([2, 3, 0]), layered=True)
    found = as_rows(rows, ("mean", "std"))
    assert found.row_shape == (3, 4) and found.layered and found.lengths.tolist() == [1, 1, 0]
    np.testing.assert_allclose(found.values[1], np.concatenate([values[2:].mean(0), values[2:].std(0)], 1), atol=1e-6)
    flat = as_rows(Rows(values, rows.starts, rows.lengths), ("mean", "std"))
    assert flat.row_shape == (12,) and not flat.layered
    batches = Batches({"a": rows}, {}, np.array(["x", "y", "z"]), pools=("mean",))
    batches.use_scaler(batches.fit_scaler(np.arange(3)))
    batch = batches.take(np.array([2, 0]))
    assert batches.layered == ("a",) and batch.features["a"].shape == (2, 1, 3, 2)
    assert batch.mask["a"].tolist() == [[False], [True]] and not batch.features["a"][0].any()


@pytest.mark.parametrize(("shape", "settings", "expected"), [
    ([13, 768], {"layers": "all"}, True), ([2, 768], {"layers": "6,9"}, True), ([768], {"layers": "last"}, False),
    ([2048, 16], {"rows": "maps"}, False), ([4, 2], None, False)])
def test_rows_of_layers_are_told_by_what_the_extractor_says_of_itself(shape: list[int], settings: object,
                                                                      expected: bool) -> None:
    assert is_layered({"row_shape": shape, "recipe": {"settings": settings}}) is expected


def test_every_extractor_with_a_setting_of_layers_has_them_on_its_first_axis() -> None:
    """What :func:`is_layered` goes by; other extractors with rows of two axes have no setting of that name."""
    found = set()
    for name in names("extractor"):
        kind = plugin_class("extractor", name)
        if "layers" in kind.Config.__dataclass_fields__:  # type: ignore[attr-defined]
            extractor = kind(kind.Config(weights="random"))  # type: ignore[attr-defined]
            if len(extractor.row_shape) == 2:
                assert extractor.row_shape[0] == extractor.architecture["num_hidden_layers"] + 1
                found.add(name)
    assert {"audio_encoder", "face_encoder"} <= found


def test_rows_that_stand_for_clips_keep_their_layers(store: Path) -> None:
    stores = open_stores(store)
    assert stores.rows("audio_encoder").layered and not stores.rows("face_r3d101").layered
    assert stores.rows("audio_encoder").of(np.array([1])).layered


def test_a_checkpoint_from_before_the_mix_is_told_to_be_trained_again(store: Path, tmp_path: Path) -> None:
    from pipeline.errors import TrainingError
    run = train(store, model="early", config=CONFIG, settings={"epochs": "1", "baselines": "false"}, out=tmp_path / "a")
    path = run / "seed0" / "best.pt"
    values = torch.load(path, weights_only=True)
    values["state"] = {name.removeprefix("model."): value for name, value in values["state"].items()}
    torch.save(values, path)
    with pytest.raises(TrainingError, match="does not fit the model 'early' .*train again"):
        Checkpoint.load(path).network()
