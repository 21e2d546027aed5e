"""Manifests, checkpoints and settings of runs that mean harm, made for real."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.datasets.manifest import Manifest
from pipeline.errors import PipelineError
from pipeline.runs import Checkpoint, read_json, seed_folders

MANIFESTS: tuple[tuple[str, bytes, str], ...] = (
    ("path ../../secret.mp4", b"path\n../../secret.mp4\n", r"row 2: path '../../secret.mp4' leaves"),
    ("path through a nested link that leaves the folder", b"path\ninner/away/x.mp4\n", "row 2: path .* leaves"),
    ("id ../../x", b"path,id\na.mp4,../../x\n", "row 2: id is '../../x'; expected a name without"),
    ("id /etc/passwd", b"path,id\na.mp4,/etc/passwd\n", "row 2: id is '/etc/passwd'; expected a name without"),
    ("split ..", b"path,split\na.mp4,..\n", "row 2: split is '..'; expected a name"),
    ("NUL in an id", b"path,id\na.mp4,x\0y\n", "line 2: a NUL character"),
    ("terminal escape in an id", b"path,id\na.mp4,\x1b[2J\n", "row 2: id is .*no control characters"),
    ("terminal escape in a label", b"path,mood\na.mp4,\x1b[2J\n", "row 2: mood is .*no control characters"),
    ("terminal escape in a speaker", b"path,speaker\na.mp4,\xc2\x9b2J\n", "row 2: speaker is .*no control characters"),
    ("cell of a million characters", b"path,text\na.mp4," + b"x" * 10 ** 6 + b"\n",
     "row 2: 'text' has 1,000,000 characters; expected at most 100,000"),
    ("id of 1,000 characters", b"path,id\na.mp4," + b"x" * 1000 + b"\n", "row 2: id is .* at most 500 characters"),
    ("10,000 columns", b"path" + b",c" * 9999 + b"\na.mp4" + b",1" * 9999 + b"\n", "has 10,000 columns"),
    ("equal ids", b"path,id\na.mp4,x\nb.mp4,x\n", "rows 2 and 3 are both 'all/x'"),
    ("start nan", b"path,start\na.mp4,nan\n", "row 2: start is 'nan'"),
    ("end inf", b"path,end\na.mp4,inf\n", "row 2: end is 'inf'"),
    ("end 1e999", b"path,end\na.mp4,1e999\n", "row 2: end is '1e999'"),
    ("end 1e300", b"path,end\na.mp4,1e300\n", "row 2: end is '1e300'"),
    ("start -1", b"path,start\na.mp4,-1\n", "row 2: start is '-1'"),
    ("turn 1e300", b"path,turn\na.mp4,1e300\n", "row 2: turn is '1e300'"),
    ("end before start", b"path,start,end\na.mp4,2,1\n", "row 2: .* is empty"),
    ("label 1e999 among numbers", b"path,v\na.mp4,0.5\nb.mp4,1e999\n", "row 3: v is '1e999'"),
    ("binary junk", bytes(range(1, 256)) * 20, "is not UTF-8"),
    ("UTF-16", "path\na.mp4\n".encode("utf-16"), "is UTF-16; save the file as CSV UTF-8"),
    ("CP1252", "path,text\na.mp4,café\n".encode("cp1252"), "line 2: byte 0xe9 is not UTF-8"),
    ("byte order mark", b"\xef\xbb\xbfpath\na.mp4\n", ""),
    ("spreadsheet formula", b"path,text,mood\na.mp4,=1+1,=cmd|'/C calc'!A0\n", ""),
    ("HTML in id, text and label", b"path,id,text,mood\na.mp4,<b>x<b>,<script>alert(1)</script>,<img src=x>\n", ""),
)


def attempt_manifest(folder: Path, data: bytes) -> str:
    """What comes of a manifest: its clips, or the error in one line."""
    home = folder / "home"
    (home / "inner").mkdir(parents=True, exist_ok=True)
    if not (home / "inner" / "away").exists():
        (home / "inner" / "away").symlink_to(folder)
    (home / "clips.csv").write_bytes(data)
    try:
        clips = list(Manifest(Manifest.Config(manifest=home / "clips.csv")).clips())
    except PipelineError as error:
        return str(error)
    return f"used as text: {', '.join(clip.clip_id for clip in clips)}"


class Payload:
    """Runs as soon as it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def checkpoint_values(**changed: Any) -> dict[str, Any]:
    """A whole checkpoint of a small network as a dictionary, with some parts changed."""
    from models.early import Early
    with torch.random.fork_rng(devices=[]):
        network = Early(Early.Config(hidden=8), {"text": (4,)}, {"emotion": 2})
    values = {"format": 1, "model": "early", "model_config": {"hidden": 8, "pools": ["mean"], "dropout": 0.5},
              "inputs": {"text": {"modality": "text", "row_shape": [4], "fingerprint": "f", "recipe": {}}},
              "row_shapes": {"text": [4]}, "scaler": {"text": {"mean": torch.zeros(4), "sd": torch.ones(4)}},
              "tasks": [{"name": "emotion", "classes": ["calm", "glad"], "value_range": None}], "value_scale": {
                  "emotion": [0.0, 1.0]}, "training": {}, "seed": 0, "epoch": 1, "score": 0.5,
              "state": network.state_dict()}
    return {**values, **changed}


