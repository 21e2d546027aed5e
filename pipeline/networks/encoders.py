"""Any encoder that transformers loads, by name or folder: what the encoders of speech and of faces share.

An encoder has L layers and so L + 1 hidden states of D numbers: the zeroth goes into its first layer, the last is its
output, with the closing norm where it has one.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from pipeline.config import digest, setting
from pipeline.devices import DtypeChoice
from pipeline.errors import UsageError, WeightsError
from pipeline.extractors import Extractor
from pipeline.networks.backbones import RANDOM_SEED
from pipeline.networks.hidden_states import explained, hidden_states, load_network, random_network
from pipeline.networks.hub import PREPROCESSORS, HubModel, model_folder
from pipeline.weights import WeightsRecord, check_published, file_digest, random_record

NAMES_ONLY = ("_name_or_path", "transformers_version")
PARTS = ("feature_extractor", "image_processor")  # of a processor_config.json


@dataclass(frozen=True)
class EncoderConfig(Extractor.Config):
    """Settings of every encoder; a subclass says which model is the default."""

    model: str = setting("", "name on the Hugging Face hub, or a folder with config and weights (safetensors)")
    weights: str = setting("pretrained", "pretrained, or random (no download); a folder that holds the model's folder")
    layers: str = setting("all", "all: one row a clip, the mean of each layer, (L + 1, D), to be mixed in training;"
                          " rows with times: last, last_four (their mean), a number (0: below the first), or several as"
                          " 6,9")
    dtype: DtypeChoice = setting("auto", "compute type; auto: bfloat16 where the hardware multiplies it")
    batch_size: int = setting(4, "windows or crops of a clip at a time", machine=True)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size is at least 1, found {self.batch_size}")
        if not re.fullmatch(r"all|last|last_four|\d{1,4}(,\d{1,4})*", self.layers, re.ASCII):
            raise ValueError(f"layers is all, last, last_four or numbers as 6,9, found {self.layers}")

    @property
    def numbers(self) -> tuple[int, ...]:
        """The layers that are given by number; none otherwise."""
        return tuple(map(int, self.layers.split(","))) if self.layers[0].isdigit() else ()


class Encoder(Extractor):
    """What encoders have in common: the model's folder, its weights, its layers.

    Attributes:
        name: of the extractor, for messages.
        subject: what it encodes, for messages.
        input_name: what transformers calls the network's input.
        signature: entries that the ``config.json`` of such an encoder has: a whole number or a list of them.
        hint: what to think of where a network's hidden states are not as expected.
        known: what a published model is, its licence, its MB and its commit, by its name on the hub.
    """

    name: ClassVar[str]
    subject: ClassVar[str]
    input_name: ClassVar[str]
    signature: ClassVar[tuple[str, ...]]
    hint: ClassVar[str]
    known: ClassVar[Mapping[str, tuple[str, str, float, str]]]

    @classmethod
    def hub_model(cls, model: str) -> HubModel:
        """A model of the hub, as it is fetched into the weights folder."""
        unknown = f"an encoder of {cls.subject} of the Hugging Face hub", "stated on its page", 0.0, "main"
        what, licence, megabytes, revision = cls.known.get(model, unknown)
        return HubModel(model.replace("/", "--"), what, licence, megabytes, cls.load_folder, model, revision,
                        owner=cls.name)

    @classmethod
    def load_folder(cls, folder: Path) -> object:
        """Load the network of a folder, for a look at whether it is whole.

        Raises:
            WeightsError: it is not.
        """
        encoder = cls(cls.Config(model=str(folder)))  # type: ignore[call-arg]
        return encoder.row_shape, encoder.network

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Is the model in a folder, by its ``config.json``, one for this extractor?"""
        try:
            found = _read_json(folder / "config.json")
        except (OSError, ValueError):
            return False
        return all(_is_count(found.get(name)) for name in cls.signature)

    @property
    @abstractmethod
    def random_architecture(self) -> dict[str, Any]:
        """``config.json`` of the default model, for random weights without a folder."""

    @property
    @abstractmethod
    def random_preprocessor(self) -> dict[str, Any]:
        """``preprocessor_config.json`` of the default model, likewise."""

    @property
    @abstractmethod
    def trial(self) -> tuple[Tensor, range]:
        """An input of the network, and how many steps T its hidden states may have for it."""

    @property
    def sources(self) -> tuple[HubModel, ...]:
        choice, model = self.config.weights, self.config.model
        return (self.hub_model(model),) if choice == "pretrained" and not Path(model).is_dir() else ()

    @cached_property
    def folder(self) -> Path | None:
        """The model's folder on disk; None for random weights without a folder.

        Raises:
            WeightsError: there is no such folder and it cannot be fetched.
        """
        return model_folder(self.config.model, self.config.weights, self.hub_model(self.config.model))

    @cached_property
    def architecture(self) -> dict[str, Any]:
        """The model's ``config.json``.

        Raises:
            WeightsError: it is not there, is not JSON, or is that of another kind of model.
        """
        if self.folder is None:
            return self.random_architecture
        path = self.folder / "config.json"
        try:
            found = _read_json(path)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} cannot be read ({error}); {self.name}.model is a name on the hub or a folder"
                               " with config.json, preprocessor_config.json and weights") from error
        lacking = [name for name in self.signature if not _is_count(found.get(name))]
        if lacking:
            raise WeightsError(f"{self.folder} is not an encoder of {self.subject}: its config.json (model_type"
                               f" {found.get('model_type', 'none')}) has no {' or '.join(lacking)}")
        return found

    @cached_property
    def preprocessor(self) -> dict[str, Any]:
        """How the model wants its input: its ``preprocessor_config.json``.

        Raises:
            WeightsError: it is not there or is not JSON.
        """
        if self.folder is None:
            return self.random_preprocessor
        path = next((self.folder / name for name in PREPROCESSORS if (self.folder / name).is_file()), None)
        if path is None:
            raise WeightsError(f"{self.folder} does not say how the model wants its input; expected the publisher's"
                               " preprocessor_config.json")
        try:
            found = _read_json(path)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} cannot be read ({error}); expected the publisher's file") from error
        return next((found[part] for part in PARTS if isinstance(found.get(part), dict)), found)

    @property
    def row_shape(self) -> tuple[int, ...]:
        width, last = int(self.architecture["hidden_size"]), int(self.architecture["num_hidden_layers"])
        numbers = self.config.numbers
        if max(numbers, default=0) > last:
            raise UsageError(f"{self.name}.layers={self.config.layers}: the model has layers 1 to {last}, and 0 below"
                             " them")
        if self.config.layers == "all":
            return (last + 1, width)
        return (len(numbers), width) if len(numbers) > 1 else (width,)

    @property
    def weights(self) -> tuple[WeightsRecord, ...]:
        kind = str(self.architecture.get("model_type", "encoder"))
        if self.config.weights == "random":
            record = random_record(f"{kind} {json.dumps(self.architecture, sort_keys=True, default=str)}", RANDOM_SEED)
            return (WeightsRecord(kind, "random", record.name, record.digest),)
        assert self.folder is not None
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            raise WeightsError(f"{self.folder} holds no weights as *.safetensors, and weights that are pickles are not"
                               " loaded; take a model or a revision that has them")
        for source in self.sources:
            for file in files:
                check_published(file, source.expected().get(file.name, ""))
        return tuple(WeightsRecord(kind, "pretrained" if self.config.weights == "pretrained" else "file",
                                   f"{self.folder.name}/{file.name}", file_digest(file)) for file in files)

    def settings(self) -> dict[str, Any]:
        self.row_shape  # refuses layers that the model has not, before any clip is touched
        settings = super().settings()
        settings.pop("model")  # a folder may move: what counts is what lies in it, and the weights' digest
        settings["architecture"] = digest({key: value for key, value in self.architecture.items()
                                           if key not in NAMES_ONLY})
        return settings

    @cached_property
    def network(self) -> torch.nn.Module:
        """The encoder in evaluation mode, loaded and tried out at first use.

        Raises:
            WeightsError: the folder's weights cannot be loaded, some of the encoder's are not in it, or it is none.
        """
        if self.config.weights == "random":
            network = random_network(self.folder, self.architecture, RANDOM_SEED)
        else:
            self.weights  # refuses a folder without safetensors
            assert self.folder is not None
            network = load_network(self.folder)
        network = network.eval().requires_grad_(False).to(self.device, getattr(torch, self.compute_dtype))
        self._try_out(network)
        return network

    def _try_out(self, network: torch.nn.Module) -> None:
        """Refuse a network whose hidden states are not what the rows are made of, before any clip is touched."""
        self.row_shape  # refuses layers that the model has not
        wrong = f"{self.folder} is not an encoder of {self.subject}"
        takes = getattr(network, "main_input_name", None)
        if takes != self.input_name:
            raise WeightsError(f"{wrong}: it takes {takes}, expected {self.input_name}")
        inputs, steps = self.trial
        width, last = int(self.architecture["hidden_size"]), int(self.architecture["num_hidden_layers"])
        with explained(wrong), torch.inference_mode():
            first, second = (hidden_states(network, self.input_name, inputs, self.device) for _ in range(2))
        shapes = sorted({tuple(states.shape[1:]) for states in first})
        if len(first) != last + 1 or len(shapes) != 1 or shapes[0][0] not in steps or shapes[0][1] != width:
            least = f"{steps[0]}" if len(steps) == 1 else f"at least {steps[0]}"
            raise WeightsError(f"{wrong}: expected {last + 1} hidden states of {least} steps of {width} numbers, found"
                               f" {len(first)} of {' and '.join(map(str, shapes))}; {self.hint}")
        if not all(map(torch.equal, first, second)):
            raise WeightsError(f"{self.folder} gives other numbers each time for the same input; it serves training"
                               " alone, as models do that hide parts of it at random")

    def states(self, inputs: Tensor) -> Tensor:
        """Hidden states of the layers that are set.

        Args:
            inputs: of the network, float32, B of them.

        Returns:
            float32 (B, K, T, D); K is 1 for ``last``, ``last_four`` and a single number.
        """
        with torch.inference_mode():
            if self.config.layers == "last":
                typed = inputs.to(self.device, next(self.network.parameters()).dtype)
                return cast(Tensor, self.network(**{self.input_name: typed}).last_hidden_state[:, None].float())
            states = hidden_states(self.network, self.input_name, inputs, self.device)
            if self.config.layers == "last_four":
                return torch.stack(states[-4:], 1).float().mean(1, keepdim=True)
            chosen = [states[number] for number in self.config.numbers] or states
            return torch.stack(chosen, 1).float()


def _is_count(value: object) -> bool:
    """A whole number above 0, or a list of them."""
    items = value if isinstance(value, list) and value else [value]
    return all(isinstance(item, int) and not isinstance(item, bool) and item > 0 for item in items)


def _read_json(path: Path) -> dict[str, Any]:
    """An object of JSON; raises OSError or ValueError, which NaN and whatever else is not JSON are."""
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found
