"""R3D-18 on snippets of aligned face crops: one 512-d row a snippet in which a face is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.networks.crops import FaceConfig, FaceSnippetExtractor, FaceSnippets
from pipeline.networks.snippets import R3D18Extractor, SnippetConfig


class FaceR3d18(R3D18Extractor, FaceSnippetExtractor):
    """The followed face of each snippet, eyes level, 112×112.

    See :class:`pipeline.networks.crops.FaceSnippetExtractor`.
    """

    version = 2
    modality = "face"

    @dataclass(frozen=True)
    class Config(FaceConfig, SnippetConfig):
        def __post_init__(self) -> None:
            FaceConfig.__post_init__(self)
            SnippetConfig.__post_init__(self)

    def describe(self, found: FaceSnippets) -> np.ndarray:
        return self.network(found.crops, found.rows, batch_size=self.config.batch_size)
