"""R3D-101 on snippets of aligned face crops: maps of 2048 channels, or their mean, for each snippet with a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.networks.crops import FaceConfig, FaceSnippetExtractor, FaceSnippets
from pipeline.networks.snippets import R3D101Config, R3D101Extractor


class FaceR3d101(R3D101Extractor, FaceSnippetExtractor):
    """The followed face of each snippet, eyes level; see :class:`pipeline.networks.crops.FaceSnippetExtractor`."""

    modality = "face"

    @dataclass(frozen=True)
    class Config(FaceConfig, R3D101Config):
        def __post_init__(self) -> None:
            FaceConfig.__post_init__(self)
            R3D101Config.__post_init__(self)

    @property
    def side(self) -> int:
        """Height and width of the crops in pixels."""
        found: int = self.config.side
        return found

    def describe(self, found: FaceSnippets) -> np.ndarray:
        return self.network(found.crops, found.rows, batch_size=self.config.batch_size)
