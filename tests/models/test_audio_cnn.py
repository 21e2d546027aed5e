"""The net of the sound: what its parts promise, and that neither padding nor company nor training's chance leaks in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models._sound_augmentation import louder_or_softer, stretched, warped, with_gaps
from models.audio_cnn import AudioCnn, SpectrogramBranch, changes, halved, side_by_side, speech, trimmed
from pipeline import training
from pipeline.config import with_settings
from pipeline.joined import choose_inputs, open_stores
from pipeline.learning.train_config import TrainConfig
from tests.training_stores import make_store

INPUTS = {"audio_logmel": (12,), "audio_functionals": (30,)}
OUTPUTS = {"emotion": 8, "gender": 2}
STILL: dict[str, Any] = {"dropout": 0.0, "speed": 0.0, "throat": 0.0, "loudness": 0.0, "gap_bands": 0, "gap_rows": 0}
Sounds = tuple[dict[str, Tensor], dict[str, Tensor]]


def make_model(inputs: dict[str, tuple[int, ...]] | None = None, **settings: Any) -> AudioCnn:
    torch.manual_seed(0)
    return AudioCnn(AudioCnn.Config(width=8, hidden=16, **settings), inputs or INPUTS, OUTPUTS).eval()


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
        model = make_model(**STILL).train()
        torch.manual_seed(0)
        found = model(*padded(make_batch(), num))
        torch.autograd.backward(torch.stack([found[f"emotion/{name}"] for name in INPUTS]).square().sum())
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
    first = 0 if kept == "audio_logmel" else both.embedding_width - alone.embedding_width
    state = {name: values for name, values in both.state_dict().items() if name in alone.state_dict()}
    state |= {name: values[:, first:first + alone.embedding_width] for name, values in state.items()
              if "heads." in name and name.endswith("weight")}
    alone.load_state_dict(state)
    torch.testing.assert_close(alone.eval()(features, mask), both(features, lacking))


def test_what_tasks_are_decided_from_is_the_embedding() -> None:
    model, sounds = make_model(), make_batch()
    embedding = model.embed(*sounds)
    assert embedding.shape == (4, model.embedding_width) == (4, 4 * 12 + 6 * 8 + 16)
    torch.testing.assert_close(model.decide(embedding), model(*sounds))


def test_while_training_every_input_answers_by_itself_and_the_mean_teaches_none() -> None:
    model, (features, mask) = make_model(**STILL).train(), make_batch()
    found = model(features, mask)
    assert list(found) == ["emotion", "gender", *(f"{task}/{name}" for name in INPUTS for task in OUTPUTS)]
    for task in OUTPUTS:
        assert not found[task].requires_grad
        torch.testing.assert_close(found[task], (found[f"{task}/audio_logmel"] +
                                                 found[f"{task}/audio_functionals"]).detach() / 2)
    assert set(model.auxiliary_weights) == {name.split("/")[1] for name in found if "/" in name}
    torch.autograd.backward(found["emotion/audio_functionals"].square().sum())
    assert all(part.grad is not None for part in model.branches["for_audio_functionals"].parameters())
    assert all(part.grad is None or not part.grad.any() for part in model.branches["for_audio_logmel"].parameters())


def test_an_input_that_a_clip_lacks_learns_nothing_from_it() -> None:
    model, (features, mask) = make_model(**STILL).train(), make_batch()
    mask["audio_functionals"][1:] = False
    found = model(features, mask)
    torch.testing.assert_close(found["emotion/audio_functionals"][1:], found["emotion"][1:])
    torch.testing.assert_close(found["emotion/audio_logmel"][1:].detach(), found["emotion"][1:])
    slopes = torch.autograd.grad(found["emotion/audio_functionals"][1:].sum(), list(model.parameters()),
                                 allow_unused=True)
    assert not any(slope.any() for slope in slopes if slope is not None)


def test_the_average_of_its_weights_answers() -> None:
    model, sounds = make_model(average=0.0, **STILL).train(), make_batch()
    model(*sounds)
    for part in model.heads.parameters():                           # a step that the average has not seen
        torch.nn.init.zeros_(part)
    before = model.eval()(*sounds)["emotion"]
    assert before.std(0).min() > 1e-3
    model.train()(*sounds)
    assert model.eval()(*sounds)["emotion"].std(0).max() < 1e-6


def test_a_single_input_answers_for_the_task_itself() -> None:
    model, sounds = make_model({"audio_logmel": (12,)}).train(), make_batch()
    found = model(*sounds)
    assert list(found) == list(OUTPUTS) and found["emotion"].requires_grad and not model.auxiliary_weights


def test_units_side_by_side_are_shared_among_the_inputs_a_clip_has() -> None:
    units, has = [torch.ones(4, 2), torch.ones(4, 3)], torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]]).bool()
    assert side_by_side(units, has).tolist() == [[0.5] * 5, [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [0] * 5]


def test_chance_plays_a_part_in_training_only() -> None:
    model, sounds = make_model(dropout=0.0), make_batch()
    assert torch.equal(model(*sounds)["emotion"], model(*sounds)["emotion"])
    model.train()
    assert not torch.equal(model(*sounds)["emotion"], model(*sounds)["emotion"])


def test_silence_around_speech_has_hardly_a_say() -> None:
    rows = torch.randn(1, 40, 12, generator=torch.Generator().manual_seed(0)) * 0.1 + 1
    quiet = torch.cat([torch.full((1, 20, 12), -3.0), rows, torch.full((1, 20, 12), -3.0)], 1)
    sure = speech(quiet, torch.ones(1, 80, dtype=torch.bool))[0, :, 0]
    assert sure[20:60].min() > 0.9 and sure[:20].max() < 1e-3 and sure[60:].max() < 1e-3
    assert not speech(quiet, torch.zeros(1, 80, dtype=torch.bool)).any()


def test_the_average_spectrum_does_not_reach_the_convolutions() -> None:
    branch, (features, mask) = SpectrogramBranch(AudioCnn.Config(width=8), 12).eval(), make_batch()
    tinted = features["audio_logmel"] + torch.linspace(-1, 1, 12)           # as another microphone or throat would
    same, other = (branch(rows, mask["audio_logmel"]) for rows in (features["audio_logmel"], tinted))
    torch.testing.assert_close(same[:, 12:], other[:, 12:], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(same[:, :12], other[:, :12])


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
    model, (features, mask) = make_model(average=0.9).train(), make_batch(8)
    labels, optimiser = torch.arange(8), torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(50):
        optimiser.zero_grad()
        found = model(features, mask)
        torch.autograd.backward(torch.stack([F.cross_entropy(found[f"emotion/{name}"], labels)
                                             for name in INPUTS]).sum())
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
    ({"width": 3}, "width is at least 4 and hidden 1, found 3 and 16"), ({"speed": 1.0}, "speed is at least 0 and"),
    ({"average": 1.0}, "average is at least 0 and below 1, found 1.0"), ({"gap_rows": -1}, "are at least 0"),
    ({"pools": ("mean",)}, "leave pools empty")])
def test_wrong_settings_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        AudioCnn.Config(**{"hidden": 16, **settings})  # type: ignore[arg-type]
