"""The folder of one training result: what lies where, written so that a kill leaves the old or the new, never half.

::

    runs/NAME/
      config.json          stores, model, its settings, inputs, tasks, splits, training settings, notes
      history.jsonl        one line an epoch: seed, epoch, train_loss, dev_loss, lr, seconds, dev {task: {metric}}
      seed0/best.pt        the network of the best epoch with all that it needs to be used (:class:`Checkpoint`)
      seed0/last.pt        network, optimiser, scheduler and chance of the last epoch, to resume from
      seed0/events.out.…   TensorBoard
      predictions.csv      clip_id, split, seed, task, label, prediction, probability_CLASS …
      metrics.json         the scores; see pipeline.evaluation

One folder ``seedN`` for each seed. ``STORE.reads.jsonl`` beside a store has one line for each time its test split was
scored: appending is atomic, so that runs side by side lose no count.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import Model
from pipeline import plugins
from pipeline.clip import Task
from pipeline.config import to_json
from pipeline.errors import TrainingError

CHECKPOINT_FORMAT = 1


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
        tasks = tuple(Task(task["name"], tuple(task["classes"]),
                           tuple(task["value_range"]) if task["value_range"] else None) for task in values.pop("tasks"))
        shapes = {name: tuple(shape) for name, shape in values.pop("row_shapes").items()}
        scales = {name: (float(mean), float(sd)) for name, (mean, sd) in values.pop("value_scale").items()}
        return cls(tasks=tasks, row_shapes=shapes, value_scale=scales, **values)

    def network(self) -> Model:
        """The network, in evaluation mode; torch's chance is left as it was.

        Raises:
            UsageError: its model is not here.
        """
        with torch.random.fork_rng(devices=[]):
            network = build_model(self.model, self.model_config, self.row_shapes, self.tasks)
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
                tasks: Sequence[Task]) -> Model:
    """A fresh network.

    Raises:
        UsageError: no model of that name.
    """
    kind = model_class(name)
    values = {field: tuple(value) if isinstance(value, list) else value for field, value in settings.items()}
    return kind(kind.Config(**values), row_shapes, {task.name: task.num_outputs for task in tasks})


def save_tensors(path: Path, values: Mapping[str, Any]) -> None:
    """``torch.save`` that leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    torch.save(dict(values), temporary)
    os.replace(temporary, path)


def load_tensors(path: Path) -> dict[str, Any]:
    """``torch.load`` of plain values and tensors only.

    Raises:
        TrainingError: no such file, or it holds anything else.
    """
    if not path.is_file():
        raise TrainingError(f"there is no {path}; a finished run has one: python -m pipeline train --out {path.parent}")
    try:
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise TrainingError(f"{path} is damaged or holds more than numbers and names"
                            f" ({str(error).splitlines()[0]}); it is not loaded") from error
    return loaded


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
    """Read a file of a run.

    Raises:
        TrainingError: no such file, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); expected the folder of a run made by: python -m pipeline"
                            " train") from error


def read_history(run: Path) -> list[dict[str, Any]]:
    """The lines of ``history.jsonl``, in order; none when there is no file yet."""
    path = run / "history.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def write_history(run: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``history.jsonl``."""
    write_text(run / "history.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def append_history(run: Path, line: Mapping[str, Any]) -> None:
    """Add one epoch."""
    with (run / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def seed_folders(run: Path) -> list[Path]:
    """Folders of the seeds that have a best network, by seed.

    Raises:
        TrainingError: there is none.
    """
    folders = [path.parent for path in run.glob("seed*/best.pt")]
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
