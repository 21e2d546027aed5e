"""Cross-modal attention: what each attention promises, on either kind of picture rows, and its losses' embedding."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import Model
from models.cross_attention import CrossAttention, MapAttention, TimeAttention, parts, side_of
from models.early import Early
from models.intermediate import Intermediate
from models.late import Late

INPUTS = {"face_r3d101": (32, 9), "audio_resnet18": (12,)}
OUTPUTS = {"emotion": 8}
CONFIG = CrossAttention.Config(width=16)


def make_model(inputs: dict[str, tuple[int, ...]] | None = None,
               config: CrossAttention.Config = CONFIG) -> CrossAttention:
    torch.manual_seed(0)
    return CrossAttention(config, inputs or INPUTS, OUTPUTS).eval()


def make_batch(num_clips: int = 4, steps: int = 6) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    chance = torch.Generator().manual_seed(1)
    features = {name: torch.randn(num_clips, steps, *row, generator=chance) for name, row in INPUTS.items()}
    return features, {name: torch.ones(num_clips, steps, dtype=torch.bool) for name in INPUTS}


def test_it_has_the_papers_shapes_for_the_papers_features() -> None:
    model = CrossAttention(CrossAttention.Config(), {"face_r3d101": (2048, 16), "audio_resnet18": (512,)}, OUTPUTS)
    assert model.embedding_width == 6 * 1024 and model.heads["for_emotion"].weight.shape == (8, 6 * 1024)
    assert model.maps["for_face_r3d101"].space[0].in_features == 2048


def test_attentions_are_read_out_with_their_shapes_and_sum_to_one() -> None:
    model, (features, mask) = make_model(), make_batch()
    found = model.attention(features, mask)
    assert {name: tuple(values.shape) for name, values in found.items()} == {
        "space/face_r3d101": (4, 6, 9), "channels/face_r3d101": (4, 6, 32), "time/seen": (4, 6), "time/heard": (4, 6),
        "heard_by_seen": (4, 6, 6), "seen_by_heard": (4, 6, 6)}
    for name in ("space/face_r3d101", "time/seen", "time/heard", "heard_by_seen", "seen_by_heard"):
        torch.testing.assert_close(found[name].sum(-1), torch.ones_like(found[name].sum(-1)))
    assert 0 < found["channels/face_r3d101"].min() and found["channels/face_r3d101"].max() < 1
    assert not any(values.requires_grad for values in found.values())


def test_both_directions_share_one_correlation() -> None:
    found = make_model().attention(*make_batch())
    logits = found["heard_by_seen"].log() - found["seen_by_heard"].mT.log()
    rows, columns = logits.mean(2, keepdim=True), logits.mean(1, keepdim=True)
    torch.testing.assert_close(logits, rows + columns - logits.mean((1, 2), keepdim=True), atol=1e-4, rtol=0)


@pytest.mark.parametrize("missing", INPUTS)
def test_a_missing_side_is_neither_attended_nor_read(missing: str) -> None:
    model, (features, mask) = make_model(), make_batch()
    mask[missing] = torch.zeros_like(mask[missing])
    found, side = model.attention(features, mask), side_of(missing)
    other = {"seen": "heard", "heard": "seen"}[side]
    assert not found[f"time/{side}"].any() and found[f"time/{other}"].all()
    assert not found[f"{side}_by_{other}"].any()
    units = model.embed(features, mask).view(4, 6, 2, 16)
    assert not units[:, :, ("seen", "heard").index(side)].any()
    assert units[:, :, ("seen", "heard").index(other)].any()


def test_padding_shows_in_no_attention() -> None:
    model, (features, mask) = make_model(), make_batch()
    longer = {name: torch.cat([values, torch.full_like(values[:, :2], torch.nan)], 1)
              for name, values in features.items()}
    padded = model.attention(longer, {name: F.pad(part, (0, 2)) for name, part in mask.items()})
    for name, values in model.attention(features, mask).items():
        kept = padded[name][:, :6] if "/" in name else padded[name]
        torch.testing.assert_close(kept, values)
        assert "face" not in name or not padded[name][:, 6:].any()


@pytest.mark.parametrize("inputs", [
    {"face_r3d18": (10,), "audio_resnet18": (12,)}, {"video_r3d101": (32, 4), "audio_logmel": (8, 5)},
    {"face_r3d101@256": (32, 64), "video_r3d18": (6,), "audio_functionals": (88,), "text_bert": (7,)},
    {"audio_resnet18": (12,)}, {"face_r3d101": (32, 9)}])
def test_any_features_of_pictures_meet_any_of_sound(inputs: dict[str, tuple[int, ...]]) -> None:
    model, lengths = make_model(inputs), iter((3, 6, 1, 9))
    features = {name: torch.randn(2, next(lengths), *row) for name, row in inputs.items()}
    mask = {name: torch.ones(values.shape[:2], dtype=torch.bool) for name, values in features.items()}
    assert model(features, mask)["emotion"].shape == (2, 8)
    assert {name for name in model.attention(features, mask) if name.startswith("space")} == {
        f"space/{name}" for name, row in inputs.items() if len(row) == 2 and not name.startswith("audio")}


def test_a_bright_place_of_a_map_can_draw_the_attention_and_pooled_rows_skip_it() -> None:
    attention = MapAttention(16)
    optimiser = torch.optim.Adam(attention.parameters(), lr=0.05)
    maps = torch.randn(8, 2, 16, 9, generator=torch.Generator().manual_seed(0))
    maps[:, :, :, 4] += 2
    for _ in range(60):
        optimiser.zero_grad()
        (-attention(maps)[1][:, :, 4].log().mean()).backward()
        optimiser.step()
    rows, space, channels = attention(maps)
    assert space[:, :, 4].mean() > 0.8
    torch.testing.assert_close(rows, (maps * space.unsqueeze(2)).sum(3) * channels)
    assert "space/face_r3d101" not in make_model({"face_r3d101": (32,)}).attention(
        {"face_r3d101": torch.zeros(1, 6, 32)}, {"face_r3d101": torch.ones(1, 6, dtype=torch.bool)})


def test_equal_shares_of_the_steps_change_nothing() -> None:
    time = TimeAttention(4)
    steps = torch.ones(2, 6, 4)
    weighed, shares = time(steps, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(weighed[0], steps[0])
    assert not weighed[1].any() and not shares[1].any()


@pytest.mark.parametrize(("mask", "expected"), [
    ([1, 1, 1], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]), ([1, 0, 0], [[1, 0, 0]] * 3), ([0, 0, 0], [[0, 0, 0]] * 3),
    ([0, 1, 1], [[0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]])])
def test_rows_become_steps_by_the_means_of_equal_parts(mask: list[int], expected: list[list[float]]) -> None:
    assert parts(torch.tensor([mask], dtype=torch.bool), 3)[0].tolist() == expected


def test_parts_of_many_rows_are_those_of_adaptive_pooling() -> None:
    rows = torch.randn(1, 17, 5)
    expected = F.adaptive_avg_pool1d(rows.mT, 6).mT
    torch.testing.assert_close(parts(torch.ones(1, 17, dtype=torch.bool), 6) @ rows, expected)


def test_it_overfits_eight_clips() -> None:
    model, (features, mask) = make_model().train(), make_batch(8)
    labels, optimiser = torch.arange(8), torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(80):
        optimiser.zero_grad()
        F.cross_entropy(model(features, mask)["emotion"], labels).backward()
        optimiser.step()
    assert (model.eval()(features, mask)["emotion"].argmax(1) == labels).all()


@pytest.mark.parametrize("kind", [Early, Intermediate, CrossAttention])
def test_what_tasks_are_decided_from_is_the_embedding(kind: type[Model]) -> None:
    model, (features, mask) = kind(kind.Config(), INPUTS, OUTPUTS).eval(), make_batch()
    embedding = model.embed(features, mask)
    assert embedding.shape == (4, model.embedding_width)
    torch.testing.assert_close(model.decide(embedding), model(features, mask))


def test_late_fusion_has_no_embedding() -> None:
    model = Late(Late.Config(), INPUTS, OUTPUTS)
    assert model.embedding_width == 0
    with pytest.raises(NotImplementedError):
        model.embed(*make_batch())
    with pytest.raises(NotImplementedError):
        model.decide(torch.zeros(1, 1))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="width and steps are at least 1, found 512 and 0"):
        CrossAttention.Config(steps=0)
    with pytest.raises(ValueError, match="dropout is at least 0 and below 1, found 1.0"):
        CrossAttention.Config(dropout=1.0)
