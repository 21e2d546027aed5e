"""Extractors: one file here is one feature name; it turns a decoded clip into rows of numbers with times.

An extractor holds networks and nothing else: it knows no paths of clips, writes nothing and logs nothing. Its result
for a clip must not depend, to the byte on one machine, on which other clips stand in the same call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.config import result_settings
from pipeline.media import FeatureSequence, FrameRequest, Media, Needs

if TYPE_CHECKING:
    import torch

    from pipeline.weights import Published, WeightsRecord

Modality = Literal["text", "audio", "video", "face"]


class Extractor(ABC):
    """The contract of a feature.

    Attributes:
        version: raise it when the code changes what comes out for the same settings.
        modality: what the rows describe; models pick inputs by it.
        dtype: type of the stored rows, ``"float32"`` or ``"uint8"`` (pixels).
        columns: names of the columns where a row mixes quantities; empty otherwise.
        trainable_input: False for features that serve other extractors and not a model.
        identity: True where rows tell who a person is; files that hold such rows are their owner's alone to read.
    """

    version: ClassVar[int] = 1
    modality: ClassVar[Modality]
    dtype: ClassVar[Literal["float32", "uint8"]] = "float32"
    columns: ClassVar[tuple[str, ...]] = ()
    trainable_input: ClassVar[bool] = True
    identity: ClassVar[bool] = False

    @dataclass(frozen=True)
    class Config:
        """Settings of the extractor; each subclass defines its own."""

    def __init__(self, config: Any = None, *, device: torch.device | None = None) -> None:
        self.config: Any = config if config is not None else self.Config()
        self._device = device

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config!r})"

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What each clip's media must hold."""

    def check_upstream(self, fingerprints: Mapping[str, str]) -> None:
        """Refuse to be made from features that do not fit what the settings name; most fit any.

        Args:
            fingerprints: of the features in :attr:`needs`, by name.

        Raises:
            UsageError: one does not fit.
        """

    def check_recipes(self, recipes: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse to be made from features that do not fit what the settings name, by how they are made.

        Args:
            recipes: of the features in :attr:`needs`, by name.

        Raises:
            UsageError: one does not fit.
        """

    def second_look(self, media: Media) -> tuple[FrameRequest, ...]:
        """Frames that are wanted beside :attr:`needs` now that the features which this one is made from are known.

        They cost a second pass over the clip's file, so ask for them where the first pass does not suffice: they are
        in ``media.frames`` when :meth:`extract` is called.
        """
        return ()

    @property
    @abstractmethod
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row, known before any data and without loading a network."""

    @property
    def sources(self) -> tuple[Published, ...]:
        """The published weights that these settings ask for; nothing is looked for or loaded."""
        return ()

    @property
    def weights(self) -> tuple[WeightsRecord, ...]:
        """Where each network's weights come from, with digests; nothing is loaded.

        Raises:
            WeightsError: a weight file is neither here nor to be had.
        """
        return ()

    @property
    def device(self) -> torch.device:
        """Where networks run; the CPU unless the worker says otherwise."""
        import torch
        return self._device if self._device is not None else torch.device("cpu")

    @property
    def compute_dtype(self) -> str:
        """Type that networks compute in here: the config's ``dtype``, with ``auto`` resolved for the device."""
        from pipeline import devices
        return devices.compute_dtype(getattr(self.config, "dtype", "float32"), self.device)

    def settings(self) -> dict[str, Any]:
        """The settings that change results, in JSON's types, for the recipe.

        Where weights lie is not among them (their digest is), and ``dtype`` is the one that this machine computes in.
        """
        settings = result_settings(self.config)
        settings.pop("weights", None)
        if "dtype" in settings:
            settings["dtype"] = self.compute_dtype
        return settings

    @abstractmethod
    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        """Rows of each clip, in order. Networks are loaded at the first call.

        Args:
            media: decoded clips that hold what :attr:`needs` names.

        Returns:
            One sequence for each clip: values (T, *row_shape); T = 0 where there is nothing to describe.

        Raises:
            ClipError: a clip defeats the extractor.
        """
