"""The active-speaker networks: each clip for itself, either side enough, learning, augmentation, sizes as published."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models import Context, count_parameters
from models._masked import ClipNorm, MaskedNorm, backwards
from models._pictures import PLACES_AT_ONCE, TimeConvolution
from models._speaker_augmentation import LEAST_SHIFT, as_rows, levels, loudness, moved, out_of_step, overheard
from models.active_speaker import ActiveSpeaker, late_answers
from pipeline.devices import torch_threads

SIDE = 16
INPUTS = {"asd_faces": (SIDE, SIDE), "asd_audio": (4, 13)}
VARIANTS = "compact", "light", "talknet"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small convolutions on more threads than there are free cores wait for each other."""
    with torch_threads(1):
        yield


def make_model(variant: str, inputs: Mapping[str, tuple[int, ...]] = INPUTS, **settings: Any) -> ActiveSpeaker:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config: Any = ActiveSpeaker.Config(**{"variant": variant, **settings})
        model = ActiveSpeaker(config, inputs, {"speaking": 2})
        for name, values in model.named_buffers():  # as if it had learnt: no two channels alike
            if name.endswith("running_mean"):
                values.normal_(0, 0.2)
            elif name.endswith("running_var"):
                values.uniform_(0.5, 2)
    return model.eval()


