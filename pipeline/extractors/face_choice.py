"""Whom the face extractors follow: for each of their rows the track, how many crops show it, and where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.config import setting
from pipeline.networks.crops import FaceConfig, FaceSnippetExtractor, FaceSnippets
from pipeline.networks.snippets import LAYOUTS
from pipeline.windows import Snippets


class FaceChoice(FaceSnippetExtractor):
    """One row for each row that an extractor of face crops gives with the same settings.

    With ``face=all`` it tells whose each row is; with the other policies, who was chosen. The columns are the track,
    how many different crops the snippet shows, and the average box over its frames in source pixels.
    """

    modality = "face"
    columns = ("track", "num_crops", "x1", "y1", "x2", "y2")
    trainable_input = False

    @dataclass(frozen=True)
    class Config(FaceConfig):
        snippets: Literal["sliding", "six_by_sixteen"] = setting("sliding", "as of the extractor that is asked about")

        @property
        def layout(self) -> Snippets:
            """How frames are cut."""
            return LAYOUTS[self.snippets]

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (len(self.columns),)

    def describe(self, found: FaceSnippets) -> np.ndarray:
        shown = found.faces[found.rows]                                                       # (N, size, 16)
        counts = np.array([len(np.unique(rows)) for rows in found.rows])
        return np.column_stack([shown[:, 0, 0], counts, shown[:, :, 1:5].mean(1)]).astype(np.float32)
