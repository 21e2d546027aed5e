"""Hidden states of small vision encoders made on the spot on crops of a real face, against transformers' own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

from pipeline.errors import UsageError, WeightsError
from pipeline.extractors.face_encoder import FaceEncoder
from pipeline.media import FeatureSequence
from tests.makers import make_speech_encoder, make_vision_encoder

from .conftest import Build

KINDS: dict[str, dict[str, Any]] = {"vit": {}, "deit": {}, "dinov2": {}, "beit": {}, "data2vec-vision": {},
                                    "dinov2_with_registers": {"num_register_tokens": 3}}


def extractor(folder: Path | str, **settings: Any) -> FaceEncoder:
    return FaceEncoder(FaceEncoder.Config(model=str(folder), **{"dtype": "float32", **settings}))


def encode(encoder: FaceEncoder, build_media: Build, **what: Any) -> FeatureSequence:
    found, = encoder.extract([build_media(encoder.needs, **what)])
    return found


def own(folder: Path, crops: np.ndarray) -> list[torch.Tensor]:
    """transformers' own hidden states (B, T, D) of each layer, with its own preprocessing of the same crops."""
    inputs = AutoImageProcessor.from_pretrained(folder)([Image.fromarray(crop) for crop in crops], return_tensors="pt")
    with torch.inference_mode():
        output = AutoModel.from_pretrained(folder).eval()(**inputs, output_hidden_states=True)
    return [*output.hidden_states[:-1], output.last_hidden_state]


def edited(folder: Path, copy: Path, name: str = "preprocessor_config.json", **entries: Any) -> Path:
    """A copy of a model's folder with entries of one of its files changed; None takes one out."""
    shutil.copytree(folder, copy)
    found = json.loads((copy / name).read_text()) | entries
    (copy / name).write_text(json.dumps({key: value for key, value in found.items() if value is not None}))
    return copy


def with_processor(folder: Path) -> Path:
    """Name the class that transformers reads the preprocessor's file with."""
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_processor_type": "ViTImageProcessor"}))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_transformers_own_of_every_kind(kind: str, tmp_path: Path, build_media: Build) -> None:
    folder = with_processor(make_vision_encoder(tmp_path / "tiny", kind, **KINDS[kind]))
    encoder = extractor(folder, layers="last")
    shown = encoder.snippets(build_media(encoder.needs))
    assert shown.crops.shape == (4, 32, 32, 3) and shown.rows.shape == (4, 1)
    states = own(folder, shown.crops[shown.rows[:, 0]])
    last, both, pooled, patches = (encode(extractor(folder, **settings), build_media).values for settings in (
        {"layers": "last"}, {"layers": "1,0"}, {"layers": "all"}, {"layers": "1", "tokens": "patches"}))
    assert last.shape == (4, 32) and both.shape == (4, 2, 32) and pooled.shape == (1, 3, 32)
    np.testing.assert_allclose(last, states[2][:, 0], atol=1e-5)
    np.testing.assert_allclose(both, torch.stack([states[1][:, 0], states[0][:, 0]], 1), atol=1e-5)
    np.testing.assert_allclose(pooled[0], torch.stack(states)[:, :, 0].mean(1), atol=1e-5)
    np.testing.assert_allclose(patches, states[1][:, -4:].mean(1), atol=1e-5)


def test_crops_are_taken_on_a_grid_with_their_times(tiny_vision: Path, build_media: Build) -> None:
    every_fifth = encode(extractor(tiny_vision, layers="last"), build_media, num_frames=20)
    np.testing.assert_allclose(every_fifth.times[:, 0], np.arange(0, 20, 5) / 15, atol=1e-6)
    np.testing.assert_allclose(every_fifth.times[:, 1], (np.arange(0, 20, 5) + 1) / 15, atol=1e-6)
    few = encode(extractor(tiny_vision, layers="last", hop=1, most=3), build_media, num_frames=20)
    np.testing.assert_allclose(few.times[:, 0] * 15, [0, 10, 19], atol=1e-4)
    pooled = encode(extractor(tiny_vision), build_media, num_frames=20)
    np.testing.assert_allclose(pooled.times, [[0, 16 / 15]], atol=1e-6)


@pytest.mark.parametrize("layers", ["all", "last"])
def test_a_clip_without_a_face_has_no_rows(tiny_vision: Path, build_media: Build, layers: str) -> None:
    encoder = extractor(tiny_vision, layers=layers)
    assert encode(encoder, build_media, face=False).values.shape == (0, *encoder.row_shape)


def test_the_size_of_batches_changes_nothing_that_counts(tiny_vision: Path, build_media: Build) -> None:
    one, many = (encode(extractor(tiny_vision, layers="last", batch_size=size), build_media) for size in (1, 16))
    np.testing.assert_allclose(one.values, many.values, atol=1e-5)
    assert extractor(tiny_vision, batch_size=1).settings() == extractor(tiny_vision, batch_size=16).settings()


def test_face_all_gives_rows_and_refuses_one_row_for_several_people(tiny_vision: Path, build_media: Build) -> None:
    assert len(encode(extractor(tiny_vision, face="all", layers="last"), build_media).values) == 4
    with pytest.raises(ValueError, match="layers=all gives one row a clip, which would mix the people of face=all"):
        FaceEncoder.Config(face="all")


@pytest.mark.parametrize("settings", [{"hop": 0}, {"most": 0}, {"batch_size": 0}, {"lines": 0}])
def test_counts_below_one_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} is at least 1, found 0"):
        FaceEncoder.Config(**settings)


