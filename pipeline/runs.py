"""The folder of one training result: what lies where, written so that a kill leaves the old or the new, never half.

::

    runs/NAME/
      config.json          stores, model, its settings, inputs, tasks, splits, training settings, notes
      history.jsonl        one line an epoch: seed, epoch, train_loss, dev_loss, lr, seconds, dev {task: {metric}}
      seed0/best.pt        the network of the best epoch with all that it needs to be used (:class:`Checkpoint`)
      seed0/last.pt        network, optimiser, scheduler and chance of the last epoch, to resume from
      seed0/events.out.…   TensorBoard
      predictions.csv      clip_id, split, seed, task, label, prediction, probability_CLASS …
      baselines.csv        clip_id, split, baseline, task, label, prediction
      metrics.json         the scores; see pipeline.evaluation

One folder ``seedN`` for each seed. In a run by folds each of the folders ``fold-1``, ``fold-2`` … is such a run of its
own, which ``evaluate`` and ``report`` take like any other; beside them stand ``config.json`` with the ``folds``, both
tables for the test clips of all folds (first column ``fold``), and ``metrics.json`` with those scored together under
``test``, each fold's own scores under ``folds``, and the ``protocol``. ``STORE.reads.jsonl`` beside a store has one
line for each time its test split was scored: appending is atomic, so that runs side by side lose no count.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import Model
from models._layers import Mixed
from pipeline import plugins
from pipeline.clip import Task
from pipeline.config import to_json
from pipeline.errors import TrainingError
from pipeline.learning.layered import is_layered

CHECKPOINT_FORMAT = 1
_MOST_JSON_BYTES = 2 ** 28
# What a mangled pickle makes the unpickler raise, found by changing single bytes of whole ones.
_UNPICKLING = (OSError, EOFError, MemoryError, RuntimeError, ArithmeticError, AssertionError, AttributeError,
               LookupError, TypeError, ValueError, struct.error, pickle.UnpicklingError, zipfile.BadZipFile)
# Parts of config.json: type and, of lists, the type of what is in them.
_CONFIG: Mapping[str, tuple[type[Any], type | None]] = {
    "features": (list, str), "dataset": (str, None), "model": (str, None), "model_config": (dict, None),
    "inputs": (list, str), "tasks": (list, str), "select_by": (str, None), "seeds": (list, int),
    "splits": (dict, None), "training": (dict, None), "notes": (list, str)}


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with everything that is needed to use it on another store or a new video.

    Args:
        model: name of the model.
        model_config: settings of the model, JSON's types.
        inputs: by feature what was learnt from: modality, row_shape, fingerprint, recipe; in the model's order.
        row_shapes: shape of one row as the model gets it, by feature.
        scaler: mean and sd of every number of a row, by feature.
        tasks: what the model answers, with class names in order.
        value_scale: mean and sd of the training values of each regression task; outputs are in these units.
        training: training settings, JSON's types.
        seed, epoch: whose and from which epoch.
        score: the dev score that chose the epoch.
        state: parameters by name.
    """

    model: str
    model_config: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    row_shapes: Mapping[str, tuple[int, ...]]
    scaler: Mapping[str, Mapping[str, Tensor]]
    tasks: tuple[Task, ...]
    value_scale: Mapping[str, tuple[float, float]]
    training: Mapping[str, Any]
    seed: int
    epoch: int
    score: float
    state: Mapping[str, Tensor]

    def save(self, path: Path) -> None:
        """Write the file whole; only plain values and tensors, so that it loads with ``weights_only``."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain = {name: to_json(value) for name, value in values.items() if name not in ("state", "scaler")}
        tensors = {"state": {name: value.detach().cpu() for name, value in self.state.items()},
                   "scaler": {name: dict(part) for name, part in self.scaler.items()}}
        save_tensors(path, {"format": CHECKPOINT_FORMAT, **plain, **tensors})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint, to the processor's memory.

        Raises:
            TrainingError: no such file, or not one of ours.
        """
        values = load_tensors(path)
        if values.pop("format", None) != CHECKPOINT_FORMAT:
            raise TrainingError(f"{path} is not a checkpoint of format {CHECKPOINT_FORMAT}; train again")
        try:
            tasks = tuple(Task(task["name"], tuple(task["classes"]), tuple(task["value_range"])
                               if task["value_range"] else None, task.get("level", "clip"), task.get("positive", ""))
                          for task in values.pop("tasks"))
            shapes = {name: tuple(map(int, shape)) for name, shape in values.pop("row_shapes").items()}
            scales = {name: (float(mean), float(sd)) for name, (mean, sd) in values.pop("value_scale").items()}
            loaded = cls(tasks=tasks, row_shapes=shapes, value_scale=scales, **values)
            loaded._check_layout()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{path} has not the layout of a checkpoint ({type(error).__name__}: {error}); train"
                                " again") from error
        return loaded

    def _check_layout(self) -> None:
        """Are the parts of the right types, and no tensor larger than what the file holds of it?

        Raises:
            ValueError: one is not.
        """
        for name, kind in (("model", str), ("model_config", dict), ("inputs", dict), ("scaler", dict),
                           ("training", dict), ("seed", int), ("epoch", int), ("state", dict)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} is a {type(getattr(self, name)).__name__}, not a {kind.__name__}")
        for name, part in self.inputs.items():
            if not {"modality", "row_shape", "fingerprint", "recipe"} <= part.keys():
                raise ValueError(f"input {name!r} lacks a part")
            if any(tuple(self.scaler[name][statistic].shape) != self.row_shapes[name] for statistic in ("mean", "sd")):
                raise ValueError(f"the scaler of {name!r} is of another shape than its rows")
        for name, value in (*self.state.items(), *((n, v) for part in self.scaler.values() for n, v in part.items())):
            if not value.is_contiguous():  # one stored number can pretend to be any shape
                raise ValueError(f"{name} is no plain tensor")

    def network(self) -> Model:
        """The network, in evaluation mode; torch's chance is left as it was.

        Raises:
            UsageError: its model is not here.
            TrainingError: its settings or its parameters are not the model's.
        """
        try:
            layered = [name for name, part in self.inputs.items() if is_layered(part)]
            with torch.device("meta"):  # takes no memory, whatever size the settings ask for
                planned = build_model(self.model, self.model_config, self.row_shapes, self.tasks, layered)
            planned.load_state_dict(self.state, assign=True)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise TrainingError(f"the checkpoint of seed {self.seed} does not fit the model {self.model!r}"
                                f" ({_first_line(error)}); train again") from error
        with torch.random.fork_rng(devices=[]):
            network = build_model(self.model, self.model_config, self.row_shapes, self.tasks, layered)
        network.load_state_dict(self.state)
        return network.eval()


