"""Seeds that train together learn what each learns by itself, stop by themselves, and carry on where they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training_stores import make_store
from torch.func import functional_call, stack_module_state, vmap

from models._dropout import Dropout
from models.intermediate import Intermediate
from pipeline import plugins
from pipeline.errors import TrainingError
from pipeline.joined import open_stores
from pipeline.learning.jobs import prepare
from pipeline.learning.stacked_training import MOST_STACKS, stacked_batch, why_apart
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Quiet
from pipeline.runs import Checkpoint, model_class, read_history
from pipeline.training import resume, train

SHORT = TrainConfig(epochs=5, seeds=5, device="cpu", baselines=False)
STACKED = [name for name in plugins.names("model") if model_class(name).stackable]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "made.h5")


def by_seed(run: Path) -> dict[int, list[dict[str, Any]]]:
    lines: dict[int, list[dict[str, Any]]] = {}
    for line in read_history(run):
        lines.setdefault(line["seed"], []).append({name: value for name, value in line.items() if name != "seconds"})
    return lines


def assert_alike(one: Any, other: Any) -> None:
    """Equal values in equal places, numbers to rounding."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_alike(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_alike(first, second)
    else:
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


class StopAfter(Quiet):
    """Stands for a user who presses Ctrl-C."""

    def __init__(self, *, seed: int, epoch: int) -> None:
        self.at = seed, epoch

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        if (seed, epoch) == self.at:
            raise KeyboardInterrupt


def test_the_models_on_pooled_rows_train_together() -> None:
    assert {"early", "intermediate", "late"} <= set(STACKED) and "dialogue" not in STACKED


@pytest.mark.parametrize("model", STACKED)
@pytest.mark.parametrize("dropout", ["0", "0.5"])
def test_together_each_seed_learns_what_it_learns_by_itself(store: Path, tmp_path: Path, model: str,
                                                            dropout: str) -> None:
    runs = [train(store, model=model, config=SHORT, settings={"dropout": dropout, "plateau": "0", "together": together},
                  out=tmp_path / together) for together in ("yes", "no")]
    together, apart = (by_seed(run) for run in runs)
    assert_alike(together, apart)
    assert len({lines[-1]["lr"] for lines in apart.values()}) > 1, "the seeds should have rates of their own"
    for seed in range(5):
        first, second = (Checkpoint.load(run / f"seed{seed}" / "best.pt") for run in runs)
        assert first.epoch == second.epoch
        for name, values in first.state.items():
            torch.testing.assert_close(values, second.state[name], rtol=1e-3, atol=1e-5)


def test_a_mix_of_layers_trains_together_too(tmp_path: Path) -> None:
    job = prepare(tmp_path / "run", open_stores(make_store(tmp_path / "a.h5", sizes={"train": 30, "dev": 12})),
                  "intermediate", Intermediate.Config(), SHORT)
    assert why_apart(job) == ""


def test_who_stops_early_leaves_the_others_alone(store: Path, tmp_path: Path) -> None:
    settings = {"epochs": "40", "patience": "2", "seeds": "4"}
    runs = [train(store, config=SHORT, settings={**settings, "together": together}, out=tmp_path / together)
            for together in ("yes", "no")]
    together, apart = (by_seed(run) for run in runs)
    lengths = {seed: len(lines) for seed, lines in together.items()}
    assert lengths == {seed: len(lines) for seed, lines in apart.items()} and len(set(lengths.values())) > 1
    assert max(lengths.values()) < 40
    assert_alike(together, apart)


