"""When each word is said: found in the sound by a CTC network where one is given, guessed from lengths otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from pipeline.config import digest, setting
from pipeline.errors import WeightsError
from pipeline.extractors import Extractor
from pipeline.extractors.audio_encoder import FrameGrid, cut_windows, normalised
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, Needs
from pipeline.networks.hidden_states import explained
from pipeline.networks.hub import keep_hub_offline
from pipeline.weights import WeightsRecord, file_digest
from pipeline.words.word_times import forced, proportional, speech_span, words_of

WINDOW_SECONDS, OVERLAP_SECONDS = 20.0, 2.0  # longer sound is heard in windows, so that memory stays as it is
NAMES_ONLY = ("_name_or_path", "transformers_version")


class TextWords(Extractor):
    """A row a word of the clip's text: its number of letters, and how certain the network is of them.

    With ``model`` the times are those of the most likely course of the text through the sound (forced alignment), and
    are ``measured``. Without, or where the text has no letter that the network knows or more letters than the sound has
    frames, the stretch from the first to the last loud moment is dealt out by the number of letters: a guess, whose
    times are ``proportional`` and whose certainty is 0. The rows are a clock for other features: ``align`` brings those
    to words. A clip without words or without sound has no rows.
    """

    modality = "text"
    columns = ("letters", "certainty")
    trainable_input = False

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        model: str = setting("none", "none: guess; or a folder with a CTC network of transformers that knows letters"
                                     " (config.json, preprocessor_config.json, vocab.json, weights as safetensors)")

    @property
    def needs(self) -> Needs:
        return Needs(waveform=True, text=True)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (len(self.columns),)

    @property
    def folder(self) -> Path | None:
        """The network's folder; None where times are guessed.

        Raises:
            WeightsError: there is no such folder.
        """
        if self.config.model == "none":
            return None
        folder = Path(self.config.model)
        if not folder.is_dir():
            raise WeightsError(f"no folder {folder}; text_words.model is none, or a folder with a CTC network, for"
                               " instance facebook/wav2vec2-base-960h with its vocab.json")
        return folder

    def _json(self, name: str) -> dict[str, Any]:
        assert self.folder is not None
        try:
            return dict(json.loads((self.folder / name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(f"{self.folder / name} cannot be read ({error}); expected the publisher's file") \
                from error

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Number of each letter that the network knows.

        Raises:
            WeightsError: vocab.json is not there or knows no letters.
        """
        found = {name: number for name, number in self._json("vocab.json").items()
                 if len(name) == 1 and name != "|" and isinstance(number, int)}
        if not any(name.isalpha() for name in found):
            raise WeightsError(f"{self.folder}/vocab.json knows no single letters; expected a network that spells, not"
                               " one of syllables or phones")
        return found

    @property
    def weights(self) -> tuple[WeightsRecord, ...]:
        if self.folder is None:
            return ()
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            raise WeightsError(f"{self.folder} holds no weights as *.safetensors, and weights that are pickles are not"
                               " loaded")
        return tuple(WeightsRecord("ctc", "file", f"{self.folder.name}/{file.name}", file_digest(file))
                     for file in files)

    def settings(self) -> dict[str, Any]:
        if self.folder is None:
            return {"model": "none"}
        self.grid
        return {"model": "ctc", "vocabulary": digest(self.vocabulary), "normalise": self._normalise,
                "architecture": digest({key: value for key, value in self._json("config.json").items()
                                        if key not in NAMES_ONLY})}

    @property
    def _normalise(self) -> bool:
        found = self._json("preprocessor_config.json")
        if found.get("sampling_rate") != SAMPLE_RATE_HZ or not isinstance(found.get("do_normalize"), bool):
            raise WeightsError(f"{self.folder}/preprocessor_config.json: expected sampling_rate {SAMPLE_RATE_HZ} and"
                               " do_normalize true or false, as publishers' files have them")
        return bool(found["do_normalize"])

    @cached_property
    def grid(self) -> FrameGrid:
        """The network's frames over samples.

        Raises:
            WeightsError: its config does not say.
        """
        config = self._json("config.json")
        kernels, strides = config.get("conv_kernel"), config.get("conv_stride")
        if not isinstance(kernels, list) or not isinstance(strides, list) or len(kernels) != len(strides):
            raise WeightsError(f"{self.folder}/config.json: conv_kernel and conv_stride are lists of one length, found"
                               f" {kernels} and {strides}")
        return FrameGrid(tuple(kernels), tuple(strides))

    @cached_property
    def network(self) -> torch.nn.Module:
        """The network in evaluation mode, loaded at first use.

        Raises:
            WeightsError: the folder's weights cannot be loaded, or some of the network's are not in it.
        """
        keep_hub_offline()
        from transformers import AutoModelForCTC
        self.weights  # refuses a folder without safetensors
        with explained(f"{self.folder} does not hold a CTC network that transformers can load"):
            network, report = AutoModelForCTC.from_pretrained(
                str(self.folder), local_files_only=True, trust_remote_code=False, use_safetensors=True,
                output_loading_info=True)
        if missing := sorted(name for name in report["missing_keys"] if "masked_spec_embed" not in name):
            raise WeightsError(f"{self.folder} lacks {len(missing)} of the network's weights ({missing[0]}, …);"
                               " expected one that was trained to spell, with its head")
        return cast(torch.nn.Module, network.eval().requires_grad_(False).to(self.device))

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        assert clip.waveform is not None
        words = words_of(clip.text)
        if not words or not len(clip.waveform):
            return FeatureSequence.empty(self.row_shape)
        letters = [sum(letter.isalnum() for letter in word) for word in words]
        found = None if self.folder is None else self._hear(clip.waveform, words)
        if found is None:
            times, certainty = proportional(words, *speech_span(clip.waveform)), np.zeros(len(words))
        else:
            times, certainty = found
        values = np.stack([letters, certainty], 1).astype(np.float32)
        return FeatureSequence(values, clip.cut(times), "proportional" if found is None else "measured")

    def _hear(self, waveform: np.ndarray, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
        """Times of words in seconds and their certainty; None where the text does not fit the sound."""
        sound = normalised(waveform) if self._normalise else waveform
        sound = np.pad(sound, (0, max(0, self.grid.field - len(sound))))
        blank, between = self._json("config.json").get("pad_token_id") or 0, self._json("vocab.json").get("|")
        found = forced(self._emission(sound), words, self.vocabulary, blank=blank, between=between)
        if found is None:
            return None
        spans, certainty = found
        return (spans * (self.grid.stride / SAMPLE_RATE_HZ)).astype(np.float32), certainty

    def _emission(self, sound: np.ndarray) -> np.ndarray:
        """Logarithms of the probability of each symbol at each frame, float32 (T, C)."""
        size, overlap = (round(seconds * SAMPLE_RATE_HZ / self.grid.stride)
                         for seconds in (WINDOW_SECONDS, OVERLAP_SECONDS))
        parts = []
        for first, keep, stop in cut_windows(self.grid.num_frames(len(sound)), size, overlap).tolist():
            last = min(first + size, self.grid.num_frames(len(sound)))
            part = torch.from_numpy(np.ascontiguousarray(sound[self.grid.samples(first, last)]))[None]
            with torch.inference_mode():
                logits = self.network(part.to(self.device)).logits.float().log_softmax(-1)[0].cpu().numpy()
            parts.append(logits[keep - first:stop - first])
        return np.concatenate(parts)
