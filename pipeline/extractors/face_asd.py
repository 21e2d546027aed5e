"""Faces as the visual encoder of an active-speaker network sees them: one 128-d row for each row of ``asd_faces``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from models.active_speaker import UNITS
from pipeline.clip import Task
from pipeline.config import setting
from pipeline.errors import TrainingError, WeightsError
from pipeline.extractors import Extractor
from pipeline.extractors.asd_faces import RATE_HZ, SIDE
from pipeline.faces.retiming import retime, track_spans
from pipeline.media import FeatureSequence, Media, Needs
from pipeline.runs import Checkpoint, build_model, seed_folders
from pipeline.speaking.active_speaker import check_made_alike
from pipeline.weights import WeightsRecord, file_record, random_record, seeded

RANDOM_SEED = 0
ENCODER = "seen.for_asd_faces"          # of models/active_speaker.py
WHOLE_TRACK = ("talknet",)              # variants whose rows depend on statistics over the whole track
PIECE, HALO = 512, 16                   # rows at a time of the others, and more than they see to either side
_TASK = Task("speaking", ("not_speaking", "speaking"), level="frame", positive="speaking")
_ADVICE = ("name a run of `python -m pipeline train --model active_speaker`, or of a published network that `python -m"
           " pipeline weights import --format talknet|light-asd|loconet|talknce FILE` has made one of, with --set"
           " face_asd.weights=RUN, or use --weights random to try things out")


class FaceAsd(Extractor):
    """What an active-speaker network knows of each picture of a face, itself and its neighbours in time, from lips on.

    The rows and times are those of ``asd_faces``, each track looked at by itself, so that nothing is cut out twice and
    networks that answer frame by frame learn from numbers in place of pictures. Of a run with several seeds the first
    counts; ``RUN/seed1/best.pt`` names another.
    """

    modality = "face"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        clips: Literal["videos", "tracks"] = setting(
            "videos", "what clips are, which the dataset tells: videos, or face tracks that are cut out already")
        weights: str = setting(
            "pretrained", "run of an active-speaker network that sees asd_faces, its best.pt, a start.pt of `weights"
                          " import`, or random; nobody publishes one that could be fetched")

    @property
    def needs(self) -> Needs:
        return Needs(features=("asd_faces",) if self.config.clips == "tracks" else ("faces", "asd_faces"))

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (UNITS,)

    @property
    def path(self) -> Path:
        """File of the network.

        Raises:
            WeightsError: there is none.
        """
        path = Path(self.config.weights)
        if self.config.weights == "pretrained":
            raise WeightsError(f"face_asd has no published weights that could be fetched; {_ADVICE}")
        if not path.is_dir():
            return path
        try:
            return path / "start.pt" if (path / "start.pt").is_file() else seed_folders(path)[0] / "best.pt"
        except TrainingError as error:
            raise WeightsError(f"face_asd: {error}; or {_ADVICE}") from error

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The network's weights and how its pictures were made.

        Raises:
            WeightsError: there are none, or they are of a network that does not see ``asd_faces``.
        """
        try:
            found = Checkpoint.load(self.path)
        except TrainingError as error:
            raise WeightsError(f"face_asd: {error}; or {_ADVICE}") from error
        if "asd_faces" not in found.inputs or not any(f"{ENCODER}." in name for name in found.state):
            raise WeightsError(f"{self.path} is of the model {found.model!r}, which looks at"
                               f" {', '.join(found.inputs)}; expected an active-speaker network that sees asd_faces:"
                               f" {_ADVICE}")
        return found

    @property
    def weights(self) -> tuple[WeightsRecord, ...]:
        if self.config.weights == "random":
            return (random_record("active_speaker", RANDOM_SEED),)
        self.checkpoint  # a file that is none of ours is refused before anything is extracted
        name = Path(self.config.weights).resolve().name
        return (replace(file_record("active_speaker", self.config.weights, self.path), name=name),)

    def check_recipes(self, recipes: Mapping[str, Mapping[str, Any]]) -> None:
        if self.config.weights != "random":
            learnt = self.checkpoint.inputs["asd_faces"]["recipe"]
            check_made_alike(Path(self.config.weights), "asd_faces", learnt, recipes["asd_faces"])

    @cached_property
    def network(self) -> nn.Module:
        """Pictures (B, T, 112, 112) and which of them are real (B, T) → (B, T, 128), in evaluation mode.

        Raises:
            WeightsError: the weights do not fit.
        """
        if self.config.weights == "random":
            encoder = seeded(lambda: _encoder("active_speaker", {}), RANDOM_SEED)
        else:
            found = self.checkpoint
            state = {name.partition(f"{ENCODER}.")[2]: value for name, value in found.state.items()
                     if f"{ENCODER}." in name}
            try:
                with torch.device("meta"):  # takes no memory, whatever size the settings ask for
                    _encoder(found.model, found.model_config).load_state_dict(state, assign=True)
                encoder = seeded(lambda: _encoder(found.model, found.model_config), RANDOM_SEED)
                encoder.load_state_dict(state)
            except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                raise WeightsError(f"{self.path} does not fit the model {found.model!r}"
                                   f" ({str(error).splitlines()[0]}); {_ADVICE}") from error
        return encoder.eval().requires_grad_(False).to(self.device)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        faces = clip.features["asd_faces"]
        rows = np.zeros((len(faces.values), *self.row_shape), np.float32)
        for span in self._spans(clip):
            rows[span] = self._describe(faces.values[span])
        return FeatureSequence(rows, faces.times, faces.times_kind)

    def _spans(self, clip: Media) -> list[slice]:
        """Rows of each track."""
        num_rows = len(clip.features["asd_faces"].values)
        if not num_rows or self.config.clips == "tracks":
            return [slice(0, num_rows)] if num_rows else []
        faces = clip.features["faces"]
        return track_spans(retime(faces.values, faces.times, RATE_HZ))

    def _describe(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures of one track, uint8 (T, 112, 112) → float32 (T, 128)."""
        whole = self.config.weights != "random" and self.checkpoint.model_config.get("variant") in WHOLE_TRACK
        rows = [self._describe_piece(pictures, piece) for piece in _pieces(len(pictures), whole=whole)]
        return np.concatenate(rows)

    def _describe_piece(self, pictures: np.ndarray, piece: slice) -> np.ndarray:
        """Rows of a part of a track, float32 (n, 128); its neighbours are seen."""
        first = max(0, piece.start - HALO)
        values = torch.from_numpy(pictures[first:piece.stop + HALO].astype(np.float32))
        values = values / 255 if self.config.weights == "random" else self._standardised(values)
        with torch.inference_mode():
            rows = self.network(values[None].to(self.device), torch.ones(1, len(values), dtype=torch.bool,
                                                                         device=self.device))
        return np.asarray(rows[0, piece.start - first:piece.stop - first].float().cpu())

    def _standardised(self, values: torch.Tensor) -> torch.Tensor:
        scaler = self.checkpoint.scaler["asd_faces"]
        return (values - scaler["mean"]) / scaler["sd"]


def _encoder(model: str, settings: Mapping[str, Any]) -> nn.Module:
    """The visual encoder alone."""
    return build_model(model, settings, {"asd_faces": (SIDE, SIDE)}, [_TASK]).get_submodule(ENCODER)


def _pieces(length: int, *, whole: bool) -> Iterator[slice]:
    """Parts of a track that are looked at in turn, so that a long one takes no more memory than a short one."""
    size = length if whole else PIECE
    yield from (slice(start, min(length, start + size)) for start in range(0, length, size))
