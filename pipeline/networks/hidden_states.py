"""Networks of transformers: loaded from a folder without running anything in it, and their hidden states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from pipeline.errors import WeightsError
from pipeline.networks.hub import keep_hub_offline
from pipeline.weights import seeded

# Weights that nothing here reads: transformers fills them with random numbers where a checkpoint lacks them.
UNREAD = r"pooler\..*|masked_spec_embed|embeddings\.mask_token"


def load_network(folder: Path) -> torch.nn.Module:
    """The network of a model's folder, without the heads that it may have.

    Args:
        folder: with config.json and weights as safetensors; pickles and code are never read.

    Raises:
        WeightsError: the weights cannot be loaded, or some of the network's are not there.
    """
    keep_hub_offline()
    from transformers import AutoModel
    with explained(f"{folder} does not hold a model that transformers can load"), _quiet():
        network, report = AutoModel.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False,
                                                    use_safetensors=True, output_loading_info=True)
    if missing := sorted(name for name in report["missing_keys"] if not re.fullmatch(UNREAD, name)):
        raise WeightsError(f"{folder} lacks {len(missing)} of the encoder's weights ({missing[0]}, …); expected the"
                           " publisher's files")
    return cast(torch.nn.Module, network)


def random_network(folder: Path | None, architecture: Mapping[str, Any], seed: int) -> torch.nn.Module:
    """The same network with random weights.

    Args:
        folder: config.json; None: ``architecture`` is taken, as :func:`default_architecture` makes it.
        architecture: likewise.
        seed: of the weights.

    Raises:
        WeightsError: transformers knows no such network.
    """
    keep_hub_offline()
    from transformers import AutoConfig, AutoModel
    with explained(f"{folder} does not hold a model that transformers can load"), _quiet():
        if folder is not None:
            config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        else:
            settings = dict(architecture)
            config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        return cast(torch.nn.Module, seeded(lambda: AutoModel.from_config(config), seed))


def default_architecture(model_type: str, **settings: Any) -> dict[str, Any]:
    """``config.json`` of a kind of encoder as transformers makes it where nothing else is said."""
    keep_hub_offline()
    from transformers import AutoConfig
    return {**AutoConfig.for_model(model_type, **settings).to_dict(), "model_type": model_type}


def hidden_states(network: torch.nn.Module, input_name: str, inputs: Tensor, device: torch.device) -> list[Tensor]:
    """All hidden states, (B, T, D) each; the last is the network's output, whatever transformers' version puts there.

    Args:
        network: an encoder of transformers.
        input_name: what it calls its input.
        inputs: float32, B of them.
        device: where it runs.
    """
    output = network(**{input_name: inputs.to(device, next(network.parameters()).dtype)}, output_hidden_states=True)
    return [*output.hidden_states[:-1], output.last_hidden_state]


@contextmanager
def explained(wrong: str) -> Iterator[None]:
    """Whatever transformers, or a network of it, says of a file that is not right, as one WeightsError.

    Args:
        wrong: how the message begins.
    """
    from safetensors import SafetensorError
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, EOFError, ImportError,
            SafetensorError) as error:
        raise WeightsError(f"{wrong}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing a bar over the run's own, and from listing heads and masks that are not used."""
    from transformers.utils import logging
    logging.disable_progress_bar()
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
