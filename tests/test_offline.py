"""Without a network everything works or says at once what is missing; docs/offline.md is run as it is written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from pipeline import weights
from pipeline.cli import main
from pipeline.errors import EXIT_CLIPS_FAILED
from pipeline.extractors import text_bert
from pipeline.extractors.audio_encoder import AudioEncoder
from pipeline.extractors.face_encoder import FaceEncoder
from pipeline.networks.backbones import RANDOM_SEED
from pipeline.networks.hub import HubFile
from pipeline.rendering.corpus import render_corpus
from pipeline.store import FeatureStore
from tests.makers import make_bert, make_speech_encoder, make_video, make_vision_encoder, write_manifest
from tests.serving import serving

ROOT = Path(__file__).parents[1]
FEATURES = "text_bert,faces,audio_resnet18,face_r3d18,audio_encoder,face_encoder"
ENCODERS = {"facebook/wav2vec2-base-960h": make_speech_encoder, "facebook/dinov2-small": make_vision_encoder}
REVISIONS = {model: known[-1] for kind in (AudioEncoder, FaceEncoder) for model, known in kind.known.items()}
# Put before all else in every Python process: a socket or a look-up is refused and written down. One is not written:
# urllib3, which facenet-pytorch imports by way of requests, tries on import whether a socket can be bound to ::1.
BLOCKED = """
import os, socket, sys

def refuse(*arguments, **options):
    caller = sys._getframe(1).f_code
    if not (caller.co_name == "_has_ipv6" and "urllib3" in caller.co_filename):
        with open(os.environ["ATTEMPTS"], "a") as file:
            file.write(f"{caller.co_filename} {caller.co_name} {arguments!r}\\n")
    raise RuntimeError("the cable is cut")

socket.socket.__init__ = socket.getaddrinfo = socket.gethostbyname = refuse
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of random weights in the published layouts, under the published names."""
    from torchvision.models import resnet18
    from torchvision.models.video import r3d_18
    folder = tmp_path_factory.mktemp("own")
    for official, network in ((weights.R3D18, r3d_18), (weights.RESNET18, resnet18)):
        torch.save(weights.seeded(network, RANDOM_SEED).state_dict(), folder / official.name)
    make_bert(folder / "bert-base-uncased")
    for model, make in ENCODERS.items():
        make(folder / model.replace("/", "--"))
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of one small clip with a face, sound and words."""
    folder = tmp_path_factory.mktemp("clips")
    make_video(folder / "a.mp4", seconds=1.2)
    return write_manifest(folder / "clips.csv", [{"path": "a.mp4", "text": "oh no, you know what!", "emotion": "joy"}])


