"""R3D-101 on snippets of whole frames: maps of 2048 channels, or their mean, for each of six snippets of 16 frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.media import FeatureSequence, FrameRequest, Media, Needs
from pipeline.networks.snippets import RATE_HZ, R3D101Config, R3D101Extractor, middle, snippet_rows, snippet_times


class VideoR3d101(R3D101Extractor):
    """The middle square of whole frames, scaled to the network's picture as its authors test it."""

    modality = "video"

    @dataclass(frozen=True)
    class Config(R3D101Config):
        """Settings of :class:`pipeline.networks.snippets.R3D101Config`."""

    @property
    def request(self) -> FrameRequest:
        """The frames that the snippets use: twice the network's lines, so that an upright picture is wide enough."""
        return FrameRequest(RATE_HZ, lines=2 * self.config.side, snippets=self.config.layout)

    @property
    def needs(self) -> Needs:
        return Needs(frames=(self.request,))

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        frames = clip.frames[self.request]
        if not len(frames):
            return FeatureSequence.empty(self.row_shape)
        spans = self.config.layout.spans(frames.num_frames)
        pictures = middle(frames.take(slice(None)), self.config.side)
        values = self.network(pictures, snippet_rows(frames, spans), batch_size=self.config.batch_size)
        return FeatureSequence(values, clip.cut(snippet_times(spans, frames.num_frames)))
