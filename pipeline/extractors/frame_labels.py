"""Labels of a clip's frames, so that whoever trains finds them in the store; nothing is decoded for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import setting
from pipeline.errors import ClipError
from pipeline.extractors import Extractor
from pipeline.media import FeatureSequence, Media, Needs

MISSING = -1.0  # rows of a store are numbers: NaN is none


class FrameLabels(Extractor):
    """One row for each labelled frame and one column for each task: the place of its class, −1 where it has none.

    Corpora whose tasks are labelled frame by frame have this feature without being asked for it.
    """

    modality = "video"  # a face need not be found for them, and who counts faces must not count them
    trainable_input = False

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        tasks: tuple[str, ...] = setting(("speaking",), "names of the tasks, which the dataset tells")

        def __post_init__(self) -> None:
            if not self.tasks or len(set(self.tasks)) != len(self.tasks):
                raise ValueError(f"tasks are one or more, each once, found {','.join(self.tasks) or 'none'}")

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """The tasks."""
        tasks: tuple[str, ...] = self.config.tasks
        return tasks

    @property
    def needs(self) -> Needs:
        return Needs(frame_labels=True)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (len(self.columns),)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._of(clip) for clip in media]

    def _of(self, clip: Media) -> FeatureSequence:
        known = clip.frame_labels
        if known is None or not len(known.times):
            return FeatureSequence.empty(self.row_shape)
        rows = np.full((len(known.times), len(self.columns)), MISSING, np.float32)
        for column, task in enumerate(self.columns):
            if task in known.labels:
                rows[:, column] = known.labels[task]
        if not (np.isfinite(rows).all() and (rows == np.round(rows)).all() and (rows >= MISSING).all()):
            raise ClipError("has labels of frames that are no classes; expected whole numbers from 0, -1 where there is"
                            " none", stage="frame_labels")
        times = np.stack([known.times, known.times + 1 / known.rate_hz], axis=1)
        return FeatureSequence(rows, times.astype(np.float32))
