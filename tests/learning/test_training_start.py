"""Training that starts from another network: its weights and units are taken over, what does not fit is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.speaker_runs import make_speaker_store

from pipeline.devices import torch_threads
from pipeline.errors import TrainingError, UsageError
from pipeline.joined import open_stores
from pipeline.learning.jobs import prepare
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import TrainingState
from pipeline.runs import Checkpoint, model_class, read_json
from pipeline.training import train

SHORT = TrainConfig(epochs=1, device="cpu", baselines=False, batch_size=4)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_speaker_store(tmp_path_factory.mktemp("tracks") / "tracks.h5")


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(store, model="active_speaker", config=SHORT, out=tmp_path_factory.mktemp("run") / "first")


def fresh(store: Path, folder: Path, config: TrainConfig) -> TrainingState:
    model_config = model_class("active_speaker").Config()
    job = prepare(folder, open_stores(store), "active_speaker", model_config, config)
    torch.manual_seed(7)
    return TrainingState.fresh(job, 7)


@pytest.mark.parametrize("place", ["", "seed0/best.pt"])
def test_a_run_or_its_file_is_where_training_starts(store: Path, run: Path, tmp_path: Path, place: str) -> None:
    state = fresh(store, tmp_path, TrainConfig(init=str(run / place), device="cpu"))
    learnt = Checkpoint.load(run / "seed0" / "best.pt").state
    assert all(torch.equal(values, learnt[name]) for name, values in state.network.state_dict().items())
    chance = fresh(store, tmp_path, TrainConfig(device="cpu")).network.state_dict()
    assert not torch.equal(chance["heads.for_speaking.weight"], learnt["heads.for_speaking.weight"])


def test_its_units_stay_and_the_run_tells_where_it_began(store: Path, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    before = Checkpoint.load(run / "seed0" / "best.pt")
    scaler = {name: {**part, "mean": part["mean"] + 1} for name, part in before.scaler.items()}
    Checkpoint(**{**{name: getattr(before, name) for name in before.__dataclass_fields__}, "scaler": scaler}).save(path)
    after = train(store, model="active_speaker", config=SHORT, settings={"init": str(path)}, out=tmp_path / "second")
    kept = Checkpoint.load(after / "seed0" / "best.pt").scaler
    assert torch.equal(kept["asd_audio"]["mean"], scaler["asd_audio"]["mean"])
    plan = read_json(after / "config.json")
    assert plan["start"]["path"] == str(path) and len(plan["start"]["digest"]) == 32
    assert f"training started from {path}" in plan["notes"]


def test_what_the_start_has_not_comes_from_chance_and_is_said(store: Path, run: Path, tmp_path: Path) -> None:
    before = Checkpoint.load(run / "seed0" / "best.pt")
    part = {name: values for name, values in before.state.items() if name.startswith("seen.")}
    path = tmp_path / "start.pt"
    Checkpoint(**{**{name: getattr(before, name) for name in before.__dataclass_fields__}, "state": part}).save(path)
    config = TrainConfig(init=str(tmp_path), device="cpu")
    model_config = model_class("active_speaker").Config()
    job = prepare(tmp_path / "run", open_stores(store), "active_speaker", model_config, config)
    assert "from chance: heads.for_speaking, heard.for_asd_audio, join.first" in job.notes[-1]
    assert job.start is not None and torch.equal(TrainingState.fresh(job, 0).network.state_dict()[
        "seen.for_asd_faces.compact.units.weight"], part["seen.for_asd_faces.compact.units.weight"])


def test_a_network_of_another_kind_is_refused_before_anything_is_written(store: Path, run: Path,
                                                                         tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has no weight of this model.* is of the model 'active_speaker' with .*"
                                            "variant=compact"):
        train(store, model="late", settings={"init": str(run)}, config=SHORT, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_layers_of_another_shape_are_named(store: Path, run: Path, tmp_path: Path) -> None:
    before = Checkpoint.load(run / "seed0" / "best.pt")
    state = {**before.state, "heads.for_speaking.weight": torch.zeros(7, 128)}
    Checkpoint(**{**{name: getattr(before, name) for name in before.__dataclass_fields__},
                  "state": state}).save(tmp_path / "start.pt")
    with pytest.raises(TrainingError, match="heads.for_speaking.weight 7×128, here 2×128"):
        train(store, model="active_speaker", settings={"init": str(tmp_path)}, config=SHORT, out=tmp_path / "second")


def test_a_start_that_is_not_there_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no .*nothing.pt"):
        train(store, model="active_speaker", settings={"init": str(tmp_path / "nothing.pt")}, config=SHORT,
              out=tmp_path / "run")
    with pytest.raises(UsageError, match="init: the network is used to the means"):
        train(store, model="active_speaker", settings={"init": "x", "normalise": "speaker"}, out=tmp_path / "run")
