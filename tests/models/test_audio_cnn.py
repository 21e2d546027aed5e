"""The net of the sound: what its parts promise, and that neither padding nor company nor training's chance leaks in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models._sound_augmentation import louder_or_softer, stretched, warped, with_gaps
from models.audio_cnn import AudioCnn, SpectrogramBranch, changes, halved, trimmed
from pipeline import training
from pipeline.config import with_settings
from pipeline.joined import choose_inputs, open_stores
from pipeline.learning.train_config import TrainConfig
from tests.training_stores import make_store

INPUTS = {"audio_logmel": (12,), "audio_functionals": (30,)}
OUTPUTS = {"emotion": 8, "gender": 2}
Sounds = tuple[dict[str, Tensor], dict[str, Tensor]]


def make_model(inputs: dict[str, tuple[int, ...]] | None = None, **settings: float) -> AudioCnn:
    torch.manual_seed(0)
    return AudioCnn(AudioCnn.Config(width=8, hidden=16, **settings), inputs or INPUTS, OUTPUTS).eval()  # type: ignore


def make_batch(num_clips: int = 4, steps: int = 60) -> Sounds:
    chance = torch.Generator().manual_seed(1)
    mask = {name: torch.ones(num_clips, steps if name == "audio_logmel" else 1, dtype=torch.bool) for name in INPUTS}
    mask["audio_logmel"] &= torch.arange(steps) < torch.tensor([[steps], [37], [5], [1]]).repeat(num_clips // 4, 1)
    return {name: torch.randn(*mask[name].shape, *row, generator=chance) for name, row in INPUTS.items()}, mask


def padded(sounds: Sounds, num: int) -> Sounds:
    """The same clips with rows of rubbish behind."""
    features, mask = sounds
    rubbish = {name: torch.where(mask[name].unsqueeze(2), values, torch.nan) for name, values in features.items()}
    return ({name: F.pad(values, (0, 0, 0, num), value=1e9) for name, values in rubbish.items()},
            {name: F.pad(part, (0, num)) for name, part in mask.items()})


@pytest.mark.parametrize("num", [1, 2, 3, 50])
def test_padding_of_long_and_short_clips_changes_nothing(num: int) -> None:
    model, sounds = make_model(), make_batch()
    for task, values in model(*padded(sounds, num)).items():
        torch.testing.assert_close(values, model(*sounds)[task])


def test_padding_changes_nothing_that_training_learns_either() -> None:
    states = []
    for num in (0, 7):
        model = make_model(dropout=0.0, lone=0.0, speed=0.0, throat=0.0, loudness=0.0, gap_bands=0, gap_rows=0).train()
        torch.manual_seed(0)
        torch.autograd.backward(model(*padded(make_batch(), num))["emotion"].square().sum())
        states.append([*model.buffers(), *(parameter.grad for parameter in model.parameters()
                                           if parameter.grad is not None)])
    for one, other in zip(*states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_every_clip_answers_the_same_alone_as_in_company() -> None:
    model, (features, mask) = make_model(), make_batch()
    together = model(features, mask)["emotion"]
    for place in range(4):
        alone = {name: values[place:place + 1] for name, values in features.items()}
        real = {name: part[place:place + 1] for name, part in mask.items()}
        torch.testing.assert_close(model(alone, real)["emotion"], together[place:place + 1])


@pytest.mark.parametrize("kept", list(INPUTS))
def test_a_clip_that_lacks_an_input_is_answered_by_the_other_as_if_alone(kept: str) -> None:
    both, (features, mask) = make_model(), make_batch()
    lacking = {name: part if name == kept else torch.zeros_like(part) for name, part in mask.items()}
    alone = make_model({kept: INPUTS[kept]})
    place = list(INPUTS).index(kept)
    state = {name: values for name, values in both.state_dict().items() if name in alone.state_dict()}
    state |= {name: values[:, 16 * place:16 * (place + 1)] for name, values in state.items()
              if name.startswith("heads") and name.endswith("weight")}
    alone.load_state_dict(state)
    torch.testing.assert_close(alone.eval()(features, mask), both(features, lacking))


def test_what_tasks_are_decided_from_is_the_embedding() -> None:
    model, sounds = make_model(), make_batch()
    embedding = model.embed(*sounds)
    assert embedding.shape == (4, model.embedding_width) == (4, 32)
    torch.testing.assert_close(model.decide(embedding), model(*sounds))


def test_training_lets_answers_hang_on_one_input_and_evaluation_on_all() -> None:
    model, has = make_model(lone=1.0).train(), torch.tensor([[True, True]] * 200 + [[False, True], [False, False]])
    shares = model._shares(has)
    assert set(shares[:200].flatten().tolist()) == {0.0, 1.0} and 60 < shares[:200, 0].sum() < 140
    assert shares[200:].tolist() == [[0, 1], [0, 0]]
    assert (shares[:200].sum(1) == 1).all()
    assert model.eval()._shares(has)[0].tolist() == [0.5, 0.5]
    assert make_model(lone=0.0).train()._shares(has)[0].tolist() == [0.5, 0.5]


def test_chance_plays_a_part_in_training_only() -> None:
    model, sounds = make_model(dropout=0.0, lone=0.0), make_batch()
    assert torch.equal(model(*sounds)["emotion"], model(*sounds)["emotion"])
    model.train()
    assert not torch.equal(model(*sounds)["emotion"], model(*sounds)["emotion"])


def test_silence_around_speech_has_hardly_a_say() -> None:
    branch = SpectrogramBranch(AudioCnn.Config(width=8, hidden=16), 12).eval()
    rows = torch.randn(1, 40, 12) * 0.1 + 1
    real = torch.ones(1, 80, dtype=torch.bool)
    quiet = torch.cat([torch.full((1, 20, 12), -3.0), rows, torch.full((1, 20, 12), -3.0)], 1)
    sure = branch.speech(quiet, real)[0, :, 0]
    assert sure[20:60].min() > 0.9 and sure[:20].max() < 1e-3 and sure[60:].max() < 1e-3


def test_a_louder_clip_answers_otherwise() -> None:
    model, (features, mask) = make_model({"audio_logmel": (12,)}), make_batch()
    louder = {"audio_logmel": features["audio_logmel"] + 1}
    assert not torch.allclose(model(louder, mask)["emotion"], model(features, mask)["emotion"])


def test_rows_are_halved_by_the_real_ones() -> None:
    rows = torch.tensor([[[1.0], [3.0], [5.0]], [[7.0], [torch.nan], [torch.nan]]])
    values, real = halved(rows, torch.tensor([[True, True, True], [True, False, False]]))
    assert values[..., 0].tolist() == [[2, 5], [7, 0]] and real.tolist() == [[True, True], [True, False]]


def test_changes_are_those_between_real_neighbours() -> None:
    rows = torch.tensor([0.0, 1.0, 4.0, 9.0, 16.0]).view(1, 5, 1)
    assert changes(rows, torch.tensor([[True] * 4 + [False]]))[0, :, 0].tolist() == [0, 4, 8, 0, 0]
    assert not changes(rows[:, :2], torch.ones(1, 2, dtype=torch.bool)).any()


def test_pace_stretches_a_ramp_and_moves_nothing_from_outside_in() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(100.0).view(1, 100, 1).repeat(50, 1, 1)
    real = (torch.arange(100) < 80).repeat(50, 1)
    rows, kept = stretched(torch.where(real.unsqueeze(2), ramp, 1e9), real, 0.2)
    pace = rows[:, 1, 0]
    assert 0.8 <= pace.min() < 0.9 and 1.1 < pace.max() <= 1.2 and rows.max() <= 79
    torch.testing.assert_close(kept.sum(1).float(), 80 / pace, atol=1.0, rtol=0)
    expected = torch.arange(rows.shape[1]) * pace.unsqueeze(1)
    torch.testing.assert_close(torch.where(kept, rows[..., 0], 0.0), torch.where(kept, expected.clamp(max=79), 0.0))
    same, untouched = stretched(ramp, real, 0.0)
    assert untouched.shape == (50, 80) and torch.equal(same, ramp[:, :80])


def test_a_clip_without_rows_keeps_none_when_stretched() -> None:
    rows, kept = stretched(torch.ones(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool), 0.1)
    assert not rows.any() and not kept.any() and rows.shape[1] >= 1


def test_a_throat_moves_a_peak_in_proportion_and_louder_moves_all() -> None:
    torch.manual_seed(0)
    rows = torch.zeros(40, 3, 64)
    rows[:, :, 30] = 1
    peaks = warped(rows, 0.2).argmax(2)
    assert peaks.min() >= 24 and peaks.max() <= 38 and len(set(peaks[:, 0].tolist())) > 5
    torch.testing.assert_close(warped(rows, 0.0), rows)
    moved = louder_or_softer(rows, 0.5) - rows
    torch.testing.assert_close(moved, moved[:, :1, :1].expand_as(moved))
    assert 0.3 < moved[:, 0, 0].std() < 0.7


def test_gaps_are_runs_within_the_clip() -> None:
    torch.manual_seed(0)
    rows, real = torch.ones(60, 50, 20), (torch.arange(50) < 30).repeat(60, 1)
    gaps = with_gaps(rows, real, bands=4, steps=6) == 0
    bands, steps = gaps.all(1).sum(1), gaps.all(2).sum(1)
    assert bands.max() == 4 and steps.max() == 6 and bands.min() == 0 and steps.min() == 0
    assert not gaps.all(2)[:, 36:].any()
    assert torch.equal(with_gaps(rows, real, bands=0, steps=0), rows)


def test_silence_around_speech_is_cut_off_and_quiet_rows_within_stay() -> None:
    level = torch.tensor([-3.0] * 20 + [1.0] * 4 + [-3.0] * 3 + [1.0] * 4 + [-3.0] * 20)
    rows, real = level.view(1, -1, 1).repeat(2, 1, 6), torch.ones(2, 51, dtype=torch.bool)
    real[1] = False
    found, kept = trimmed(rows, real)
    assert found[0, :, 0].tolist() == level[15:36].tolist() and kept[0].all() and not kept[1].any()
    assert not found[1].any()


def test_it_overfits_eight_clips() -> None:
    model, (features, mask) = make_model().train(), make_batch(8)
    labels, optimiser = torch.arange(8), torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(features, mask)["emotion"], labels))
        optimiser.step()
    assert (model.eval()(features, mask)["emotion"].argmax(1) == labels).all()


def test_it_asks_for_its_inputs_and_its_way_of_training(tmp_path: Path) -> None:
    stores = open_stores(make_store(tmp_path / "s.h5"))
    assert choose_inputs(stores, None, AudioCnn.preferred_inputs) == ("audio_logmel",)
    own = with_settings(TrainConfig(), {name: str(value) for name, value in AudioCnn.training_defaults.items()},
                        owner="training")
    assert training.settings_for("audio_cnn", {}, TrainConfig())[1] == own
    assert training.settings_for("audio_cnn", {"lr": "0.5"}, TrainConfig(epochs=7))[1].lr == 0.5
    assert training.settings_for("audio_cnn", {"lr": "0.5"}, TrainConfig(epochs=7))[1].epochs == 7
    assert training.settings_for("early", {}, TrainConfig())[1] == TrainConfig()


@pytest.mark.parametrize(("settings", "reason"), [
    ({"width": 0}, "width and hidden are at least 1, found 0 and 16"), ({"speed": 1.0}, "speed is at least 0 and"),
    ({"lone": 1.5}, "lone is a share from 0 to 1, found 1.5"), ({"gap_rows": -1}, "are at least 0"),
    ({"pools": ("mean",)}, "leave pools empty")])
def test_wrong_settings_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        AudioCnn.Config(**{"hidden": 16, **settings})  # type: ignore[arg-type]