def test_size_mean_and_deviation_are_the_models_own(tiny_vision: Path, tmp_path: Path) -> None:
    encoder = extractor(tiny_vision)
    assert encoder.side == 32 and encoder.settings()["side"] == 32
    np.testing.assert_allclose(encoder.constants, np.array([[.5, .4, .3], [.2, .25, .3]]) * 255)
    cropped = extractor(edited(tiny_vision, tmp_path / "a", do_center_crop=True, size={"shortest_edge": 40},
                               crop_size={"height": 48, "width": 48}))
    assert cropped.side == 48 and cropped.settings() != encoder.settings()
    assert extractor(edited(tiny_vision, tmp_path / "b", size=64, crop_size=224)).side == 64
    np.testing.assert_allclose(extractor(edited(tiny_vision, tmp_path / "c", do_normalize=False)).constants,
                               [[0] * 3, [255] * 3])
    raw = extractor(edited(tiny_vision, tmp_path / "d", do_rescale=False, rescale_factor=None))
    np.testing.assert_allclose(raw.constants, [[.5, .4, .3], [.2, .25, .3]])
    assert raw.settings() != encoder.settings()


@pytest.mark.parametrize(("entries", "finding"), [
    ({"size": {"height": 32, "width": 64}}, "asks for pictures of .*; expected a square of at most 1024 pixels"),
    ({"size": None}, "asks for pictures of None"),
    ({"size": 10 ** 9}, "asks for pictures of 1000000000"),
    ({"image_mean": None}, "has image_mean=None, .*; expected three numbers each"),
    ({"image_std": [1, 0, 1]}, "has image_mean=.*image_std=.1, 0, 1.*; expected three numbers each"),
    ({"rescale_factor": 0}, "rescale_factor=0; expected .*a factor above 0")])
def test_a_preprocessor_that_does_not_say_is_refused(tiny_vision: Path, tmp_path: Path, entries: dict[str, Any],
                                                     finding: str) -> None:
    with pytest.raises(WeightsError, match=finding):
        extractor(edited(tiny_vision, tmp_path / "a", **entries)).settings()


def test_a_folder_of_another_kind_is_one_clear_error(tiny_bert: Path, tmp_path: Path) -> None:
    for folder, kind in ((tiny_bert, "bert"), (make_speech_encoder(tmp_path / "speech"), "wav2vec2")):
        with pytest.raises(WeightsError, match=rf"is not an encoder of pictures in patches: its config.json "
                                               rf"\(model_type {kind}\) has no patch_size"):
            extractor(folder).row_shape
    tubes = make_vision_encoder(tmp_path / "videomae", "videomae", num_frames=2)
    with pytest.raises(WeightsError, match="is not an encoder of pictures in patches: "):
        extractor(tubes).network
    oblong = edited(make_vision_encoder(tmp_path / "vit"), tmp_path / "oblong", "config.json", patch_size=[16, 16])
    with pytest.raises(WeightsError, match=r"patch_size is \[16, 16\]; expected the side of a square"):
        extractor(oblong).network


def test_a_model_that_hides_patches_at_random_is_refused(tmp_path: Path) -> None:
    hiding = make_vision_encoder(tmp_path / "hiding", "vit_mae", mask_ratio=0.75)
    with pytest.raises(WeightsError, match=r"expected 3 hidden states of at least 5 steps .* found 3 of \(2, 32\)"):
        extractor(hiding).network
    shuffling = make_vision_encoder(tmp_path / "mae", "vit_mae", mask_ratio=0.0, image_size=128, patch_size=8)
    folder = edited(shuffling, tmp_path / "a", size=128)
    with pytest.raises(WeightsError, match="gives other numbers each time for the same input"):
        extractor(folder).network


def test_a_model_without_a_class_token_is_told_what_to_set(tmp_path: Path, build_media: Build) -> None:
    folder = make_vision_encoder(tmp_path / "ijepa", "ijepa")
    with pytest.raises(WeightsError, match="expected 3 hidden states of at least 5 steps of 32 numbers, found 3 of"
                                           r" \(4, 32\); a model without a class token needs tokens=patches"):
        extractor(folder).network
    assert len(encode(extractor(folder, layers="last", tokens="patches"), build_media).values) == 4


def test_layers_that_the_model_has_not_are_refused(tiny_vision: Path) -> None:
    with pytest.raises(UsageError, match="face_encoder.layers=12: the model has layers 1 to 2"):
        extractor(tiny_vision, layers="12").row_shape


def test_random_weights_without_a_folder_are_dinov2s_size() -> None:
    encoder = FaceEncoder(FaceEncoder.Config(weights="random"))
    assert encoder.row_shape == (13, 384) and encoder.side == 224 and encoder.num_patches == 256
    record, = encoder.weights
    assert (record.network, record.source) == ("dinov2", "random") and encoder.sources == ()


def test_the_published_model_is_named_with_its_licence() -> None:
    source, = FaceEncoder().sources
    assert (source.name, source.licence, source.owner) == ("facebook--dinov2-small", "Apache-2.0", "face_encoder")
    assert len(source.revision) == 40, "a commit: what is fetched today is what was tried out"
    other, = FaceEncoder(FaceEncoder.Config(model="owner/other")).sources
    assert (other.name, other.licence, other.megabytes, other.revision) == (
        "owner--other", "stated on its page", 0.0, "main")
