"""What networks there are, whether they are here, and whether they are what they say."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline import plugins, weights
from pipeline.catalogue import Verdict, catalogue, chosen, describe, fetch_networks, verify_networks
from pipeline.errors import UsageError, WeightsError
from pipeline.extractors.face_identity import VGGFACE2
from pipeline.networks.hub import RECORD
from pipeline.recipes import choose_extractors, plan_features
from pipeline.weights import Official, load_state
from tests.makers import make_bert, make_speech_encoder, make_vision_encoder
from tests.serving import serving

ENCODERS = ("facebook--wav2vec2-base-960h", "facebook--dinov2-small")  # of audio_encoder and face_encoder

OF_ONES_OWN = {"face_asd"}     # a run of one's own, or a published file that was imported as one


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of fetched weights, and no way to fetch any."""
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path / "kept"))
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


@pytest.fixture
def small(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Official:
    """A network of three by two that stands for R3D-18; its published file is in ``kept``."""
    torch.save(nn.Linear(2, 3).state_dict(), kept / "new")
    name = f"small-{hashlib.sha256((kept / 'new').read_bytes()).hexdigest()[:8]}.pth"
    (kept / "new").rename(kept / name)
    official = Official(name, "a small network", "MIT", 0.1, lambda path: load_state(nn.Linear(2, 3), path),
                        f"http://127.0.0.1:9/{name}")
    monkeypatch.setattr(weights, "R3D18", official)
    return official


def verdicts(*names: str) -> dict[str, Verdict]:
    return {verdict.name: verdict for verdict in verify_networks(chosen(names))}


def test_every_extractor_that_has_weights_names_their_source() -> None:
    listed = {name for network in catalogue() for name in network.extractors}
    for name in plugins.names("extractor"):
        config = plugins.plugin_class("extractor", name).Config  # type: ignore[attr-defined]
        if "weights" in {field.name for field in dataclasses.fields(config)}:
            assert (name in listed) == (name not in OF_ONES_OWN), name
    assert "faces" in listed and "audio_logmel" not in listed


def test_networks_of_several_extractors_stand_once(kept: Path) -> None:
    found = {network.name: network.extractors for network in catalogue()}
    assert found[weights.R3D18.name] == ("face_r3d18", "video_r3d18") and len(found) == len(catalogue())
    assert set(found) == {weights.R3D18.name, weights.R3D101.name, weights.RESNET18.name, "mtcnn_pnet", "mtcnn_rnet",
                          "mtcnn_onet", VGGFACE2.name, "bert-base-uncased", *ENCODERS}


def test_random_weights_have_no_source() -> None:
    for name in ("face_r3d18", "audio_resnet18", "text_bert", "audio_encoder", "face_encoder"):
        kind = plugins.plugin_class("extractor", name)
        assert kind(kind.Config(weights="random")).sources == ()  # type: ignore[attr-defined]


def test_all_is_said_of_a_network(kept: Path, small: Official) -> None:
    found = {network.name: describe(network) for network in catalogue()}
    assert json.loads(json.dumps(found)) == found
    here = found[small.name]
    assert (here["state"], here["from"], here["licence"]) == ("here", small.url, "MIT")
    file, = here["files"]
    assert file["sha256"] == hashlib.sha256(small.path.read_bytes()).hexdigest()
    assert file["size"] == small.path.stat().st_size and file["sha256"].startswith(here["expected"][small.name])
    assert found["mtcnn_pnet"]["bundled"] and found["mtcnn_pnet"]["state"] == "here"
    bert = found["bert-base-uncased"]
    assert (bert["state"], bert["files"], len(bert["revision"])) == ("missing", [], 40)
    small.path.write_bytes(b"another")
    assert {network.name: describe(network) for network in catalogue()}[small.name]["state"] == "wrong"


def test_networks_are_chosen_by_their_names_and_by_extractors(kept: Path) -> None:
    assert [network.name for network in chosen(["faces"])] == ["mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet"]
    assert [network.name for network in chosen(["video_r3d18", weights.R3D18.name])] == [weights.R3D18.name]
    assert [network.name for network in chosen([], ["org/x"])] == ["org--x"]
    assert len(chosen([])) == len(catalogue())
    with pytest.raises(UsageError, match="no network or extractor named 'face'; did you mean 'faces'"):
        chosen(["face"])
    with pytest.raises(UsageError, match="audio_logmel uses no published network"):
        chosen(["audio_logmel"])


def test_what_is_missing_is_fetched_and_what_is_here_is_checked(kept: Path, small: Official,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    content = small.path.read_bytes()
    small.path.unlink()
    with pytest.raises(WeightsError, match="a small network: .* PIPELINE_OFFLINE forbids"):
        fetch_networks(chosen(["face_r3d18"]))
    monkeypatch.delenv("PIPELINE_OFFLINE")
    with serving({f"/{small.name}": content}) as site:
        monkeypatch.setenv("PIPELINE_WEIGHTS_URL", site.url)
        assert fetch_networks(chosen(["face_r3d18", "faces"]))[0] == small.path
    assert small.path.read_bytes() == content
    small.path.write_bytes(b"another")
    with pytest.raises(WeightsError, match="is not the published file: .*Remove it"):
        fetch_networks(chosen(["face_r3d18"]))


def test_networks_that_are_what_they_say_are_good(kept: Path, small: Official) -> None:
    make_bert(kept / "org--tiny")
    found = verdicts()
    assert {name: verdict.state for name, verdict in found.items()} == {
        small.name: "good", "mtcnn_pnet": "good", "mtcnn_rnet": "good", "mtcnn_onet": "good", "org--tiny": "good",
        weights.RESNET18.name: "missing", weights.R3D101.name: "missing", VGGFACE2.name: "missing",
        "bert-base-uncased": "missing", **dict.fromkeys(ENCODERS, "missing")}
    assert found[small.name].finding == "loads as its network; digests as published"
    assert "nothing is known to compare with for config.json, model.safetensors" in found["org--tiny"].finding
    assert found["bert-base-uncased"].finding == f"not at {kept / 'bert-base-uncased'}"


def test_a_model_of_the_hub_is_for_the_extractor_that_its_config_fits(kept: Path) -> None:
    make_bert(kept / "org--text")
    make_speech_encoder(kept / "org--speech")
    make_vision_encoder(kept / "facebook--dinov2-small", "dinov2")
    make_vision_encoder(kept / "org--vision")
    users = {network.name: network.extractors for network in catalogue()}
    assert {name: users[name] for name in ("org--text", "org--speech", "org--vision", *ENCODERS)} == {
        "org--text": ("text_bert",), "org--speech": ("audio_encoder",), "org--vision": ("face_encoder",),
        "facebook--wav2vec2-base-960h": ("audio_encoder",), "facebook--dinov2-small": ("face_encoder",)}
    found = verdicts("org--speech", "org--vision", "face_encoder")
    assert {verdict.state for verdict in found.values()} == {"good"} and len(found) == 3
    assert "preprocessor_config.json" in found["org--speech"].finding
    named = chosen([], ["org/speech", "facebook/wav2vec2-base-960h", "org/new"])
    assert [network.extractors for network in named] == [("audio_encoder",), ("audio_encoder",), ("text_bert",)]
    (kept / "org--vision" / "config.json").write_text('{"patch_size": 16}')
    assert verdicts("org--vision")["org--vision"].state == "wrong"


def test_another_file_under_the_name_is_wrong(kept: Path, small: Official) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), small.path)
    assert verdicts()[small.name].state == "wrong"
    make_bert(kept / "bert-base-uncased")
    assert "is not the published file" in verdicts()["bert-base-uncased"].finding