def cut_off(folder: Path, *command: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run Python where every socket raises, in a network namespace of its own if there can be one; attempts made."""
    (folder / "cut").mkdir(exist_ok=True)
    (folder / "cut" / "sitecustomize.py").write_text(BLOCKED)
    attempts = folder / "attempts"
    attempts.write_text("")
    kept = {name: value for name, value in os.environ.items() if not re.match("HF_|TRANSFORMERS_|PIPELINE_", name)}
    kept |= {"PYTHONPATH": f"{folder / 'cut'}:{ROOT}", "ATTEMPTS": str(attempts), "HOME": str(folder),
             "PIPELINE_OFFLINE": "1", "PIPELINE_WEIGHTS": str(folder / "none"), **environment}
    done = subprocess.run([*alone(), sys.executable, *command], cwd=folder, env=kept, capture_output=True, text=True,
                          timeout=300)
    return done, attempts.read_text()


def alone() -> list[str]:
    unshare = shutil.which("unshare")
    works = unshare and subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode == 0
    return [unshare, "-rn"] if unshare and works else []


def test_an_attempt_would_be_seen_in_children_as_well(tmp_path: Path) -> None:
    code = "import socket, subprocess, sys\nif sys.argv[1:]: subprocess.run([sys.executable, '-c', sys.argv[1]])\n"
    done, attempts = cut_off(tmp_path, "-c", code + "socket.getaddrinfo('example.org', 80)", "import socket; "
                             "socket.create_connection(('127.0.0.1', 9))")
    assert done.returncode == 1 and "the cable is cut" in done.stderr
    assert "example.org" in attempts and "127.0.0.1" in attempts


def test_all_networks_extract_from_a_folder_and_no_socket_is_made(own: Path, clips: Path, tmp_path: Path) -> None:
    done, attempts = cut_off(tmp_path, "-m", "pipeline", "extract", "--dataset", "manifest", "--manifest", str(clips),
                             "--out", "a.h5", "--extractors", FEATURES, "--weights", str(own), "--jobs", "1")
    assert (done.returncode, attempts) == (0, ""), done.stderr
    store = FeatureStore(tmp_path / "a.h5")
    clip_id = store.clips["clip_id"][0]
    for feature in FEATURES.split(","):
        assert len(store.read(clip_id, feature).values), feature
    records = {feature: store.recipe(feature)["weights"] for feature in FEATURES.split(",")}
    assert records["face_r3d18"] == [{"network": "r3d_18", "source": "file", "name": weights.R3D18.name,
                                      "digest": weights.file_digest(own / weights.R3D18.name)}]
    assert records["text_bert"][0]["name"] == "bert-base-uncased/model.safetensors"
    assert [record["network"] for record in records["faces"]] == ["pnet", "rnet", "onet"]


@pytest.mark.parametrize(("feature", "missing"), [
    ("audio_encoder", "audio_encoder.model=facebook/wav2vec2-base-960h: .*-960h is not there and PIPELINE_OFFLINE"),
    ("text_bert", "text_bert.model=bert-base-uncased: .*/none/bert-base-uncased is not there and PIPELINE_OFFLINE"),
    ("face_r3d18", "torchvision's R3D-18.*/none/r3d_18-b3b3357e.pth is not there and PIPELINE_OFFLINE")])
def test_missing_weights_are_one_error_at_once_and_no_socket_is_made(clips: Path, tmp_path: Path, feature: str,
                                                                     missing: str) -> None:
    done, attempts = cut_off(tmp_path, "-m", "pipeline", "extract", "--dataset", "manifest", "--manifest", str(clips),
                             "--out", "a.h5", "--extractors", feature)
    assert (done.returncode, attempts, done.stdout) == (1, "", "")
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and re.search(missing, errors[0]) and "Traceback" not in done.stderr
    assert not (tmp_path / "a.h5").exists()


def test_fetching_offline_makes_no_socket_either(tmp_path: Path) -> None:
    done, attempts = cut_off(tmp_path, "-m", "pipeline", "weights", "fetch", "--model", "roberta-base")
    assert (done.returncode, attempts) == (1, "") and "PIPELINE_OFFLINE forbids" in done.stderr


def published(own: Path, monkeypatch: pytest.MonkeyPatch, site: Path) -> dict[str, bytes]:
    """Let the random weights be the published ones, here and in workers; what their publishers serve."""
    changes, served = [], {}
    for variable, official in (("R3D18", weights.R3D18), ("RESNET18", weights.RESNET18)):
        content = (own / official.name).read_bytes()
        name = f"{official.name.rsplit('-', 1)[0]}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        monkeypatch.setattr(weights, variable, dataclasses.replace(official, name=name))
        changes.append(f"weights.{variable} = replace(weights.{variable}, name={name!r})")
        served[f"/{name}"] = content
    files = {path.name: path.read_bytes() for path in (own / "bert-base-uncased").iterdir()}
    monkeypatch.setattr(text_bert, "DEFAULT_FILES", tuple(
        HubFile(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()))
    served |= {f"/bert-base-uncased/resolve/{text_bert.DEFAULT_REVISION}/{name}": content
               for name, content in files.items()}
    for model in ENCODERS:
        served |= on_the_hub(own / model.replace("/", "--"), model)
    site.mkdir()
    (site / "sitecustomize.py").write_text("\n".join(["from dataclasses import replace", "from pipeline import weights",
                                                      *changes]))
    monkeypatch.setenv("PYTHONPATH", f"{site}:{ROOT}")
    return served


def on_the_hub(folder: Path, model: str) -> dict[str, bytes]:
    """What the hub answers for a model that is in a folder: its listing, and its files at a commit."""
    largest_first = sorted(folder.iterdir(), key=lambda path: -path.stat().st_size)
    files, commit = {path.name: path.read_bytes() for path in largest_first}, REVISIONS[model]
    listing = {"sha": commit, "siblings": [{"rfilename": name, "size": len(content)}
                                           for name, content in files.items()]}
    return {f"/api/models/{model}/revision/{commit}": json.dumps(listing).encode(),
            **{f"/{model}/resolve/{commit}/{name}": content for name, content in files.items()}}


def run_as_shown(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in block.splitlines():
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            monkeypatch.setenv(name, value)
        else:
            assert words[:3] == ["python", "-m", "pipeline"], line
            assert main(words[3:]) in ((0, EXIT_CLIPS_FAILED) if words[3] == "extract" else (0,)), line


# joblib says so where a worker that has loaded its networks is replaced by a new one.
@pytest.mark.filterwarnings("ignore:A worker stopped while some jobs were given to the executor")
def test_the_page_about_it_runs_as_shown(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/offline.md").read_text(encoding="utf-8")
    online, offline = re.findall(r"^```bash\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    for name in ("PIPELINE_WEIGHTS", "PIPELINE_OFFLINE", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("online", "offline"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "online")
    with serving(published(own, monkeypatch, tmp_path / "site"), script=["", "cut"]) as site:
        monkeypatch.setenv("PIPELINE_WEIGHTS_URL", site.url)
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        run_as_shown(online, monkeypatch)
        asked = len(site.asked)
        assert site.ranges_asked()[2] == "bytes=1000-", "the line was cut once, behind the hub's first listing"
        shutil.copy("weights.zip", tmp_path / "offline")
        monkeypatch.chdir(tmp_path / "offline")
        render_corpus(Path("data/MELD.Raw"), num_clips=3)
        run_as_shown(offline, monkeypatch)
        assert len(site.asked) == asked
    sources = {feature: {record["source"] for record in FeatureStore(Path("cache/meld.h5")).recipe(feature)["weights"]}
               for feature in ("text_bert", "audio_resnet18", "face_r3d18", "faces")}
    assert set(map(tuple, sources.values())) == {("pretrained",)}
    record = json.loads(Path("cache/weights/bert-base-uncased/fetched.json").read_text())
    assert record["revision"] == text_bert.DEFAULT_REVISION
    assert "digests as published" in capsys.readouterr().out


def test_the_page_names_every_published_network_and_variable() -> None:
    page = (ROOT / "docs/offline.md").read_text(encoding="utf-8")
    for name in ("text_bert", "audio_resnet18", "video_r3d18", "face_r3d18", "faces"):
        assert f"`{name}`" in page
    for name in ("PIPELINE_OFFLINE=1", "PIPELINE_WEIGHTS`", "PIPELINE_WEIGHTS_URL", "HF_ENDPOINT", weights.R3D18.name):
        assert name in page


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["weights", *arguments])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_the_list_is_for_people_and_for_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    code, text, _ = shown(["list"], capsys)
    assert code == 0 and "begins with b3b3357e" in text and "133.5 MB" in text and "Apache-2.0" in text
    assert "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f" in text, "digests in full, on one line"
    code, text, _ = shown(["list", "--json"], capsys)
    listed: list[Mapping[str, object]] = json.loads(text)
    assert code == 0 and {network["state"] for network in listed} == {"here", "missing"}


def test_verify_ends_with_1_if_a_file_is_wrong_or_a_named_one_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    assert shown(["verify"], capsys)[0] == 0
    assert shown(["verify", "faces"], capsys)[0] == 0
    assert shown(["verify", "audio_resnet18"], capsys)[0] == 1
    (tmp_path / weights.RESNET18.name).write_bytes(b"another")
    code, text, _ = shown(["verify"], capsys)
    assert code == 1 and re.search(r"resnet18-f37072fd\.pth\s+│ wrong", text)


def test_errors_of_the_command_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    for arguments, exit_code, words in ((["export", "a.zip"], 1, "no fetched weights"),
                                        (["import", "a.zip"], 1, "there is no folder or zip file a.zip"),
                                        (["fetch", "bert"], 2, "did you mean 'text_bert'")):
        code, _, text = shown(arguments, capsys)
        assert code == exit_code and words in text and text.count("\n") == 1