def model_class(name: str) -> type[Model]:
    """The class of a model.

    Raises:
        UsageError: no model of that name.
    """
    kind: type[Model] = plugins.plugin_class("model", name)
    return kind


def build_model(name: str, settings: Mapping[str, Any], row_shapes: Mapping[str, tuple[int, ...]],
                tasks: Sequence[Task], layered: Collection[str] = ()) -> Model:
    """A fresh network; rows of the features that are ``layered`` reach it as a mix of their layers, which it learns.

    Raises:
        UsageError: no model of that name.
    """
    kind = model_class(name)
    values = {field: tuple(value) if isinstance(value, list) else value for field, value in settings.items()}
    config, outputs = kind.Config(**values), {task.name: task.num_outputs for task in tasks}
    if layered:
        return Mixed(lambda shapes: kind(config, shapes, outputs), row_shapes, layered)
    return kind(config, row_shapes, outputs)


def save_tensors(path: Path, values: Mapping[str, Any]) -> None:
    """``torch.save`` that leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    torch.save(dict(values), temporary)
    os.replace(temporary, path)


def load_tensors(path: Path) -> dict[str, Any]:
    """``torch.load`` of plain values and tensors only.

    Raises:
        TrainingError: no such file, no ordinary one, or it holds anything else.
    """
    if path.exists() and not path.is_file():
        raise TrainingError(f"{path} is not an ordinary file; expected a checkpoint that train wrote")
    if not path.is_file():
        raise TrainingError(f"there is no {path}; a finished run has one: python -m pipeline train --out {path.parent}")
    try:
        with zipfile.ZipFile(path) as archive:  # torch.save never packs: what unpacks to more was not made by it
            if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                raise zipfile.BadZipFile("it unpacks to more than its size")
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
            raise TypeError("no values by name")
    except _UNPICKLING as error:
        raise TrainingError(f"{path} is damaged or holds more than numbers and names ({_first_line(error)}); it is not"
                            " loaded: fetch it again or train again") from error
    return loaded


def _first_line(error: BaseException) -> str:
    """What went wrong, without torch's advice to load the file all the same."""
    if called := re.search(r"GLOBAL (\S+)", str(error)):
        return f"it would call {called[1]}"
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def write_json(path: Path, values: Any) -> None:
    """Write JSON whole, readable by people."""
    write_text(path, json.dumps(to_json(values), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read_json(path: Path) -> Any:
    """Read a file of a run; of ``config.json`` the types of its parts are checked.

    Raises:
        TrainingError: no such file, not JSON, or not the layout that ``train`` writes.
    """
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            raise ValueError(f"it is larger than {_MOST_JSON_BYTES // 2 ** 20} MiB")
        values = json.loads(path.read_text(encoding="utf-8"))
        if path.name == "config.json":
            _check_config(values)
        return values
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path} cannot be read ({_first_line(error)}); expected the folder of a run made by:"
                            " python -m pipeline train") from error


