"""The run's own recipe, or a refusal that says why."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.devices import usable_device
from pipeline.errors import StoreError, TrainingError, UsageError, WeightsError
from pipeline.predicting.networks import Networks
from pipeline.predicting.recipes import as_text, settings_of
from pipeline.recipes import choose_extractors, plan_features
from tests.predicting.runs import CONFIG, make_corpus, make_run

CPU = usable_device("cpu")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    make_run(make_corpus(folder), folder / "run", replace(CONFIG, seeds=1, epochs=1))
    return folder


def learnt(networks: Networks, names: list[str], settings: dict[str, dict[str, str]],
           shared: dict[str, str] | None = None) -> Networks:
    """The same networks, as if they had learnt from features that are asked for so."""
    planned = plan_features(choose_extractors(names, settings, shared=shared or {}, device=CPU))
    inputs = {feature.name: {"modality": "face", "row_shape": [1], "fingerprint": feature.fingerprint,
                             "recipe": dict(feature.recipe)} for feature in planned if feature.name in names}
    return Networks(networks.run, ((replace(networks.first, inputs=inputs),),), {**networks.config, "features": []})


def changed(networks: Networks, feature: str, **parts: Any) -> Networks:
    """The same networks, as if one input had another recipe."""
    inputs = {name: dict(part) for name, part in networks.first.inputs.items()}
    inputs[feature]["recipe"] = {**inputs[feature]["recipe"], **parts}
    return Networks(networks.run, ((replace(networks.first, inputs=inputs),),), networks.config)


def test_a_local_model_is_found_by_how_the_store_was_asked_for(workplace: Path) -> None:
    found = settings_of(Networks.load(workplace / "run"), device="cpu")
    assert found["text_bert"]["model"] == str(workplace / "bert")


def test_settings_of_the_recipe_are_kept(workplace: Path) -> None:
    networks = learnt(Networks.load(workplace / "run"), ["audio_logmel@narrow", "audio_mfcc"],
                      {"audio_logmel@narrow": {"preset": "meld_joint"}})
    assert settings_of(networks, device="cpu")["audio_logmel@narrow"]["preset"] == "meld_joint"


@pytest.mark.parametrize("shared", [{}, {"detection": "fast"}, {"detection": "dense", "face": "speaking"}])
def test_faces_are_sought_as_thoroughly_as_they_were(workplace: Path, shared: dict[str, str]) -> None:
    networks = learnt(Networks.load(workplace / "run"), ["face_r3d18"], {}, {"weights": "random", **shared})
    found = settings_of(networks, device="cpu")
    assert found.get("faces", {}).get("detection", "balanced") == shared.get("detection", "balanced")
    assert found["face_r3d18"]["weights"] == "random" and found["face_r3d18"]["face"] == shared.get("face", "largest")


def test_the_compute_type_is_the_recipes_own(workplace: Path) -> None:
    for dtype in ("float32", "bfloat16"):
        networks = learnt(Networks.load(workplace / "run"), ["face_r3d18"], {"face_r3d18": {"dtype": dtype}},
                          {"weights": "random"})
        assert settings_of(networks, device="cpu")["face_r3d18"]["dtype"] == dtype


def test_weights_that_are_gone_are_an_error_that_names_them(workplace: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    networks = Networks.load(workplace / "run")
    shutil.move(workplace / "bert", tmp_path / "moved")
    try:
        with pytest.raises(WeightsError, match="text_bert.model=.*bert is neither a folder nor a name"):
            settings_of(networks, device="cpu")
        elsewhere = {"text_bert": {"model": str(tmp_path / "moved")}}
        assert settings_of(networks, settings=elsewhere, device="cpu")["text_bert"]["model"] == str(tmp_path / "moved")
    finally:
        shutil.move(tmp_path / "moved", workplace / "bert")


def test_other_weights_are_never_taken(workplace: Path) -> None:
    networks = Networks.load(workplace / "run")
    with pytest.raises(StoreError, match=r"cannot be made in the same way here: text_bert \(.*then, .* now"):
        settings_of(networks, settings={"text_bert": {"weights": "random"}}, device="cpu")


def test_a_recipe_of_another_version_is_refused(workplace: Path) -> None:
    networks = Networks.load(workplace / "run")
    old = changed(networks, "audio_logmel", version=0)
    old.first.inputs["audio_logmel"]["fingerprint"] = "0" * 32  # type: ignore[index]
    with pytest.raises(StoreError, match=r"audio_logmel \(version: 0 then, 1 now\)"):
        settings_of(old, device="cpu")


def test_who_people_are_is_not_told_in_new_recordings(workplace: Path) -> None:
    networks = changed(Networks.load(workplace / "run"), "audio_logmel", upstream={"face_identity": "00"})
    with pytest.raises(UsageError, match="predict does not tell identities in new recordings"):
        settings_of(networks, device="cpu")


def test_a_recipe_from_anywhere_names_an_extractor_that_is_here(workplace: Path) -> None:
    networks = changed(Networks.load(workplace / "run"), "audio_logmel", extractor="../../evil")
    with pytest.raises(UsageError, match="no extractor named"):
        settings_of(networks, device="cpu")


def test_networks_that_were_not_trained_alike_are_refused(workplace: Path, tmp_path: Path) -> None:
    shutil.copytree(workplace / "run", tmp_path / "run")
    networks = Networks.load(tmp_path / "run")
    other = replace(changed(networks, "audio_logmel").first, seed=1)
    other.inputs["audio_logmel"]["fingerprint"] = "0" * 32  # type: ignore[index]
    other.save(tmp_path / "run/seed1/best.pt")
    with pytest.raises(TrainingError, match="were not trained alike"):
        Networks.load(tmp_path / "run")


def test_a_run_standardised_by_speaker_is_refused(workplace: Path, tmp_path: Path) -> None:
    shutil.copytree(workplace / "run", tmp_path / "run")
    first = Networks.load(tmp_path / "run").first
    replace(first, training={**first.training, "normalise": "speaker"}).save(tmp_path / "run/seed0/best.pt")
    with pytest.raises(UsageError, match="--normalise speaker"):
        Networks.load(tmp_path / "run")


@pytest.mark.parametrize("recipe", ["evil", {"upstream": 3}, {"weights": 7, "settings": [1]}])
def test_a_recipe_that_is_none_is_refused(workplace: Path, recipe: Any) -> None:
    networks = Networks.load(workplace / "run")
    networks.first.inputs["audio_logmel"]["recipe"] = recipe  # type: ignore[index]
    networks.first.inputs["audio_logmel"]["fingerprint"] = "0" * 32  # type: ignore[index]
    with pytest.raises((TrainingError, StoreError), match="holds no recipe of audio_logmel|cannot be made in the same"):
        settings_of(networks, device="cpu")


def test_values_are_typed_as_after_set() -> None:
    assert [as_text(value) for value in ([1, 2], None, True, 0.5, "x")] == ["1,2", "none", "true", "0.5", "x"]
