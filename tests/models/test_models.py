"""The contract of every model: padding never matters, any input may be absent, shapes are as promised."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from models import Model, count_parameters
from models._pooling import masked_mean
from models.late import Late
from pipeline import plugins

INPUTS = {"text_bert": (6,), "audio_logmel@w0.5": (4, 2), "type": (5,)}
OUTPUTS = {"emotion": 7, "items": 1, "a.b": 3}
MODELS = plugins.names("model")
ONCE_A_CLIP = [name for name in MODELS if getattr(plugins.plugin_class("model", name), "level") == "clip"]


def make_model(name: str, inputs: dict[str, tuple[int, ...]] = INPUTS) -> Model:
    torch.manual_seed(0)
    kind = plugins.plugin_class("model", name)
    model = kind(kind.Config(), inputs, OUTPUTS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def make_batch(num_clips: int = 5, steps: int = 4) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    chance = torch.Generator().manual_seed(1)
    features = {name: torch.randn(num_clips, steps, *row, generator=chance) for name, row in INPUTS.items()}
    lengths = torch.randint(1, steps + 1, (num_clips, 1), generator=chance)
    return features, {name: torch.arange(steps) < lengths for name in INPUTS}


@pytest.mark.parametrize("name", ONCE_A_CLIP)
def test_every_task_gets_outputs_of_its_width(name: str) -> None:
    outputs = make_model(name)(*make_batch())
    assert {task: tuple(values.shape) for task, values in outputs.items()} == {"emotion": (5, 7), "items": (5, 1),
                                                                               "a.b": (5, 3)}


@pytest.mark.parametrize("name", ONCE_A_CLIP)
def test_padding_of_any_length_and_content_changes_nothing(name: str) -> None:
    model, (features, mask) = make_model(name), make_batch()
    padded = {key: torch.cat([torch.where(mask[key].view(5, 4, *[1] * (values.ndim - 2)), values, torch.nan),
                              torch.full((5, 3, *INPUTS[key]), 1e9)], dim=1) for key, values in features.items()}
    longer = {key: torch.cat([part, torch.zeros(5, 3, dtype=torch.bool)], dim=1) for key, part in mask.items()}
    before, after = model(features, mask), model(padded, longer)
    for task in OUTPUTS:
        torch.testing.assert_close(after[task], before[task])


@pytest.mark.parametrize("name", MODELS)
def test_a_clip_answers_the_same_alone_as_in_company(name: str) -> None:
    model, (features, mask) = make_model(name), make_batch()
    together = model(features, mask)
    alone = model(*({key: values[2:3] for key, values in part.items()} for part in (features, mask)))
    for task in OUTPUTS:
        torch.testing.assert_close(alone[task], together[task][2:3])


@pytest.mark.parametrize("name", MODELS)
def test_what_an_absent_input_holds_is_never_seen(name: str) -> None:
    model, (features, mask) = make_model(name), make_batch()
    for missing in INPUTS:
        without = {**mask, missing: torch.zeros_like(mask[missing])}
        other = {**features, missing: torch.full_like(features[missing], torch.nan)}
        for task, values in model(features, without).items():
            torch.testing.assert_close(model(other, without)[task], values)
            assert not torch.allclose(values, model(features, mask)[task]), f"{missing} has no say in {task}"


@pytest.mark.parametrize("name", MODELS)
def test_a_clip_without_any_input_gets_finite_outputs_and_gradients(name: str) -> None:
    model, (features, mask) = make_model(name).train(), make_batch()
    outputs = model(features, {key: torch.zeros_like(part) for key, part in mask.items()})
    sum(values.square().sum() for values in outputs.values()).backward()
    assert all(values.isfinite().all() for values in outputs.values())
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", ONCE_A_CLIP)
@pytest.mark.parametrize("kept", list(INPUTS))
def test_one_input_is_enough(name: str, kept: str) -> None:
    features, mask = make_batch()
    outputs = make_model(name, {kept: INPUTS[kept]})({kept: features[kept]}, {kept: mask[kept]})
    assert outputs["emotion"].shape == (5, 7)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns(name: str) -> None:
    model = make_model(name)
    sum(values.square().sum() for values in model(*make_batch()).values()).backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", MODELS)
def test_counts_of_parameters_add_up(name: str) -> None:
    model = make_model(name)
    assert sum(count_parameters(model).values()) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_settings_explain_themselves_and_clash_with_none_of_training(name: str) -> None:
    from pipeline.learning.train_config import TrainConfig
    fields = dataclasses.fields(plugins.plugin_class("model", name).Config)
    assert all(field.metadata.get("help") for field in fields)
    assert not {field.name for field in fields} & {field.name for field in dataclasses.fields(TrainConfig)}


def test_intermediate_has_the_widths_of_the_tri_modal_seed() -> None:
    kind = plugins.plugin_class("model", "intermediate")
    model = kind(kind.Config(), {"text": (768,), "audio": (512,), "face": (512,)}, {"emotion": 7, "sentiment": 3})
    assert count_parameters(model) == {
        "branches.for_text": 768 * 128 + 128, "branches.for_audio": 512 * 128 + 128,
        "branches.for_face": 512 * 128 + 128, "fusion": 384 * 256 + 256, "heads.for_emotion": 256 * 7 + 7,
        "heads.for_sentiment": 256 * 3 + 3}


def test_the_say_of_late_fusion_goes_to_the_inputs_that_are_there() -> None:
    model = Late(Late.Config(), {"a": (2,), "b": (2,)}, {"emotion": 3})
    with torch.no_grad():
        model.weights["for_emotion"].copy_(torch.tensor([0.0, torch.log(torch.tensor(3.0))]))
    shares = model.shares(torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]))["emotion"]
    torch.testing.assert_close(shares, torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.0, 0.0]]))


def test_the_masked_mean_counts_real_rows_only() -> None:
    values = torch.tensor([[[1.0], [3.0], [torch.nan]], [[torch.inf]] * 3])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(values, mask).tolist() == [[2.0], [0.0]]


@pytest.mark.parametrize("name", MODELS)
def test_wrong_settings_are_refused(name: str) -> None:
    kind = plugins.plugin_class("model", name)
    with pytest.raises(ValueError, match="pools are mean and std, found median"):
        kind.Config(pools=("median",))


def test_pooled_models_need_a_pool_and_a_dropout_below_one() -> None:
    with pytest.raises(ValueError, match="at least one pool"):
        Late.Config(pools=())
    with pytest.raises(ValueError, match="below 1, found 1.0"):
        Late.Config(dropout=1.0)


def test_a_parameter_of_the_model_itself_is_counted_too() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 3)
            self.bias = nn.Parameter(torch.zeros(5))
    assert count_parameters(Own()) == {"inner": 9, "own": 5}
