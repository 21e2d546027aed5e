"""Published active-speaker networks as runs of this program: TalkNet and Light-ASD whole, LoCoNet and TalkNCE in part.

Only names differ: layers are those of ``models/active_speaker.py``. LoCoNet hears with another network (VGGish on
log-mel pictures) and looks at three faces at a time; what it has in common with TalkNet is taken, its pictures and the
attention between the sides, as a start for training. TalkNCE is a LoCoNet that was trained with another loss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from models.active_speaker import ActiveSpeaker
from pipeline.clip import Task
from pipeline.config import to_json
from pipeline.errors import TrainingError, UsageError, WeightsError
from pipeline.learning.train_config import TrainConfig
from pipeline.networks.checkpoints import unwrapped_state
from pipeline.recipes import choose_extractors, plan_features
from pipeline.runs import Checkpoint, write_json
from pipeline.weights import sha256

Layout = Literal["talknet", "light-asd", "loconet", "talknce"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
SPEAKING = Task("speaking", ("not_speaking", "speaking"), level="frame", positive="speaking")
WHOLE = "talknet", "light-asd"      # layouts that are a whole network of ours
SHAPES = {"asd_faces": (112, 112), "asd_audio": (4, 13)}
_LEFT_OUT = "model.audioEncoder.", "model.convAV.", "lossAV."    # of LoCoNet: hears otherwise, and looks at three faces
_PICTURES, _SOUND = "seen.for_asd_faces", "heard.for_asd_audio"
_HEADS = ((r"lossAV\.FC\.", "heads.for_speaking."), (r"lossA\.FC\.", "sound_heads.for_speaking."),
          (r"lossV\.FC\.", "picture_heads.for_speaking."))
_ATTENTION = ((r"self_attn\.", "attention."), (r"linear1\.", "first."), (r"linear2\.", "second."),
              (r"norm1\.", "first_norm."), (r"norm2\.", "second_norm."))


@dataclass(frozen=True)
class ImportedSpeaker:
    """What came of a published network.

    Args:
        path: a run, or of a part of a network a file to start training from.
        num_taken: weights and statistics that were taken over.
        left_out: beginnings of published names that nothing here stands for.
    """

    path: Path
    num_taken: int
    left_out: tuple[str, ...]


def import_speaker(source: Path, layout: str, out: Path | None = None) -> ImportedSpeaker:
    """Make a run, or a start for one, of a published active-speaker network.

    Args:
        source: as its publisher gives it; nothing in it is executed.
        layout: ``"talknet"``, ``"light-asd"``, ``"loconet"`` or ``"talknce"``.
        out: folder; by default ``runs/LAYOUT-NAME``.

    Returns:
        Of ``talknet`` and ``light-asd`` a run, which scores face tracks as published; of the others the file
        ``start.pt``, for ``train --init``.

    Raises:
        UsageError: no such layout.
        WeightsError: not such a network, or one with other or missing layers, which are named.
        TrainingError: the folder holds a run already.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"--format {layout}: expected one of {', '.join(LAYOUTS)}")
    run = out if out is not None else Path("runs") / f"{layout}-{source.stem}"
    if (run / "config.json").exists() or (run / "start.pt").exists():
        raise TrainingError(f"{run} already holds a run; name another folder with --out")
    is_whole, variant = layout in WHOLE, "light" if layout == "light-asd" else "talknet"
    config = ActiveSpeaker.Config(variant=variant)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ActiveSpeaker(config, SHAPES, {SPEAKING.name: SPEAKING.num_outputs})
    taken = _taken(source, layout, network)
    state = {**network.state_dict(), **taken} if is_whole else taken
    inputs = _inputs(SHAPES if is_whole else ("asd_faces",))
    training = {**to_json(TrainConfig(level="frame")), "imported": layout, "sha256": sha256(source)}
    checkpoint = Checkpoint("active_speaker", to_json(config), inputs, {name: SHAPES[name] for name in inputs},
                            {name: _as_stored(name) for name in inputs}, (SPEAKING,), {SPEAKING.name: (0.0, 1.0)},
                            training, 0, 0, 0.0, state)
    path = run / "seed0" / "best.pt" if is_whole else run / "start.pt"
    checkpoint.save(path)
    if is_whole:
        write_json(run / "config.json", _plan(checkpoint, source, layout))
    return ImportedSpeaker(run if is_whole else path, len(taken), () if is_whole else _LEFT_OUT)


