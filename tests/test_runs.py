"""Files of a run: whole or absent, safe to load."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from models.early import Early
from pipeline.clip import Task
from pipeline.errors import TrainingError, UsageError
from pipeline.runs import (Checkpoint, append_history, count_read, model_class, read_history, read_json, save_tensors,
                           seed_folders, write_history, write_json)

TASKS = (Task("emotion", ("calm", "glad")), Task("arousal", value_range=(0.0, 1.0)))


def make_checkpoint(model: str = "early") -> Checkpoint:
    torch.manual_seed(0)
    network = Early(Early.Config(hidden=8), {"text": (4,)}, {"emotion": 2, "arousal": 1})
    inputs = {"text": {"modality": "text", "row_shape": [4], "fingerprint": "f", "recipe": {"layer": -1}}}
    scaler = {"text": {"mean": torch.arange(4.0), "sd": torch.ones(4)}}
    return Checkpoint(model=model, model_config={"hidden": 8, "pools": ["mean"], "dropout": 0.5}, inputs=inputs,
                      row_shapes={"text": (4,)}, scaler=scaler, tasks=TASKS, value_scale={"arousal": (0.5, 0.2)},
                      training={"lr": 0.1}, seed=3, epoch=2, score=0.4, state=network.state_dict())


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    before = make_checkpoint()
    before.save(tmp_path / "best.pt")
    after = Checkpoint.load(tmp_path / "best.pt")
    for name in before.__dataclass_fields__:
        if name not in ("state", "scaler"):
            assert getattr(after, name) == getattr(before, name), name
    assert torch.equal(after.scaler["text"]["mean"], torch.arange(4.0))
    chance = torch.get_rng_state()
    network = after.network()
    assert torch.equal(torch.get_rng_state(), chance)
    assert not network.training and network.config.pools == ("mean",)
    assert all(torch.equal(value, before.state[name]) for name, value in network.state_dict().items())


def test_a_checkpoint_that_runs_code_is_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "broken in"),)
    torch.save({"format": 1, "state": Evil()}, tmp_path / "best.pt")
    with pytest.raises(TrainingError, match="damaged or holds more than numbers and names"):
        Checkpoint.load(tmp_path / "best.pt")
    assert not (tmp_path / "broken in").exists()


def test_checkpoints_that_are_absent_cut_or_foreign_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no .*best.pt"):
        Checkpoint.load(tmp_path / "best.pt")
    make_checkpoint().save(tmp_path / "best.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "best.pt").read_bytes()[:1000])
    with pytest.raises(TrainingError, match="cut.pt is damaged"):
        Checkpoint.load(tmp_path / "cut.pt")
    save_tensors(tmp_path / "other.pt", {"format": 99})
    with pytest.raises(TrainingError, match="not a checkpoint of format 1"):
        Checkpoint.load(tmp_path / "other.pt")
    make_checkpoint("gone").save(tmp_path / "gone.pt")
    with pytest.raises(UsageError, match="no model named 'gone'"):
        Checkpoint.load(tmp_path / "gone.pt").network()
    with pytest.raises(UsageError, match="no model named 'earli'; did you mean 'early'"):
        model_class("earli")


def test_writing_leaves_no_other_file_behind(tmp_path: Path) -> None:
    make_checkpoint().save(tmp_path / "seed0" / "best.pt")
    write_json(tmp_path / "metrics.json", {"a": (1, 2)})
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["best.pt", "metrics.json"]
    assert read_json(tmp_path / "metrics.json") == {"a": [1, 2]}
    with pytest.raises(TrainingError, match="config.json cannot be read"):
        read_json(tmp_path / "config.json")


def test_history_is_lines_and_a_torn_last_one_is_left_out(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []
    write_history(tmp_path, [{"epoch": 1}])
    append_history(tmp_path, {"epoch": 2})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 3, "dev": {"emotion": {')
    assert read_history(tmp_path) == [{"epoch": 1}, {"epoch": 2}]


def test_seeds_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    for seed in (10, 9, 2):
        make_checkpoint().save(tmp_path / f"seed{seed}" / "best.pt")
    (tmp_path / "seed3").mkdir()
    assert [folder.name for folder in seed_folders(tmp_path)] == ["seed2", "seed9", "seed10"]
    with pytest.raises(TrainingError, match="holds no trained network"):
        seed_folders(tmp_path / "seed3")


def test_reads_of_test_add_up_and_a_file_that_cannot_be_written_is_not_counted(tmp_path: Path) -> None:
    stores = [tmp_path / "a.h5", tmp_path / "b.h5"]
    assert count_read(stores[:1], split="test", run=tmp_path, by="train") == {str(stores[0]): 1}
    assert count_read(stores, split="test", run=tmp_path, by="evaluate") == {str(stores[0]): 2, str(stores[1]): 1}
    (tmp_path / "c.h5.reads.jsonl").touch()
    (tmp_path / "c.h5.reads.jsonl").chmod(0o444)
    if not os.access(tmp_path / "c.h5.reads.jsonl", os.W_OK):
        assert count_read([tmp_path / "c.h5"], split="test", run=tmp_path, by="train") == {str(tmp_path / "c.h5"): None}
