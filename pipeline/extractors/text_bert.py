"""Hidden states of a BERT-class encoder: one row a word piece, read alone or within the dialogue."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from pipeline.config import digest, setting
from pipeline.devices import DtypeChoice
from pipeline.errors import UsageError, WeightsError
from pipeline.extractors import Extractor
from pipeline.media import FeatureSequence, Media, Needs, Spoken
from pipeline.networks.backbones import RANDOM_SEED
from pipeline.networks.hub import HubFile, HubModel, keep_hub_offline, model_folder, weight_files
from pipeline.weights import WeightsRecord, check_published, file_digest, random_record, seeded
from pipeline.words.utterances import Frame, HashedWords, Pieces, Speakers, read_utterance, readable

BUCKETS = (16, 32, 64, 128, 256, 512)  # padded lengths: one shape each, so that the bytes never depend on the batch
ROWS_PER_BATCH = 8  # likewise fixed; a batch that is not full is filled up with empty sentences
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spm.model", "spiece.model")
NAMES_ONLY = ("_name_or_path", "transformers_version")
WIDTH_NAMES = ("hidden_size", "dim", "d_model")  # BERT's name and those of DistilBERT and of some others
DEPTH_NAMES = ("num_hidden_layers", "n_layers", "num_layers")  # likewise
MOST_NEIGHBOURS = 64  # far more than fit into any encoder's places
DEFAULT_NAMES = ("bert-base-uncased", "google-bert/bert-base-uncased")  # one model, of which both are names
DEFAULT_REVISION = "86b5e0934494bd15c9632b12f734a8a67f723594"
DEFAULT_FILES = (
    HubFile("config.json", 570, "7160e1553ad2ca51d8c1cb066be533db31826e12d173824c1bb0cb1a4f187d20"),
    HubFile("model.safetensors", 440_449_768, "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3"),
    HubFile("tokenizer.json", 466_062, "ce64fce797c24f68df90b40a3f74f579b336a493db14bd583fd520ea0d8c9a98"),
    HubFile("tokenizer_config.json", 48, "a025160ef0431f1a392f6f050c1310f4c5d9fb6f275932dbccba73c4d214bf10"),
    HubFile("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
)


class TextBert(Extractor):
    """Any encoder that transformers loads by name or folder (BERT, RoBERTa, DeBERTa, MiniLM …).

    ``rows=tokens`` gives the word pieces without special tokens, so that an average over rows is one over words;
    ``rows=cls`` gives the first special token alone; ``rows=mean`` the average. Store two side by side with
    ``--extractors text_bert,text_bert@cls --set text_bert@cls.rows=cls``. ``before``, ``after`` and ``speakers`` let
    the encoder read the dialogue around the utterance, whose words alone give rows; never another dialogue or split.
    """

    modality = "text"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        model: str = setting("bert-base-uncased", "name on the Hugging Face hub, or a folder with config and weights")
        weights: str = setting("pretrained", "pretrained, or random (no download; words hashed to ids); a folder"
                                             " that holds the model's folder")
        layers: str = setting("last", "hidden states: last, last_four (their mean), all (a row is (layers, units), to"
                                      " be mixed in training), or numbers as 6 or 4,8; 0 lies below the first layer")
        rows: Literal["tokens", "cls", "mean"] = setting("tokens", "a row a word piece, the first special token, mean")
        max_tokens: int = setting(512, "longer texts are cut here, special tokens included")
        before: int = setting(0, "earlier utterances of the dialogue that are read with this one; rows are of this one")
        after: int = setting(0, "later ones likewise; 0 where a network is to answer while people speak")
        speakers: Speakers = setting("none", "names before utterances: none, name (Ross: …) or upper (ROSS: …); they"
                                             " are read and give no rows")
        dtype: DtypeChoice = setting("auto", "compute type; auto: bfloat16 where the hardware multiplies it")

        def __post_init__(self) -> None:
            if not 3 <= self.max_tokens <= BUCKETS[-1]:
                raise ValueError(f"max_tokens is 3 to {BUCKETS[-1]}, found {self.max_tokens}")
            if not re.fullmatch(r"last|last_four|all|\d{1,4}(,\d{1,4})*", self.layers, re.ASCII):
                raise ValueError(f"layers is last, last_four, all or numbers as 4,8, found {self.layers}")
            if not 0 <= self.before <= MOST_NEIGHBOURS or not 0 <= self.after <= MOST_NEIGHBOURS:
                raise ValueError(f"before and after are 0 to {MOST_NEIGHBOURS} utterances, found {self.before} and"
                                 f" {self.after}")

        @property
        def numbers(self) -> tuple[int, ...]:
            """The layers that are given by number; none otherwise."""
            return tuple(map(int, self.layers.split(","))) if self.layers[0].isdigit() else ()

    @property
    def needs(self) -> Needs:
        return Needs(text=True, speaker=self.config.speakers != "none", context=(self.config.before, self.config.after))

    @property
    def row_shape(self) -> tuple[int, ...]:
        width = next((self.architecture[name] for name in WIDTH_NAMES if name in self.architecture), None)
        if not isinstance(width, int):
            raise WeightsError(f"{self.folder}/config.json states no width ({', '.join(WIDTH_NAMES)}); expected a"
                               " BERT-class encoder")
        numbers = self.config.numbers
        if self.config.layers != "all" and not numbers:
            return (width,)
        last = next((self.architecture[name] for name in DEPTH_NAMES if name in self.architecture), None)
        if not isinstance(last, int):
            raise WeightsError(f"{self.folder}/config.json states no number of layers ({', '.join(DEPTH_NAMES)});"
                               " use text_bert.layers=last or last_four")
        if max(numbers, default=0) > last:
            raise UsageError(f"text_bert.layers={self.config.layers}: the model has layers 1 to {last}, and 0 below"
                             " them")
        return (last + 1, width) if not numbers else (len(numbers), width) if len(numbers) > 1 else (width,)

    @cached_property
    def folder(self) -> Path | None:
        """The model's folder on disk; None for random weights without a folder.

        Raises:
            WeightsError: there is no such folder and it cannot be fetched.
        """
        return model_folder(self.config.model, self.config.weights, hub_model(self.config.model),
                            holds="config.json, weights and a tokenizer")

    @cached_property
    def architecture(self) -> dict[str, Any]:
        """The model's ``config.json``; BERT-base for random weights without a folder.

        Raises:
            WeightsError: it is not there or is not JSON.
        """
        if self.folder is None:
            keep_hub_offline()
            from transformers import BertConfig
            return dict(BertConfig().to_dict())
        path = self.folder / "config.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(f"{path} cannot be read ({error}); text_bert.model is a name on the hub or a folder with"
                               " config.json, weights and a tokenizer") from error

    @property
    def sources(self) -> tuple[HubModel, ...]:
        choice, model = self.config.weights, self.config.model
        return (hub_model(model),) if choice == "pretrained" and not Path(model).is_dir() else ()

    @property
    def weights(self) -> tuple[WeightsRecord, ...]:
        if self.config.weights == "random":
            record = random_record(f"bert {json.dumps(self.architecture, sort_keys=True, default=str)}", RANDOM_SEED)
            return (WeightsRecord("bert", "random", record.name, record.digest),)
        assert self.folder is not None
        files = weight_files(self.folder)
        if not files:
            raise WeightsError(f"{self.folder} holds no weights (*.safetensors or pytorch_model.bin)")
        for source in self.sources:
            for file in files:
                check_published(file, source.expected().get(file.name, ""))
        return tuple(WeightsRecord("bert", "pretrained" if self.config.weights == "pretrained" else "file",
                                   f"{self.folder.name}/{file.name}", file_digest(file)) for file in files)

    def settings(self) -> dict[str, Any]:
        settings = super().settings()
        settings.pop("model")  # a folder may move: what counts is what lies in it, and the weights' digest
        for name, nothing in (("before", 0), ("after", 0), ("speakers", "none")):
            if settings[name] == nothing:  # as before there were such settings: what is stored stays as it is
                settings.pop(name)
        settings["architecture"] = digest({key: value for key, value in self.architecture.items()
                                           if key not in NAMES_ONLY})
        settings["tokenizer"] = "hashed words" if self.folder is None else file_digest(_tokenizer_file(self.folder))
        self.row_shape  # refuses layers that the model has not, before any clip is touched
        return settings

    @cached_property
    def tokenizer(self) -> Any:
        """Text to ids: the folder's own tokenizer, or hashed words.

        Raises:
            WeightsError: the folder holds no tokenizer, or none that can be loaded.
        """
        if self.folder is None:
            return HashedWords(int(self.architecture["vocab_size"]))
        _tokenizer_file(self.folder)
        keep_hub_offline()
        from transformers import AutoTokenizer
        try:
            return AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"{self.folder} holds no tokenizer that transformers can load:"
                               f" {(str(error).splitlines() or [type(error).__name__])[0]}") from error

    @cached_property
    def network(self) -> torch.nn.Module:
        """The encoder in evaluation mode, loaded at first use.

        Raises:
            WeightsError: the folder's weights cannot be loaded, or some of the encoder's are not in it.
        """
        keep_hub_offline()
        from transformers import AutoConfig, AutoModel, BertConfig
        from transformers.utils.logging import disable_progress_bar
        disable_progress_bar()  # it would draw over the run's own
        if self.folder is None:
            network = seeded(lambda: AutoModel.from_config(BertConfig()), RANDOM_SEED)
        elif self.config.weights == "random":
            with self._explained():
                config = AutoConfig.from_pretrained(str(self.folder), local_files_only=True, trust_remote_code=False)
                network = seeded(lambda: AutoModel.from_config(config), RANDOM_SEED)
        else:
            with self._explained():
                network, report = AutoModel.from_pretrained(str(self.folder), local_files_only=True,
                                                            trust_remote_code=False, output_loading_info=True)
            # transformers fills what is missing with random numbers; only the pooler, which nothing here reads, may be.
            if missing := sorted(name for name in report["missing_keys"] if not name.startswith("pooler.")):
                raise WeightsError(f"{self.folder} lacks {len(missing)} of the encoder's weights ({missing[0]}, …);"
                                   " expected the publisher's files")
        return cast(torch.nn.Module, network.eval().requires_grad_(False)
                    .to(self.device, getattr(torch, self.compute_dtype)))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from safetensors import SafetensorError
        try:
            yield
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, EOFError, SafetensorError,
                pickle.UnpicklingError) as error:
            raise WeightsError(f"{self.folder} does not hold a model that transformers can load:"
                               f" {(str(error).splitlines() or [type(error).__name__])[0]}") from error

    @cached_property
    def longest(self) -> int:
        """Most tokens of one text: the setting, or fewer where the model has fewer places.

        RoBERTa and its kin number places from behind the padding id, which takes some away.
        """
        places: int = int(self.architecture.get("max_position_embeddings") or BUCKETS[-1])
        padding: int = int(self.architecture.get("pad_token_id") or 0)
        return min(int(self.config.max_tokens), places - (padding + 1 if padding else 0))

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        sequences = [FeatureSequence.empty(self.row_shape)] * len(media)
        read = [self._read(clip) for clip in media]
        order = sorted((place for place, pieces in enumerate(read) if pieces.ids),
                       key=lambda place: len(read[place].ids))
        by_bucket: dict[int, list[int]] = {}
        for place in order:
            bucket = next(size for size in BUCKETS if size >= len(read[place].ids))
            by_bucket.setdefault(min(bucket, self.longest), []).append(place)
        for bucket, places in by_bucket.items():
            for start in range(0, len(places), ROWS_PER_BATCH):
                batch = places[start:start + ROWS_PER_BATCH]
                hidden = self._hidden([read[place].ids for place in batch], bucket)
                for place, states in zip(batch, hidden, strict=False):
                    sequences[place] = self._as_sequence(states, read[place])
        return sequences

    @cached_property
    def _frame(self) -> Frame:
        return Frame.of(self.tokenizer)

    def _read(self, clip: Media) -> Pieces:
        """Word pieces of a clip, as many as the network has places for; none without words."""
        if not clip.text.strip():
            return Pieces((), (0, 0))
        if self.config.speakers == "none" and not clip.before and not clip.after:
            ids = tuple(self.tokenizer(readable(clip.text), truncation=True, max_length=self.longest)["input_ids"])
            return Pieces(ids, (0, len(ids)))
        return read_utterance(self.tokenizer, self._frame, Spoken(clip.speaker, clip.text), before=clip.before,
                              after=clip.after, speakers=self.config.speakers, most=self.longest)

    def _hidden(self, sentences: list[tuple[int, ...]], bucket: int) -> np.ndarray:
        """Hidden states, float32 (ROWS_PER_BATCH, bucket, *row_shape)."""
        padding = self.tokenizer.pad_token_id or 0
        ids = torch.full((ROWS_PER_BATCH, bucket), padding)
        mask = torch.zeros((ROWS_PER_BATCH, bucket), dtype=torch.long)
        mask[:, 0] = 1
        for row, sentence in enumerate(sentences):
            ids[row, :len(sentence)] = torch.tensor(sentence)
            mask[row, :len(sentence)] = 1
        with torch.inference_mode():
            output = self.network(input_ids=ids.to(self.device), attention_mask=mask.to(self.device),
                                  output_hidden_states=self.config.layers != "last")
            return self._layers(output).float().cpu().numpy()

    def _layers(self, output: Any) -> torch.Tensor:
        if self.config.layers == "last":
            return cast(torch.Tensor, output.last_hidden_state)
        states = output.hidden_states
        if self.config.layers == "last_four":
            return torch.stack(states[-4:]).mean(0)
        chosen = [states[number] for number in self.config.numbers] or list(states)
        return torch.stack(chosen, 2) if len(chosen) > 1 else cast(torch.Tensor, chosen[0])

    def _as_sequence(self, states: np.ndarray, pieces: Pieces) -> FeatureSequence:
        if self.config.rows == "cls":
            values = states[:1]
        else:
            special = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}  # an unknown word is a word
            said = slice(*pieces.said)
            values = states[said][~np.isin(pieces.ids[said], sorted(special))]
            if self.config.rows == "mean" and len(values):
                values = values.mean(0, keepdims=True)
        times = np.full((len(values), 2), np.nan, np.float32)
        return FeatureSequence(np.ascontiguousarray(values), times, "none")


def _tokenizer_file(folder: Path) -> Path:
    found = next((folder / name for name in TOKENIZER_FILES if (folder / name).is_file()), None)
    if found is None:  # transformers would go on with an empty vocabulary, to which every word is unknown
        raise WeightsError(f"{folder} holds no tokenizer (one of {', '.join(TOKENIZER_FILES)}); expected the"
                           " publisher's files")
    return found


def hub_model(model: str) -> HubModel:
    """A model of the hub, as it is fetched into the weights folder."""
    known = model in DEFAULT_NAMES
    return HubModel(model.replace("/", "--"), "BERT-base, uncased" if known else "an encoder of the Hugging Face hub",
                    "Apache-2.0" if known else "stated on its page", 441.1 if known else 0.0, _load, model,
                    *((DEFAULT_REVISION, DEFAULT_FILES) if known else ()))


def _load(folder: Path) -> object:
    bert = TextBert(TextBert.Config(model=str(folder)))
    return bert.row_shape, bert.tokenizer, bert.network
