"""R3D-18 on snippets of whole frames: one 512-d row a snippet of 16 frames at 15 Hz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.media import FeatureSequence, FrameRequest, Media, Needs
from pipeline.networks.snippets import RATE_HZ, SIDE, R3D18Extractor, SnippetConfig, snippet_rows, snippet_times


class VideoR3d18(R3D18Extractor):
    """Whole frames, scaled to 128×171 and cut to the middle 112×112 as the network was trained."""

    modality = "video"

    @dataclass(frozen=True)
    class Config(SnippetConfig):
        """Settings of :class:`pipeline.networks.snippets.SnippetConfig`."""

    @property
    def request(self) -> FrameRequest:
        """The frames that the snippets use."""
        return FrameRequest(RATE_HZ, size=(128, 171), crop=(SIDE, SIDE), snippets=self.config.layout)

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
        values = self.network(frames.take(slice(None)), snippet_rows(frames, spans), batch_size=self.config.batch_size)
        return FeatureSequence(values, clip.cut(snippet_times(spans, frames.num_frames)))
