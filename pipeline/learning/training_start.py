"""Where training starts from: another run's network, or an imported one, in place of chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import Model
from pipeline.errors import TrainingError
from pipeline.learning.scaling import Scaler
from pipeline.runs import Checkpoint, seed_folders
from pipeline.weights import file_digest


@dataclass(frozen=True)
class TrainingStart:
    """A network to start from.

    Args:
        path: its file.
        checkpoint: what the file holds.
        digest: SHA-256 of the file, first 32 hex digits.
        by_chance: beginnings of the names of weights that the file has not, so that they come from chance.
    """

    path: Path
    checkpoint: Checkpoint
    digest: str
    by_chance: tuple[str, ...] = ()

    @classmethod
    def open(cls, place: str, make_network: Callable[[], Model]) -> TrainingStart:
        """The network that a setting names, tried on one that is to be trained.

        Args:
            place: a run, whose first seed counts, or a checkpoint: ``best.pt`` or ``start.pt``.
            make_network: what is to be trained; torch's chance is left as it was.

        Raises:
            TrainingError: there is none, or it is damaged, or does not fit.
        """
        path = Path(place)
        if path.is_dir():
            path = path / "start.pt" if (path / "start.pt").is_file() else seed_folders(path)[0] / "best.pt"
        start = cls(path, Checkpoint.load(path), file_digest(path))
        with torch.random.fork_rng(devices=[]):
            return replace(start, by_chance=start.load_into(make_network()))

    @property
    def note(self) -> str:
        """What a reader of the scores must know."""
        rest = f"; from chance: {', '.join(self.by_chance)}" if self.by_chance else ""
        return f"training started from {self.path}{rest}"

    def load_into(self, network: Model) -> tuple[str, ...]:
        """Take over all weights that the network has too; those that it alone has stay as they are.

        Args:
            network: freshly made.

        Returns:
            Beginnings of the names of weights that come from chance, by part, sorted; none where all are taken over.

        Raises:
            TrainingError: it has no weight in common, or one of another shape.
        """
        own, given = network.state_dict(), self.checkpoint.state
        common = own.keys() & given.keys()
        wrong = sorted(f"{name} {_shape(given[name])}, here {_shape(own[name])}" for name in common
                       if given[name].shape != own[name].shape)
        if wrong or not common:
            found = "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
            raise TrainingError(f"training cannot start from {self.path}: {found or 'it has no weight of this model'}."
                                f" It is of the model {self.checkpoint.model!r} with"
                                f" {_settings(self.checkpoint.model_config)}; train the same, or leave --init out")
        network.load_state_dict({**own, **{name: given[name] for name in common}})
        return tuple(sorted({".".join(name.split(".")[:2]) for name in own.keys() - common}))

    def scaler(self, fitted: Scaler) -> Scaler:
        """The statistics that the start's weights are used to, and those that were fitted for all other features.

        Raises:
            TrainingError: rows of one are of another shape.
        """
        learnt = self.checkpoint.scaler
        for name in fitted.mean.keys() & learnt.keys():
            if learnt[name]["mean"].shape != fitted.mean[name].shape:
                raise TrainingError(f"training cannot start from {self.path}: rows of {name} were"
                                    f" {_shape(learnt[name]['mean'])} there and are {_shape(fitted.mean[name])} here;"
                                    " extract it as there, or leave --init out")
        return Scaler({name: learnt[name]["mean"] if name in learnt else mean for name, mean in fitted.mean.items()},
                      {name: learnt[name]["sd"] if name in learnt else sd for name, sd in fitted.sd.items()})

    def plan(self) -> dict[str, Any]:
        """What ``config.json`` holds of it."""
        return {"path": str(self.path), "digest": self.digest, "model": self.checkpoint.model}


def _shape(values: Tensor) -> str:
    return "×".join(map(str, values.shape)) or "a number"


def _settings(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items() if value not in ([], ""))