def make_batch(lengths: tuple[int, ...] = (7, 1, 12), *, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Clips of these lengths, with nonsense where no row is."""
    chance = torch.Generator().manual_seed(seed)
    steps, size = torch.arange(max(lengths)), len(lengths)
    real = steps < torch.tensor(lengths).unsqueeze(1)
    features = {"asd_faces": torch.rand(size, max(lengths), SIDE, SIDE, generator=chance),
                "asd_audio": torch.randn(size, max(lengths), 4, 13, generator=chance)}
    for values in features.values():
        values[~real] = torch.nan
    return features, {name: real.clone() for name in features}


def alone(features: Mapping[str, Tensor], place: int, length: int) -> dict[str, Tensor]:
    return {name: values[place:place + 1, :length] for name, values in features.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_clip_is_answered_as_if_it_stood_alone(variant: str) -> None:
    lengths = 7, 12, 12, 1
    model, (features, mask) = make_model(variant), make_batch(lengths)
    mask["asd_faces"][0, 3:5], mask["asd_audio"][0, 2], mask["asd_audio"][2, :4] = False, False, False
    with torch.no_grad():
        together = model(features, mask)["speaking"]
        assert together.shape == (4, 12, 2)
        for place, length in enumerate(lengths):
            one = model(alone(features, place, length), alone(mask, place, length))["speaking"]
            torch.testing.assert_close(one[0], together[place, :length], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_batches_in_training_know_no_padding_either(variant: str) -> None:
    features, mask = make_batch((5, 29))
    longer = {name: torch.cat([values, torch.full_like(values[:, :4], torch.nan)], 1)
              for name, values in features.items()}
    longer_mask = {name: torch.cat([real, torch.zeros(2, 4, dtype=torch.bool)], 1) for name, real in mask.items()}
    found = []
    for batch in ((features, mask), (longer, longer_mask)):
        torch.manual_seed(0)
        found.append(make_model(variant, augment=False, overheard=0.0, dropout=0.0).train()(*batch))
    assert set(found[0]) == {"speaking", "speaking/picture", "speaking/audio", "speaking/late"}
    for name, values in found[0].items():
        torch.testing.assert_close(found[1][name][0, :5], values[0, :5], atol=2e-4, rtol=1e-3)
        torch.testing.assert_close(found[1][name][1, :29], values[1], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("missing", list(INPUTS))
def test_a_clip_may_lack_either_side(variant: str, missing: str) -> None:
    model, (features, mask) = make_model(variant), make_batch()
    without = {**mask, missing: torch.zeros_like(mask[missing])}
    with torch.no_grad():
        found, full = model(features, without)["speaking"], model(features, mask)["speaking"]
        same = model({**features, missing: torch.full_like(features[missing], torch.nan)}, without)["speaking"]
    assert found[0, :7].isfinite().all() and not torch.allclose(found[0, :7], full[0, :7])
    torch.testing.assert_close(same[0, :7], found[0, :7])
    nothing = {name: torch.zeros_like(real) for name, real in mask.items()}
    outputs = model.train()(features, nothing)
    torch.stack([values.square().sum() for values in outputs.values()]).sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kept", list(INPUTS))
def test_one_side_is_enough_to_train_on(variant: str, kept: str) -> None:
    features, mask = make_batch()
    model = make_model(variant, {kept: INPUTS[kept]}).train()
    outputs = model({kept: features[kept]}, {kept: mask[kept]})
    assert set(outputs) == {"speaking"} and not model.auxiliary_weights
    outputs["speaking"][mask[kept]].square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_heads_of_one_side_answer_in_training_only_and_every_part_learns(variant: str) -> None:
    features, mask = make_batch()
    model = make_model(variant).train()
    outputs = model(features, mask)
    assert model.auxiliary_weights == {"picture": 0.4, "audio": 0.4, "late": 1.0}
    outputs["speaking"].square().sum().backward(retain_graph=True)
    for side in (model.seen, model.heard):
        assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in side.parameters()
                   if parameter.ndim > 1)
    (outputs["speaking/picture"].square().sum() + outputs["speaking/audio"].square().sum()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert set(model.eval()(features, mask)) == {"speaking"}


def test_the_networks_are_as_large_as_published() -> None:
    inputs = {"asd_faces": (112, 112), "asd_audio": (4, 13)}
    compact, light, talknet = (sum(count_parameters(make_model(variant, inputs)).values()) for variant in VARIANTS)
    assert 0.9e6 < compact < 1.0e6
    assert 1.00e6 < light < 1.03e6, "Light-ASD: 1.0 M"
    assert 15.70e6 < talknet < 15.75e6, "TalkNet: 15.7 M"


@pytest.mark.parametrize("variant", VARIANTS)
def test_pictures_of_a_long_clip_are_looked_at_piece_by_piece(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (features, mask) = make_model(variant), make_batch((PLACES_AT_ONCE + 40, 30))
    mask["asd_faces"][0, PLACES_AT_ONCE - 20:PLACES_AT_ONCE + 20] = False
    mask["asd_faces"][0, :3] = False
    with torch.no_grad():
        pieces = model(features, mask)["speaking"]
        monkeypatch.setattr("models._pictures.PLACES_AT_ONCE", 10 ** 9)
        whole = model(features, mask)["speaking"]
    torch.testing.assert_close(pieces[0], whole[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pieces[1, :30], whole[1, :30], atol=1e-5, rtol=1e-4)


def test_a_picture_says_nothing_of_frames_far_away_before_the_sides_meet() -> None:
    model, (features, mask) = make_model("light"), make_batch((40,))
    changed = features["asd_faces"].clone()
    changed[0, 20] = 1 - changed[0, 20]
    with torch.no_grad():
        part = model.seen["for_asd_faces"]
        differ = (part(changed, mask["asd_faces"]) - part(features["asd_faces"], mask["asd_faces"])).abs().sum(2)[0]
    assert (differ > 1e-6).nonzero()[:, 0].tolist() == list(range(14, 27)), "three blocks of two frames to either side"


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_learns_whose_mouth_goes_with_the_sound(variant: str) -> None:
    """Frames count as speaking where picture and sound are both bright and loud: neither side alone tells."""
    chance = np.random.default_rng(0)
    seen, heard = (torch.from_numpy(np.repeat(chance.integers(0, 2, (4, 3)), 5, axis=1)).float() for _ in range(2))
    labels = (seen * heard).long()                                          # (4, 15)
    features = {"asd_faces": 0.4 + 0.2 * seen[:, :, None, None] * torch.ones(SIDE, SIDE)
                + 0.02 * torch.rand(4, 15, SIDE, SIDE), "asd_audio": heard[:, :, None, None] * torch.ones(4, 13)
                + 0.1 * torch.randn(4, 15, 4, 13)}
    mask = {name: torch.ones(4, 15, dtype=torch.bool) for name in features}
    model = make_model(variant, augment=False, overheard=0.0).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(model(features, mask)["speaking"].flatten(0, 1), labels.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.15
    with torch.no_grad():  # of the forty normalisations of talknet the statistics need more steps than a test has time
        found = (model.eval() if variant == "light" else model)(features, mask)["speaking"].argmax(2)
    assert (found == labels).float().mean() > 0.95


def test_rows_of_encoders_are_taken_on_either_side() -> None:
    model = make_model("light", {"face_asd": (24,), "audio_resnet18": (10,)})
    features = {"face_asd": torch.randn(2, 5, 24), "audio_resnet18": torch.randn(2, 5, 10)}
    mask = {name: torch.tensor([[True] * 5, [True] * 2 + [False] * 3]) for name in features}
    assert model(features, mask)["speaking"].shape == (2, 5, 2)


def test_smaller_pictures_are_means_of_larger_ones() -> None:
    small, large = make_model("light"), make_model("light", {**INPUTS, "asd_faces": (32, 32)}, picture_size=SIDE)
    features, mask = make_batch()
    larger = features["asd_faces"].repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(large({**features, "asd_faces": larger}, mask)["speaking"][0, :7],
                                   small(features, mask)["speaking"][0, :7])


@pytest.mark.parametrize(("settings", "message"), [
    ({"variant": "heavy"}, "compact, light or talknet, found 'heavy'"), ({"pools": ("mean",)}, "pools stay empty"),
    ({"picture_size": 8}, "at least 16, or 0, found 8"), ({"dropout": 1.0}, "in \\[0, 1\\), .*found 1.0 and 0.5"),
    ({"overheard": -0.1}, "overheard in \\[0, 1\\], found"), ({"out_of_step": -1.0}, "at least 0, found -1.0")])
def test_wrong_settings_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(", .*", ".*")):
        ActiveSpeaker.Config(**settings)


def test_normalisation_counts_real_steps_only() -> None:
    norm = MaskedNorm(1)
    values = torch.tensor([[[1.0, 3.0, torch.nan]], [[5.0, torch.inf, torch.inf]]])
    real = torch.tensor([[True, True, False], [True, False, False]])
    found = norm(values, real)
    scale = math.sqrt(8 / 3)
    torch.testing.assert_close(found, torch.tensor([[[-2 / scale, 0.0, 0.0]], [[2 / scale, 0.0, 0.0]]]), atol=1e-4,
                               rtol=0)
    single = norm(torch.tensor([[[7.0]]]), torch.tensor([[True]]))
    assert single.isfinite().all(), "a single number has no deviation"
    clip = ClipNorm(2)(torch.tensor([[[1.0, 3.0, 9.0], [1.0, 3.0, 9.0]]]), torch.tensor([[True, True, False]]))
    torch.testing.assert_close(clip, torch.tensor([[[-1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]]))


def test_rows_are_turned_within_their_clip() -> None:
    rows = torch.arange(8.0).view(2, 4, 1)
    assert backwards(rows, torch.tensor([4, 2]))[..., 0].tolist() == [[3, 2, 1, 0], [5, 4, 6, 7]]


def test_convolutions_over_time_do_not_reach_into_the_next_clip() -> None:
    layer = TimeConvolution(1, 1, 5)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    real = torch.tensor([True, True, False, False, True, False, True])
    found = layer(torch.ones(4, 1, 1, 1), real)
    assert found.flatten().tolist() == [2, 2, 2, 2]


def test_pictures_are_moved_as_whole_clips_and_one_in_four_stays() -> None:
    torch.manual_seed(1)
    clips = torch.arange(200).repeat_interleave(2)
    picture = torch.rand(SIDE, SIDE)
    found = moved(picture.expand(400, SIDE, SIDE), clips, 200)
    assert torch.equal(found[::2], found[1::2]), "both pictures of a clip are changed alike"
    as_it_was, mirrored = ((found[::2] - other).abs().amax((1, 2)) < 1e-4 for other in (picture, picture.flip(1)))
    assert 30 < int(as_it_was.sum()) < 70 and 30 < int(mirrored.sum()) < 70


def test_cepstra_become_bands_and_come_back() -> None:
    rows = torch.randn(3, 5, 4, 13, dtype=torch.float64)
    bands, energy = levels(rows)
    torch.testing.assert_close(bands.logsumexp(-1), energy)
    torch.testing.assert_close(as_rows(bands, energy, 13), rows)
    decibels = torch.randn(3, 5, 4, 64, dtype=torch.float64)
    torch.testing.assert_close(as_rows(*levels(decibels), 64), decibels)


def test_the_other_voice_is_within_five_decibels_and_heard_in_as_many_clips_as_asked() -> None:
    torch.manual_seed(0)
    rows = torch.randn(40, 6, 4, 64)                                        # decibels
    real = torch.ones(40, 6, dtype=torch.bool)
    real[::2, 4:] = False
    found = overheard(rows, real, 1.0)
    assert torch.equal(found[~real], rows[~real])
    before, after = (loudness(levels(part)[1], real) / math.log(10) * 10 for part in (rows, found))
    gained = after - before                                                 # dB: 10·log10(1 + 10^(−snr / 10))
    assert gained.min() > 1.0 and gained.max() < 6.5 and (found[real] >= rows[real]).all()
    assert overheard(rows, real, 0.0) is not None and torch.equal(overheard(rows, real, 0.0), rows)
    changed = (overheard(rows, real, 0.5) != rows).flatten(1).any(1)
    assert 10 < int(changed.sum()) < 30
    assert torch.equal(overheard(rows[:1], real[:1], 1.0), rows[:1]), "nobody else is there"


def test_other_voices_are_added_in_the_units_of_the_sound() -> None:
    model = make_model("light", overheard=1.0)
    sound: Any = model.heard["for_asd_audio"]
    model.use_units({"asd_audio": {"mean": torch.full((4, 13), 3.0), "sd": torch.full((4, 13), 2.0)},
                     "asd_faces": {"mean": torch.zeros(SIDE, SIDE), "sd": torch.ones(SIDE, SIDE)}})
    assert (sound.mean == 3).all() and (sound.sd == 2).all()
    assert "heard.for_asd_audio.mean" not in model.state_dict()
    assert sound.units_known and not make_model("light").heard["for_asd_audio"].units_known
    seen: list[Tensor] = []
    sound.encoder.register_forward_pre_hook(lambda part, given: seen.append(given[0]))
    features, mask = make_batch((5, 5))
    torch.manual_seed(0)
    sound.train()(features["asd_audio"], mask["asd_audio"])
    torch.manual_seed(0)
    torch.testing.assert_close(seen[0] * 2 + 3, overheard(features["asd_audio"] * 2 + 3, mask["asd_audio"], 1.0))
    sound.eval()(features["asd_audio"], mask["asd_audio"])
    assert torch.equal(seen[1], features["asd_audio"])


def test_sound_out_of_step_is_of_another_time_of_the_same_clip() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([2 * LEAST_SHIFT - 1, 2 * LEAST_SHIFT, 50, 0])
    real = torch.arange(60) < lengths.unsqueeze(1)
    shifts = set()
    for _ in range(200):
        index, is_moved = out_of_step(real)
        assert is_moved.tolist() == [False, True, True, False]
        for clip, length in enumerate(lengths.tolist()):
            assert sorted(index[clip, :length].tolist()) == list(range(length)), "each row once"
            assert index[clip, length:].tolist() == list(range(length, 60)), "what is no row stays"
        assert index[0].tolist() == list(range(60)), "too short to be moved so far"
        shifts.add(int(index[2, 0]))
    assert shifts == set(range(LEAST_SHIFT, 50 - LEAST_SHIFT + 1)), "in either direction, the clip being a ring"


def test_of_sound_out_of_step_is_learnt_where_somebody_speaks_and_of_the_other_answer_nothing() -> None:
    found = torch.tensor([[[-3.0, 3.0], [3.0, -3.0]]]).repeat(2, 1, 1).requires_grad_()     # speaking, then not
    late = torch.zeros(2, 2, 2, requires_grad=True)
    answers = late_answers({"speaking": found, "mood": torch.zeros(2, 2, 3)},
                           {"speaking": late, "mood": torch.zeros(2, 2, 3)}, torch.tensor([True, False]))
    assert set(answers) == {"speaking/late"}, "of tasks of two classes"
    labels = torch.tensor([[1, 0], [1, 0]])
    torch.nn.functional.cross_entropy(answers["speaking/late"].flatten(0, 1), labels.flatten()).backward()
    assert found.grad is None and late.grad is not None
    learnt = late.grad[..., 1] - late.grad[..., 0]
    assert learnt[0, 0] > 0.02 and abs(learnt[0, 1]) < 0.1 * learnt[0, 0], "the odds fall where somebody speaks"
    assert (learnt[1] == 0).all(), "this clip's sound was not moved"


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_a_weight_no_sound_is_out_of_step(variant: str) -> None:
    features, mask = make_batch((25, 25))
    assert set(make_model(variant, out_of_step=0.0).train()(features, mask)) == {
        "speaking", "speaking/picture", "speaking/audio"}


def scene(dialogue: list[int], starts: list[float], lengths: tuple[int, ...], num_rows: int) -> Context:
    """Tracks at 25 rows a second."""
    number, steps = torch.arange(len(dialogue)), torch.arange(num_rows)
    times = torch.tensor(starts).unsqueeze(1) + (steps + 0.5) / 25
    return Context(torch.tensor(dialogue), number, -torch.ones_like(number), torch.tensor(starts), torch.where(
        steps < torch.tensor(lengths).unsqueeze(1), times, torch.inf))


@pytest.mark.parametrize("variant", VARIANTS)
def test_faces_in_view_together_see_one_another_and_nobody_else(variant: str) -> None:
    lengths = 12, 9, 12, 8
    model, (features, mask) = make_model(variant, context_faces=True), make_batch(lengths)
    where = scene([5, 5, 3, 5], [0.0, 0.12, 0.0, 8.0], lengths, 12)         # the last is of that video, but later
    with torch.no_grad():
        together = model(features, mask, where)["speaking"]
        apart = model(features, mask)["speaking"]
        pair = [0, 1]
        two = model({name: values[pair] for name, values in features.items()},
                    {name: real[pair] for name, real in mask.items()}, scene([1, 1], [0.0, 0.12], lengths[:2], 12))
        torch.testing.assert_close(two["speaking"][0], together[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(two["speaking"][1, :9], together[1, :9], atol=1e-5, rtol=1e-4)
        differ = (together - apart).abs().amax(2) > 1e-5
    assert differ[0].tolist() == [False] * 3 + [True] * 9, "from the moment when the other comes into view"
    assert differ[1].tolist() == [True] * 9 + [False] * 3 and not differ[2:].any(), "alone: as without the others"
    later = {name: torch.cat([values, torch.full_like(values[:, :5], torch.nan)], 1)
             for name, values in features.items()}
    with torch.no_grad():
        padded = model(later, {name: torch.cat([real, torch.zeros(4, 5, dtype=torch.bool)], 1)
                               for name, real in mask.items()}, scene([5, 5, 3, 5], [0.0, 0.12, 0.0, 8.0], lengths, 17))
    for clip, length in enumerate(lengths):
        torch.testing.assert_close(padded["speaking"][clip, :length], together[clip, :length], atol=1e-5, rtol=1e-4)


def test_another_face_changes_the_answer_at_its_own_time() -> None:
    model, (features, mask) = make_model("compact", context_faces=True), make_batch((40, 40))
    where = scene([0, 0], [0.0, 0.8], (40, 40), 40)
    changed = {**features, "asd_faces": features["asd_faces"].clone()}
    changed["asd_faces"][1, :] = 1 - changed["asd_faces"][1, :]
    with torch.no_grad():
        moved_rows = ((model(changed, mask, where)["speaking"] - model(features, mask, where)["speaking"])
                      .abs().amax(2)[0] > 1e-6)
    assert not moved_rows[:20].any() and moved_rows[20:].all()
    assert model.context and not make_model("compact").context


def test_every_part_that_looks_around_learns() -> None:
    model, (features, mask) = make_model("compact", context_faces=True).train(), make_batch((30, 30, 30))
    where = scene([0, 0, 0], [0.0, 0.2, 0.4], (30, 30, 30), 30)
    torch.stack([values.square().sum() for values in model(features, mask, where).values()]).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
