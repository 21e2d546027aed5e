"""Recipes in words: nothing that changes results goes unsaid."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.pages.prose import describe_feature, describe_training, in_words, listing

RECIPE: dict[str, Any] = {
    "extractor": "face_r3d18", "version": 3,
    "settings": {"snippets": "six_by_sixteen", "held": True, "dtype": "bfloat16"},
    "frames": [{"rate_hz": 15.0, "lines": 720, "size": None, "crop": [112, 100],
                "snippets": {"layout": "sliding", "size": 16, "hop": 8, "most": 32}}],
    "waveform": True, "text": True, "upstream": {"faces": "0123456789abcdef"},
    "weights": [{"network": "r3d_18", "source": "pretrained", "name": "r3d_18-b3b3357e.pth", "digest": "fedcba9876"}],
}


def head(recipe: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"recipe": recipe, "fingerprint": "ffff0000", "modality": "face", "row_shape": (512,), "dtype": "float32",
            "columns": (), **changes}


@pytest.mark.parametrize("words", [
    "R3D-18 on snippets of aligned face crops", "512 numbers", "version 3", "15 frames a second", "720 lines",
    "middle 112 × 100", "snippets of 16 frames every 8, at most 32", "the sound and the words",
    "faces (fingerprint 01234567)", "r3d_18-b3b3357e.pth", "fedcba98", "pretrained",
    "snippets = six_by_sixteen", "held = yes", "dtype = bfloat16"])
def test_a_recipe_is_told_in_full(words: str) -> None:
    assert words in describe_feature("face_r3d18", head(RECIPE)).text


def test_spread_snippets_and_exact_sizes_are_told() -> None:
    request = {**RECIPE["frames"][0], "size": [128, 171], "lines": None, "crop": None,
               "snippets": {"layout": "spread", "size": 16, "hop": 8, "most": 6}}
    text = describe_feature("video_r3d18", head({**RECIPE, "frames": [request]})).text
    assert "128 × 171 pixels, in 6 snippets of 16 frames spread over the clip" in text


def test_random_weights_are_named_as_such() -> None:
    record = {"network": "bert", "source": "random", "name": "seed 0", "digest": "aa"}
    described = describe_feature("text_bert", head({**RECIPE, "weights": [record]}))
    assert described.has_random_weights
    assert "bert has random weights (seed 0, digest aa): it never learnt" in described.text
    assert not describe_feature("text_bert", head(RECIPE)).has_random_weights


def test_a_feature_without_a_recipe_says_so() -> None:
    assert "does not say how it was made" in describe_feature("mine", head({})).text


def test_columns_and_pixels_are_told() -> None:
    text = describe_feature("mine", head({}, columns=("x", "y"), dtype="uint8", row_shape=(2, 3))).text
    assert "2 × 3 pixels (x, y)" in text


def test_values_read_as_they_are_typed() -> None:
    assert [in_words(value) for value in (True, None, [1, 2], 0.5, "", {"a": 1}, [])] \
        == ["yes", "none", "1, 2", "0.5", "none", "a 1", "none"]
    assert [listing(words) for words in ([], ["a"], ["a", "b"])] == ["", "a", "a and b"]


TRAINING = {"label_smoothing": 0.05, "class_weights": "sqrt", "value_loss": "ccc", "lr": 1e-3, "weight_decay": 0.1,
            "batch_size": 64, "gradient_clip": 1.0, "plateau": 3, "patience": 10, "epochs": 30, "device": "cpu"}


@pytest.mark.parametrize(("normalise", "words"), [("train", "deviation over the training clips"),
                                                  ("speaker", "all clips of the same speaker, those that are tested")])
def test_folds_are_told_with_their_sizes(normalise: str, words: str) -> None:
    folds = [{"clips": {"train": train, "dev": 10, "test": 5}} for train in (20, 25)]
    config = {"model": "early", "tasks": ["emotion"], "inputs": ["text_bert"], "select_by": "uar", "seeds": [0, 1],
              "training": {**TRAINING, "normalise": normalise}, "model_config": {},
              "folds": {"protocol": "five-actor-folds", "folds": folds}}
    text = " ".join(describe_training(config, has_classes=True, has_values=False))
    for part in ("2 folds of five-actor-folds", "2 networks, one a seed, each learnt from 20 to 25 clips",
                 "10 clips chose the best epoch, by UAR of emotion", "5 clips, none of them among the others", words):
        assert part in text


def test_training_is_told_with_splits_loss_and_seeds() -> None:
    config = {"model": "early", "tasks": ["emotion", "arousal"], "inputs": ["text_bert"], "select_by": "uar",
              "splits": {"train": "train", "dev": "dev", "test": None, "dev_carved": True,
                         "used_clips": {"train": 70, "dev": 20}},
              "seeds": [3, 4], "training": TRAINING, "model_config": {"hidden": 256}}
    text = " ".join(describe_training(config, has_classes=True, has_values=True))
    for words in ("70 clips of the split train", "The 20 clips of dev, carved by group from train, chose",
                  "UAR of emotion", "smoothing 0.05", "square root of their rarity", "concordance",
                  "added up over the tasks", "rate 0.001", "decay 0.1", "64 clips", "norm of 1",
                  "Seeds: 3, 4", "Device: cpu", "hidden = 256"):
        assert words in text
    assert "was read once" not in text
    assert text.startswith("The model is early: ") and ". It learnt emotion and arousal from 70 clips" in text


@pytest.mark.parametrize(("pixels", "words"), [
    ([], "; every number was standardised by its mean"), (["asd_faces", "asd_audio"], "; pixels were brought to"),
    (["asd_faces"], "; the pixels of asd_faces were brought to the range from 0 to 1 and every other number was")])
def test_pixels_are_not_told_to_be_standardised(pixels: list[str], words: str) -> None:
    config = {"model": "gone", "tasks": ["speaking"], "inputs": ["asd_faces", "asd_audio"],
              "select_by": "average_precision", "seeds": [0], "training": TRAINING, "model_config": {},
              "splits": {"train": "train", "dev": "dev", "test": "test", "dev_carved": False,
                         "used_clips": {"train": 70, "dev": 20}}}
    text = " ".join(describe_training(config, has_classes=True, has_values=False, pixels=pixels))
    assert words in text and text.startswith("The model gone learnt speaking from 70 clips")


def test_marks_of_code_are_left_out_of_prose() -> None:
    head = {"recipe": {"extractor": "asd_audio"}, "row_shape": (4, 13), "dtype": "float32", "columns": (),
            "fingerprint": "x"}
    assert "each row of asd_faces: four spectra" in describe_feature("asd_audio", head).text


def test_of_many_columns_the_first_are_named() -> None:
    named = head({}, columns=tuple(f"column{place}" for place in range(1686)), row_shape=(1686,))
    text = describe_feature("mine", named).text
    assert "column23 and 1662 more)" in text and "column24" not in text
    assert "Each row is 1 number." in describe_feature("mine", head({}, row_shape=(1,))).text