def _taken(source: Path, layout: str, network: ActiveSpeaker) -> dict[str, Tensor]:
    """Published values under our names and in our shapes.

    Raises:
        WeightsError: some are unknown, missing, or of another shape.
    """
    if not source.is_file():
        raise WeightsError(f"there is no file {source}; expected a network as its publisher gives it")
    found, unknown = {}, []
    rules = _RULES["loconet" if layout == "talknce" else layout]
    for name, value in unwrapped_state(source, network).items():
        plain = _plain(name)
        ours = _renamed(plain, rules)
        if ours is not None:
            found[ours] = value
        elif layout in WHOLE or not plain.startswith(_LEFT_OUT):
            unknown.append(plain)
    own = network.state_dict()
    wanted = {name for name in own if any(name.startswith(target) for target in _targets(rules))}
    wrong = [f"{name} of shape {tuple(getattr(value, 'shape', ()))}" for name, value in found.items()
             if name in own and not _fits(value, own[name])]
    missing = sorted(name for name in wanted - found.keys() if not name.endswith("num_batches_tracked"))
    for what, names in (("without", missing), ("with unknown", [*unknown, *sorted(found.keys() - own.keys())]),
                        ("with", wrong)):
        if names:
            raise WeightsError(f"{source} is no network of the layout {layout}: {what} {', '.join(names[:3])}"
                               f"{f' and {len(names) - 3} more' if len(names) > 3 else ''}; expected the publisher's"
                               f" file, or another --format: {', '.join(LAYOUTS)}")
    return {name: value.detach().reshape(own[name].shape).to(own[name].dtype) for name, value in found.items()}


def _plain(name: str) -> str:
    """A name without what training on several GPUs puts in front of it."""
    while name.startswith(("module.", "model.module.")):
        name = name[name.index("module.") + len("module."):]
    return name


def _renamed(name: str, rules: Sequence[tuple[str, str]]) -> str | None:
    for pattern, ours in rules:
        if match := re.match(pattern, name):
            if "{stage}" in ours:  # theirs are counted from 1
                ours = ours.replace("{stage}", str(int(match[1]) - 1))
            end = re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", name[match.end():]))
            return match.expand(ours) + end
    return None


def _targets(rules: Sequence[tuple[str, str]]) -> set[str]:
    """Beginnings of our names that rules lead to."""
    return {re.split(r"\{|\\", ours)[0] for _, ours in rules}


def _fits(value: Any, own: Tensor) -> bool:
    """Is it a tensor of the same shape but for axes of length 1?"""
    return isinstance(value, Tensor) and [n for n in value.shape if n != 1] == [n for n in own.shape if n != 1]