def _check_config(values: Any) -> None:
    if not isinstance(values, dict):
        raise ValueError("no parts by name")
    for name, (kind, inner) in _CONFIG.items():
        part = values.get(name)
        if not isinstance(part, kind) or (inner and not all(isinstance(value, inner) for value in part)):
            raise ValueError(f"its {name!r} is missing or of another type")


def read_history(run: Path) -> list[dict[str, Any]]:
    """The lines of ``history.jsonl``, in order; none when there is no file yet.

    Raises:
        TrainingError: it is no file of JSON lines.
    """
    path = run / "history.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path} cannot be read ({_first_line(error)}); remove it, the scores do not need"
                            " it") from error


def write_history(run: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``history.jsonl``."""
    write_text(run / "history.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def append_history(run: Path, line: Mapping[str, Any]) -> None:
    """Add one epoch.

    Raises:
        TrainingError: ``history.jsonl`` is a link: a folder from elsewhere may have it point to any file of the user.
    """
    path = run / "history.jsonl"
    if path.is_symlink():
        raise TrainingError(f"{path} is a link; expected a file of the run: remove it")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def seed_folders(run: Path) -> list[Path]:
    """Folders of the seeds that have a best network, by seed.

    Raises:
        TrainingError: there is none.
    """
    folders = [path.parent for path in run.glob("seed*/best.pt") if re.fullmatch(r"seed\d{1,9}", path.parent.name)]
    if not folders and (run / "fold-1").is_dir():
        raise TrainingError(f"{run} is a run by folds; name one of them, for instance {run / 'fold-1'}")
    if not folders:
        raise TrainingError(f"{run} holds no trained network (seed*/best.pt); make one with: python -m pipeline train"
                            f" --features STORE --out {run}")
    return sorted(folders, key=lambda folder: int(folder.name.removeprefix("seed")))


def count_read(stores: Sequence[Path], *, split: str, run: Path, by: str) -> dict[str, int | None]:
    """Note that the test split of some stores was scored once more.

    Args:
        stores: files that were read.
        split: name of the split that was scored.
        run: whose scores they are.
        by: ``"train"`` or ``"evaluate"``.

    Returns:
        How often each store's test split has been scored so far, by path, this time included; None where the folder of
        the store is read-only and nobody can count.
    """
    line = json.dumps({"split": split, "run": run.name, "by": by,
                       "when": datetime.now(timezone.utc).isoformat(timespec="seconds")})
    counts: dict[str, int | None] = {}
    for store in stores:
        path = store.with_name(f"{store.name}.reads.jsonl")
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            counts[str(store)] = len(path.read_text(encoding="utf-8").splitlines())
        except PermissionError:
            counts[str(store)] = None
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            counts[str(store)] = None
    return counts