@pytest.mark.parametrize("at", [(0, 2), (2, 3), (2, 5)])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(store: Path, tmp_path: Path, at: tuple[int, int]) -> None:
    settings = {"seeds": "3", "plateau": "0"}
    whole = train(store, config=SHORT, settings=settings, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(store, config=SHORT, settings=settings, out=tmp_path / "cut", progress=StopAfter(seed=at[0], epoch=at[1]))
    cut = resume(tmp_path / "cut")
    assert by_seed(cut) == by_seed(whole)
    assert (cut / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()


def test_seeds_that_a_kill_left_at_different_epochs_catch_up(store: Path, tmp_path: Path) -> None:
    whole = train(store, config=SHORT, out=tmp_path / "whole")
    for seed, epoch in ((0, 2), (1, 4)):
        with pytest.raises(KeyboardInterrupt):
            train(store, config=SHORT, out=tmp_path / f"cut{epoch}", progress=StopAfter(seed=0, epoch=epoch))
    for name in ("best.pt", "last.pt"):
        (tmp_path / "cut4" / "seed1" / name).replace(tmp_path / "cut2" / "seed1" / name)
    ahead = [line for line in read_history(tmp_path / "cut4") if line["seed"] == 1 and line["epoch"] > 2]
    with (tmp_path / "cut2" / "history.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in ahead)
    assert_alike(by_seed(resume(tmp_path / "cut2")), by_seed(whole))


def test_they_leave_the_same_files_and_chance_alone(store: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run = train(store, config=SHORT, settings={"seeds": "2"}, out=tmp_path / "run")
    assert torch.equal(before, torch.get_rng_state())
    for folder in (run / "seed0", run / "seed1"):
        assert {path.name for path in folder.glob("*.pt")} == {"best.pt", "last.pt"}
        assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert all(line["seconds"] > 0 for line in read_history(run))
    alone = torch.load(run / "seed0" / "last.pt", weights_only=True)
    assert sum(values.numel() for values in alone["network"].values()) == sum(
        values.untyped_storage().nbytes() // 4 for values in alone["network"].values())


def test_a_run_says_why_its_seeds_train_one_after_the_other(store: Path, tmp_path: Path) -> None:
    def notes(name: str, model: str, **settings: str) -> list[str]:
        run = train(store, model=model, settings={"epochs": "1", "seeds": "2", "baselines": "no", "device": "cpu",
                                                  **settings}, out=tmp_path / name)
        found: list[str] = json.loads((run / "metrics.json").read_text())["notes"]
        return [note for note in found if "one after the other" in note]

    assert notes("a", "dialogue") == [
        "seeds are trained one after the other: dialogue cannot stack its networks"]
    assert notes("b", "intermediate", mixup="0.2") == [
        "seeds are trained one after the other: mixup and metric_loss are not stacked"]
    assert notes("c", "intermediate") == notes("d", "intermediate", together="no") == []
    assert notes("e", "dialogue", seeds="1") == []


def test_a_loss_that_is_no_number_stops_the_run(store: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the loss is nan after epoch 1; lower the learning rate"):
        train(store, config=SHORT, settings={"lr": "1e30", "gradient_clip": "1e30"}, out=tmp_path / "run")


def test_each_network_gets_its_own_clips(store: Path, tmp_path: Path) -> None:
    job = prepare(tmp_path / "run", open_stores(store), "intermediate", Intermediate.Config(), SHORT)
    places = [np.array([3, 0, 5]), np.array([1, 3, 2])]
    batch = stacked_batch(job, places)
    for network, own in enumerate(places):
        alone = job.batches.take(own)
        for name in job.inputs:
            assert torch.equal(batch.features[name][network], alone.features[name])
            assert torch.equal(batch.mask[name][network], alone.mask[name])
        assert torch.equal(batch.labels["emotion"][network], alone.labels["emotion"])


def test_stacked_dropout_drops_what_each_would_drop_alone() -> None:
    networks = [Dropout(0.3) for _ in range(2 * MOST_STACKS)]
    values = torch.ones(len(networks), 7, 11, requires_grad=True)
    alone = []
    for seed, network in enumerate(networks):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            alone.append(network(values[seed]))
    networks[0].chances = [torch.Generator().manual_seed(seed) for seed in range(len(networks))]
    parameters, _ = stack_module_state(list(networks))
    together = vmap(lambda part: functional_call(networks[0], parameters, (part,)))(values)
    assert torch.equal(together, torch.stack(alone))
    (gradient,) = torch.autograd.grad(together.sum(), values)
    assert torch.equal(gradient, together.detach())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_dropout_drops_its_share_and_keeps_the_mean(share: float) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = Dropout(share)(torch.ones(500, 801))
    assert float((dropped == 0).float().mean()) == pytest.approx(share, abs=0.005)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.01)
    assert len(dropped.unique()) == 2
    assert torch.equal(Dropout(share).eval()(dropped), dropped)


def test_a_state_of_another_version_is_refused_with_advice(store: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(store, config=SHORT, out=tmp_path / "run", progress=StopAfter(seed=0, epoch=1))
    last = tmp_path / "run" / "seed1" / "last.pt"
    values = torch.load(last, weights_only=True)
    torch.save({**values, "optimiser": {"state": {}, "param_groups": []}}, last)
    with pytest.raises(TrainingError, match=r"does not fit the run \(KeyError\).*this seed begins anew"):
        resume(tmp_path / "run")