def _inputs(names: Sequence[str] | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Features of face tracks as the published networks were trained on, as a checkpoint describes them."""
    chosen = choose_extractors(tuple(names), {}, shared={"clips": "tracks"}, device=torch.device("cpu"))
    planned = {feature.name: feature for feature in plan_features(chosen)}
    return {name: {"modality": chosen[name].modality, "row_shape": list(chosen[name].row_shape),
                   "fingerprint": planned[name].fingerprint, "recipe": planned[name].recipe} for name in names}


def _as_stored(name: str) -> dict[str, Tensor]:
    """The statistics of a feature that reaches the network as it is, pictures in [0, 1]."""
    shape = SHAPES[name]
    return {"mean": torch.zeros(shape), "sd": torch.full(shape, 255.0 if name == "asd_faces" else 1.0)}


def _plan(checkpoint: Checkpoint, source: Path, layout: str) -> dict[str, Any]:
    """``config.json`` of a run that was not trained here."""
    return {"dataset": layout, "features": [], "model": checkpoint.model, "model_config": checkpoint.model_config,
            "inputs": list(checkpoint.inputs), "tasks": [SPEAKING.name], "select_by": "average_precision",
            "fingerprints": {name: part["fingerprint"] for name, part in checkpoint.inputs.items()}, "seeds": [0],
            "training": to_json(TrainConfig(level="frame")),
            "splits": {"train": "train", "dev": "dev", "test": "test", "dev_carved": False, "dev_is_test": False,
                       "used_clips": {"train": 0, "dev": 0}},
            "notes": [f"trained elsewhere; imported from {source.name}, layout {layout}, SHA-256 {sha256(source)}"]}


_RESNET = ((r"conv1a", "convolutions.0"), (r"conv2a", "convolutions.1"), (r"conv1b", "convolutions.2"),
           (r"conv2b", "convolutions.3"), (r"bn1a", "norms.0"), (r"outbna", "norms.1"), (r"bn1b", "norms.2"),
           (r"outbnb", "norms.3"), (r"downsample", "shortcut"))
_SEPARABLE = ((1, "norm"), (2, "time"), (3, "slope"), (4, "clip_norm"), (5, "mix"))
_EXCITED = ((r"conv1", "first"), (r"conv2", "second"), (r"bn1", "first_norm"), (r"bn2", "second_norm"),
            (r"se\.fc\.0", "squeeze"), (r"se\.fc\.2", "excite"), (r"downsample\.0", "shortcut"),
            (r"downsample\.1", "shortcut_norm"))
_SIDES = (
    (r"model\.visualFrontend\.frontend3D\.0\.", f"{_PICTURES}.encoder.stem."),
    (r"model\.visualFrontend\.frontend3D\.1\.", f"{_PICTURES}.encoder.stem_norm."),
    *((rf"model\.visualFrontend\.resnet\.layer(\d)\.{theirs}\.", f"{_PICTURES}.encoder.blocks.{{stage}}.{ours}.")
      for theirs, ours in _RESNET),
    *((rf"model\.visualTCN\.net\.(\d)\.net\.{place}\.", rf"{_PICTURES}.time.blocks.\1.{ours}.")
      for place, ours in _SEPARABLE),
    *((rf"model\.visualConv1D\.net\.{place}\.", f"{_PICTURES}.time.{ours}.")
      for place, ours in ((0, "narrow"), (1, "norm"), (3, "last"))),
    *((rf"model\.{theirs}\.{part}", f"join.{ours}.{name}")
      for theirs, ours in (("crossA2V", "heard_by_seen"), ("crossV2A", "seen_by_heard")) for part, name in _ATTENTION))
_TALKNET = (
    *_SIDES, *_HEADS, *((rf"model\.selfAV\.{part}", f"join.over_both.{name}") for part, name in _ATTENTION),
    (r"model\.audioEncoder\.conv1\.", f"{_SOUND}.encoder.stem."),
    (r"model\.audioEncoder\.bn1\.", f"{_SOUND}.encoder.stem_norm."),
    *((rf"model\.audioEncoder\.layer(\d)\.(\d+)\.{theirs}\.", rf"{_SOUND}.encoder.blocks.{{stage}}.\2.{ours}.")
      for theirs, ours in _EXCITED))
_LIGHT = (
    _HEADS[0], _HEADS[2],
    *((rf"model\.{theirs}\.block(\d)\.{part}\.", f"{ours}.encoder.blocks.{{stage}}.{name}.")
      for theirs, ours, letter, axis in (("visualEncoder", _PICTURES, "s", "space"),
                                         ("audioEncoder", _SOUND, "m", "band"))
      for part, name in (*((f"{letter}_{size}", f"{'bands' if axis == 'band' else axis}.{place}")
                           for place, size in enumerate((3, 5))),
                         *((f"t_{size}", f"time.{place}") for place, size in enumerate((3, 5))),
                         *((f"bn_{letter}_{size}", f"{axis}_norms.{place}") for place, size in enumerate((3, 5))),
                         *((f"bn_t_{size}", f"time_norms.{place}") for place, size in enumerate((3, 5))),
                         ("last", "mix"), ("bn_last", "mix_norm"))),
    (r"model\.GRU\.gru_forward\.", "join.detector.forwards."),
    (r"model\.GRU\.gru_backward\.", "join.detector.backwards."))
# Patterns of published names, with what stands for them here; {stage} is the first number, which they count from 1.
_RULES: Mapping[str, Sequence[tuple[str, str]]] = {
    "talknet": _TALKNET, "loconet": (*_SIDES, *_HEADS[1:]), "light-asd": _LIGHT}