def published_as(official: Official, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let what lies in the file's place be the published file."""
    name = f"small-{hashlib.sha256(official.path.read_bytes()).hexdigest()[:8]}.pth"
    official.path.rename(official.path.with_name(name))
    monkeypatch.setattr(weights, "R3D18", dataclasses.replace(official, name=name))
    return name


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_published_file_is_named_and_not_run(kept: Path, small: Official,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"weight": Payload(kept / "owned")}, small.path)
    name = published_as(small, monkeypatch)
    finding = verdicts()[name]
    assert finding.state == "wrong" and "it would run posix.mkdir when loaded; nothing of it was run" in finding.finding
    assert not (kept / "owned").exists()


def test_keys_and_shapes_of_another_network_are_wrong(kept: Path, small: Official,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(nn.Linear(2, 4).state_dict(), small.path)
    name = published_as(small, monkeypatch)
    finding = verdicts()[name]
    assert finding.state == "wrong" and "size mismatch" in finding.finding


def test_a_model_that_changed_since_it_was_fetched_is_wrong(kept: Path) -> None:
    folder = make_bert(kept / "org--tiny")
    digests = {path.name: weights.sha256(path) for path in folder.iterdir()}
    (folder / RECORD).write_text(json.dumps({"repository": "x", "revision": "y", "files": digests}))
    assert verdicts()["org--tiny"].finding == "loads as its network; digests as published"
    (folder / "vocab.txt").write_text("oh\n")
    assert "vocab.txt is not the published file" in verdicts()["org--tiny"].finding
    (folder / RECORD).write_text("{")
    assert "is not the record of a fetched model" in verdicts()["org--tiny"].finding
    shutil.rmtree(folder)
    assert "org--tiny" not in verdicts()


def test_a_file_that_cannot_be_read_is_wrong(kept: Path, small: Official, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> str:
        raise OSError(5, "Input/output error")
    monkeypatch.setattr(weights, "sha256", broken)
    assert verdicts()[small.name] == Verdict(small.name, "wrong", f"{small.path} cannot be read (Input/output error)")


def test_every_recipe_names_its_networks_with_name_digest_and_source(kept: Path, small: Official) -> None:
    make_bert(kept / "org--tiny")
    make_bert(kept / "tiny")
    settings = {"text_bert": {"model": "org/tiny"}, "audio_resnet18": {"weights": "random"}}
    planned = plan_features(choose_extractors(["text_bert", "audio_resnet18", "face_r3d18"], settings, shared={},
                                              device=torch.device("cpu")))
    found = {feature.name: feature.recipe["weights"] for feature in planned}
    assert {name: [record["network"] for record in records] for name, records in found.items()} == {
        "text_bert": ["bert"], "audio_resnet18": ["resnet18"], "faces": ["pnet", "rnet", "onet"],
        "face_r3d18": ["r3d_18"]}
    for records in found.values():
        for record in records:
            assert len(record["digest"]) == 32 and record["name"] and record["source"] in ("pretrained", "random")
    assert found["faces"][0]["digest"] == "a2a71925e0b9996a42f63e47efc1ca19"
    assert found["face_r3d18"][0]["name"] == small.name
