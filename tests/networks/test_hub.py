"""Models of the hub are listed, fetched at one commit, checked, recorded, and taken for whole only when they are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import WeightsError
from pipeline.networks.hub import RECORD, HubFile, HubModel, keep_hub_offline, needed
from pipeline.transferring.fetching import FetchError
from tests.serving import Site, serving

COMMIT = "0123456789abcdef" * 2 + "01234567"
FILES = {"config.json": b'{"hidden_size": 32}', "model.safetensors": b"weights" * 500, "vocab.txt": b"[PAD]\n",
         "README.md": b"# a model", "pytorch_model.bin": b"a pickle", "model.fp16.safetensors": b"half"}
FETCHED = ["config.json", RECORD, "model.safetensors", "vocab.txt"]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hub_files(files: dict[str, bytes], model: str = "org/tiny", **listing: Any) -> dict[str, bytes]:
    """What the hub serves of a model."""
    siblings = [{"rfilename": name, "size": len(content), "blobId": "0",
                 **({"lfs": {"sha256": sha(content), "size": len(content)}} if "model" in name else {})}
                for name, content in files.items()]
    return {f"/api/models/{model}/revision/main": json.dumps({"sha": COMMIT, "siblings": siblings} | listing).encode(),
            **{f"/{model}/resolve/{COMMIT}/{name}": content for name, content in files.items()}}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path / "kept"))
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("PIPELINE_OFFLINE", raising=False)
    with serving(hub_files(FILES)) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        yield site


def model(name: str = "org/tiny", **options: Any) -> HubModel:
    return HubModel(name.replace("/", "--"), "a tiny encoder", "MIT", 0.1, lambda path: path, name, **options)


def test_the_files_that_are_needed_come_at_one_commit_with_a_record(hub: Site) -> None:
    steps: list[tuple[int, int]] = []
    folder = model().fetch(lambda done, total: steps.append((done, total)))
    assert sorted(path.name for path in folder.iterdir()) == FETCHED
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    record = json.loads((folder / RECORD).read_text())
    assert (record["repository"], record["revision"]) == (f"{hub.url}/org/tiny", COMMIT)
    assert model().expected() == {name: sha(FILES[name]) for name in FETCHED if name != RECORD}
    assert [path.name for path in model().files()] == FETCHED
    assert steps[-1] == (sum(len(FILES[name]) for name in FETCHED if name != RECORD),) * 2 == max(steps)
    asked = len(hub.asked)
    assert model().fetch() == folder and len(hub.asked) == asked


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_fetch_that_stopped_leaves_no_whole_model_and_goes_on_where_it_was(hub: Site, missing: str) -> None:
    content = hub.files.pop(f"/org/tiny/resolve/{COMMIT}/{missing}")
    with pytest.raises(WeightsError, match=f"text_bert.model=org/tiny: could not fetch it: .*{missing}: .* 404"
                                           ".*weights fetch --model org/tiny.*--set text_bert.model=FOLDER"):
        model().fetch()
    assert model().files() == ()
    hub.files[f"/org/tiny/resolve/{COMMIT}/{missing}"] = content
    model().fetch()
    assert [path.name for path in model().files()] == FETCHED


def test_what_is_left_of_another_revision_is_not_mixed_in(hub: Site) -> None:
    folder = model().path
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"older")
    (folder / "vocab.txt").write_bytes(b"[PAD]")
    model().fetch()
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert (folder / "vocab.txt").read_bytes() == FILES["vocab.txt"]


def test_pinned_files_are_fetched_without_asking_what_there_is(hub: Site) -> None:
    names = ("config.json", "model.safetensors")
    pinned = tuple(HubFile(name, len(FILES[name]), sha(FILES[name])) for name in names)
    model(revision=COMMIT, pinned=pinned).fetch()
    assert {request["path"] for request in hub.asked} == {f"/org/tiny/resolve/{COMMIT}/{name}" for name in names}
    (model().path / RECORD).write_text(json.dumps({"repository": "x", "revision": "x", "files": {
        "model.safetensors": "0" * 64}}))
    assert model(pinned=pinned).expected()["model.safetensors"] == sha(FILES["model.safetensors"]), "pins count most"


def test_weights_that_are_not_the_listed_ones_are_refused(hub: Site) -> None:
    hub.files[f"/org/tiny/resolve/{COMMIT}/model.safetensors"] = b"WEIGHTS" * 500
    with pytest.raises(WeightsError, match="could not fetch it: .*what came has SHA-256"):
        model().fetch()
    assert model().files() == ()


@pytest.mark.parametrize(("listing", "words"), [
    (b"<html>", "does not answer as the hub does .*look at HF_ENDPOINT"), (b"[]", "does not answer as the hub"),
    (json.dumps({"sha": COMMIT, "siblings": [{"rfilename": "config.json"}]}).encode(), "does not answer as the hub"),
    (hub_files(FILES, sha="../main")["/api/models/org/tiny/revision/main"], "offers no config.json with model.safeten"),
    (hub_files({"config.json": b"{}", "pytorch_model.bin": b"x"})["/api/models/org/tiny/revision/main"],
     "weights that are pickles are not fetched")])
def test_a_listing_that_is_not_the_hubs_or_offers_pickles_alone_is_refused(hub: Site, listing: bytes,
                                                                           words: str) -> None:
    hub.files["/api/models/org/tiny/revision/main"] = listing
    with pytest.raises(WeightsError, match=words) as caught:
        model().fetch()
    assert isinstance(caught.value.__cause__, FetchError)


def test_names_that_leave_the_folder_are_never_needed() -> None:
    offered = [HubFile(name, 1) for name in ("../config.json", "/config.json", "a/model.safetensors", "config.json\n",
                                             "model.safetensors.part", "tokenizer.json")]
    assert [file.name for file in needed(offered)] == ["tokenizer.json"]


def test_weights_in_one_file_are_preferred_to_weights_in_several() -> None:
    shards = [HubFile(name, 1) for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                            "model.safetensors.index.json")]
    assert needed(shards) == tuple(shards)
    assert needed([*shards, HubFile("model.safetensors", 1)]) == (HubFile("model.safetensors", 1),)


@pytest.mark.parametrize("name", ["../up", "a/b/c", "./folder", "/absolute", "", "a b", "org/..", "https://x/y"])
def test_a_name_that_no_model_can_have_is_refused_before_anything_is_asked(hub: Site, name: str) -> None:
    with pytest.raises(WeightsError, match="is neither a folder nor a name on the Hugging Face hub"):
        model(name).fetch()
    assert not hub.asked


def test_offline_asks_nobody(hub: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    with pytest.raises(WeightsError, match="org--tiny is not there and PIPELINE_OFFLINE forbids fetching it"):
        model().fetch()
    assert not hub.asked


def test_a_folder_that_cannot_be_made_is_a_weights_error(hub: Site, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    with pytest.raises(WeightsError, match="could not fetch it: .*cannot be written"):
        model().fetch()


@pytest.mark.parametrize("content", ["{", "[]", '{"files": 3}', '{"files": {}}', '{"files": {}, "repository": ""}'])
def test_a_damaged_record_says_what_to_do(hub: Site, content: str) -> None:
    model().fetch()
    (model().path / RECORD).write_text(content)
    with pytest.raises(WeightsError, match="fetched.json is not the record of a fetched model .*remove the folder"):
        model().expected()


def test_libraries_of_the_hub_are_kept_offline_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
    for name in names:
        monkeypatch.setenv(name, "0")
    monkeypatch.delenv("PIPELINE_OFFLINE", raising=False)
    keep_hub_offline()
    assert [os.environ[name] for name in names] == ["0"] * 3, "who is online decides for himself"
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    keep_hub_offline()
    assert [os.environ[name] for name in names] == ["1"] * 3