def _deflated(path: Path) -> None:
    """A checkpoint packed so that two megabytes unpack to two thousand."""
    torch.save(checkpoint_values(), path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("archive/data/99", "w") as part:
        for _ in range(32):
            part.write(bytes(2 ** 20))


def _saved(**changed: Any) -> Callable[[Path, Path], None]:
    return lambda path, _mark: torch.save(checkpoint_values(**changed), path)


def _halved(path: Path, _mark: Path) -> None:
    torch.save(checkpoint_values(), path)
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


DAMAGED = "is damaged or holds more than numbers and names .*it is not loaded"
LAYOUT = "has not the layout of a checkpoint"
CHECKPOINTS: tuple[tuple[str, Callable[[Path, Path], object], str], ...] = (
    ("pickle payload in best.pt", lambda path, mark: torch.save(checkpoint_values(state=Payload(mark)), path),
     r"holds more than numbers and names \(it would call posix.mkdir\); it is not loaded"),
    ("bare pickle named best.pt", lambda path, mark: path.write_bytes(pickle.dumps(Payload(mark))), DAMAGED),
    ("best.pt of the old format with a payload", lambda path, mark: torch.save(
        Payload(mark), path, _use_new_zipfile_serialization=False), DAMAGED),
    ("best.pt cut in half", _halved, DAMAGED),
    ("best.pt that unpacks to more than its size", lambda path, _: _deflated(path), DAMAGED),
    ("best.pt that is a list", lambda path, _: torch.save([1, 2], path), DAMAGED),
    ("best.pt without parts", lambda path, _: torch.save({"format": 1}, path), LAYOUT),
    ("best.pt with parts of wrong types", _saved(tasks=5), LAYOUT),
    ("best.pt with an unknown part", _saved(extra=1), LAYOUT),
    ("tensor that pretends to have 10^12 numbers", _saved(scaler={"text": {
        "mean": torch.zeros(1).expand(10 ** 12), "sd": torch.ones(4)}}), LAYOUT),
    ("parameter that pretends to have 10^12 numbers", _saved(state={
        "heads.for_emotion.bias": torch.zeros(1).expand(10 ** 12)}), LAYOUT),
    ("settings that ask for 10^9 hidden units", _saved(
        model_config={"hidden": 10 ** 9, "pools": ["mean"], "dropout": 0.5}), "does not fit the model 'early'"),
    ("settings of wrong types", _saved(model_config={"hidden": "many"}), "does not fit the model 'early'"),
    ("model named ../../evil", _saved(model="../../evil"), "no model named '../../evil'"),
    ("best.pt that is a link to /dev/zero", lambda path, _: path.symlink_to("/dev/zero"), "is not an ordinary file"),
)


def attempt_checkpoint(run: Path) -> str:
    """What comes of loading the network of a run."""
    try:
        for folder in seed_folders(run):
            Checkpoint.load(folder / "best.pt").network()
    except PipelineError as error:
        return str(error)
    return "loaded"


CONFIGS: tuple[tuple[str, str, str], ...] = (
    ("config.json nested 100,000 deep", "[" * 100_000, "config.json cannot be read"),
    ("config.json that is a list", "[]", "no parts by name"),
    ("config.json with parts of wrong types", json.dumps({"features": "../../etc/passwd"}), "'features' is missing or"),
    ("config.json with a number of 10,000 digits", '{"seeds": ' + "9" * 10_000 + "}", "config.json cannot be read"),
)


def attempt_config(run: Path, text: str) -> str:
    """What comes of reading a run's settings."""
    (run / "config.json").write_text(text)
    try:
        read_json(run / "config.json")
    except PipelineError as error:
        return str(error)
    return "read"
