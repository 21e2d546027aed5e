"""Snippets of face crops: whom to follow, which crops are good, and when to look at the file again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.config import setting
from pipeline.errors import ClipError
from pipeline.extractors import Extractor
from pipeline.faces import RATE_HZ, SPEAKING_COLUMNS
from pipeline.faces.alignment import EXPRESSION_CROP, Recipe, cut, resized
from pipeline.faces.choice import Candidates, Policy, choose
from pipeline.faces.quality import Gates
from pipeline.media import FeatureSequence, FrameRequest, Media, Needs
from pipeline.networks.snippets import SIDE, snippet_times
from pipeline.windows import Snippets

if TYPE_CHECKING:
    from pipeline.faces.gallery import Gallery


@dataclass(frozen=True)
class FaceConfig(Extractor.Config):
    """Settings of all extractors of face crops; a subclass adds its network's.

    ``face`` is one of the policies of :mod:`pipeline.faces.choice`.
    """

    face: Policy = setting("largest", "whom to follow: largest, central, longest, gallery (who is most like the clip's"
                                      " speaker), speaking, or all (a row for each face of each snippet)")
    gallery: str = setting("", "with face=gallery: folder of the gallery of faces")
    lines: int = setting(720, "crops are cut from the picture at this height at most; where that would enlarge them and"
                              " the file has more, it is decoded again")
    least_face_pixels: float = setting(16.0, "height in source pixels below which a face is not seen")
    least_probability: float = setting(0.7, "below it a find is not seen as a face")
    most_yaw_degrees: float = setting(75.0, "a face turned further to the side is not seen; 90: no limit")
    most_roll_degrees: float = setting(180.0, "a face that leans further is not seen; 180: no limit")
    least_sharpness: float = setting(0.0, "variance of the crop's Laplacian below which it is not seen; sharp ones have"
                                          " 25 (30 pixels high) to 1000; 0: no limit")

    def __post_init__(self) -> None:
        if self.lines < 1:
            raise ValueError(f"lines is at least 1, found {self.lines}")
        if self.face == "gallery" and not self.gallery:
            raise ValueError("face=gallery needs a gallery: also set gallery=FOLDER; python -m pipeline faces cluster"
                             " makes one")
        if self.gallery and self.face != "gallery":
            raise ValueError(f"gallery={self.gallery} says nothing with face={self.face}; leave it out, or set"
                             " face=gallery")
        self.gates  # a limit outside its range is refused

    @property
    def gates(self) -> Gates:
        """What a face has to pass to be seen.

        Raises:
            ValueError: a limit outside its range.
        """
        return Gates(self.least_face_pixels, self.least_probability, self.most_yaw_degrees, self.most_roll_degrees,
                     self.least_sharpness)


class FaceSnippetExtractor(Extractor):
    """One row for each snippet of a face's crops; a subclass describes them, its settings give the snippets' layout.

    Within a snippet one track is followed, which the setting ``face`` chooses. Frames in which it is not seen, or in
    which its crop is not good enough, repeat its nearest good crop; a snippet without a good crop gives no row. With
    ``face=all`` there is a row for each track of each snippet, ordered by time, then track; the feature ``face_choice``
    with the same settings says whose each row is.

    Attributes:
        crop: where the face lies in its crop; named in the settings.
    """

    modality = "face"
    crop: ClassVar[Recipe] = EXPRESSION_CROP

    @property
    def side(self) -> int:
        """Height and width of the crops in pixels."""
        return SIDE

    @property
    def layout(self) -> Snippets:
        """How frames are cut."""
        found: Snippets = self.config.layout
        return found

    @property
    def request(self) -> FrameRequest:
        """The frames that the snippets use, large."""
        return FrameRequest(RATE_HZ, lines=self.config.lines, snippets=self.layout)

    @property
    def needs(self) -> Needs:
        upstream = {"speaking": ("speaking",), "gallery": ("face_identity",)}.get(self.config.face, ())
        return Needs(frames=(self.request,), features=("faces", *upstream), speaker=self.config.face == "gallery")

    def settings(self) -> dict[str, Any]:
        settings = {**super().settings(), "crop": self.crop.name, "side": self.side}
        del settings["gallery"]
        return {**settings, "gallery": self.gallery.digest} if self.config.face == "gallery" else settings

    @cached_property
    def gallery(self) -> Gallery:
        """The people that tracks are compared with.

        Raises:
            UsageError: the folder holds no gallery.
        """
        from pipeline.faces.gallery import Gallery
        return Gallery.open(Path(self.config.gallery))

    def check_upstream(self, fingerprints: Mapping[str, str]) -> None:
        if self.config.face == "gallery":
            self.gallery.check(fingerprints["face_identity"], "this extraction")

    def second_look(self, media: Media) -> tuple[FrameRequest, ...]:
        larger = self._larger(media, self.followed(media))
        return () if larger is None else (larger,)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        found = self.snippets(clip)
        if not len(found):
            return FeatureSequence.empty(self.row_shape, self.dtype)
        return FeatureSequence(self.describe(found), found.times)

    @abstractmethod
    def describe(self, found: FaceSnippets) -> np.ndarray:
        """A row for each snippet, float32 (N, *row_shape), N ≥ 1."""

    def snippets(self, clip: Media) -> FaceSnippets:
        """What the network is shown of a clip.

        Raises:
            ClipError: features that the choice is made from do not fit the faces.
        """
        followed = self.followed(clip)
        crops = self._cut(clip, followed)
        sharp = self.config.gates.sharp(crops)
        rows, spans = [], []
        for span, shown in followed.spans:
            good = shown[sharp[np.searchsorted(followed.used, shown)]]
            if len(good):
                distance = np.abs(followed.faces.frames[good][None] - np.arange(*span)[:, None])
                rows.append(np.searchsorted(followed.used, good[distance.argmin(1)]))
                spans.append(span)
        times = snippet_times(np.array(spans, np.int64).reshape(-1, 2), clip.frames[self.request].num_frames)
        return FaceSnippets(followed.faces.rows[followed.used], crops,
                            np.array(rows, np.int64).reshape(-1, self.layout.size), clip.cut(times))

    def followed(self, clip: Media) -> Followed:
        """Whom the policy follows in which span, without what cannot be good enough."""
        frames, faces = clip.frames[self.request], self._candidates(clip)
        good = self.config.gates.passes(faces.rows)
        spans = [((start, stop), rows[good[rows]]) for start, stop in self.layout.spans(frames.num_frames).tolist()
                 for rows in choose(self.config.face, faces, start, stop)]
        return Followed(faces, tuple((span, rows) for span, rows in spans if len(rows)))

    def _candidates(self, clip: Media) -> Candidates:
        """The clip's faces with what the policy asks of them."""
        faces, policy, speaking, likeness, least = clip.features["faces"], self.config.face, None, None, 0.0
        if policy == "speaking":
            scores = clip.features["speaking"].values
            _check_fit("speaking", len(scores), len(faces.values))
            speaking = scores[:, SPEAKING_COLUMNS.index("speaking")]
        if policy == "gallery":
            embeddings = clip.features["face_identity"].values
            _check_fit("face_identity", len(embeddings), int(faces.values[:, 0].max(initial=-1)) + 1)
            likeness, least = self.gallery.likeness(clip.speaker, embeddings), self.gallery.least_likeness
        return Candidates(np.round(faces.times[:, 0] * RATE_HZ).astype(np.int64), faces.values,
                          clip.frames[self.request].source_size, speaking, likeness, least)

    def _larger(self, clip: Media, followed: Followed) -> FrameRequest | None:
        """The request for as many lines as keep the smallest crop from being enlarged, or all that there are."""
        height, _ = clip.frames[self.request].source_size
        lines = min(self.config.lines, height)
        if lines == height or not len(followed.used):
            return None
        smallest = min(self.crop.place(face).side for face in followed.faces.rows[followed.used])  # source pixels
        if smallest * lines >= self.side * height:
            return None
        wanted = min(height, int(np.ceil(height * self.side / max(smallest, 1.0))))
        return FrameRequest(RATE_HZ, lines=wanted, snippets=self.layout)

    def _cut(self, clip: Media, followed: Followed) -> np.ndarray:
        """Crops of the faces in the used rows, each cut once, uint8 (len(used), side, side, 3)."""
        frames, used = clip.frames[self._larger(clip, followed) or self.request], followed.used
        crops = np.empty((len(used), self.side, self.side, 3), np.uint8)
        shrink = np.array([frames.shape[2], frames.shape[1]]) / np.maximum(frames.source_size[::-1], 1)
        smaller = resized(followed.faces.rows[used], shrink)
        for place, row in enumerate(frames.at(followed.faces.frames[used]).tolist()):
            crops[place] = cut(frames.take(slice(row, row + 1))[0], smaller[place], self.crop, self.side)
        return crops


@dataclass(frozen=True)
class FaceSnippets:
    """What a network is shown of a clip.

    Args:
        faces: each face of each frame that may be shown, once; rows of :data:`pipeline.faces.COLUMNS`, (T, 16).
        crops: of these, uint8 RGB (T, side, side, 3).
        rows: which of them make each snippet, int64 (N, size); all of one track.
        times: start and stop of each snippet in seconds, float32 (N, 2).
    """

    faces: np.ndarray
    crops: np.ndarray
    rows: np.ndarray
    times: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Followed:
    """The faces of a clip, and for each span and each track that is followed in it the places of its rows."""

    faces: Candidates
    spans: tuple[tuple[tuple[int, int], np.ndarray], ...]

    @cached_property
    def used(self) -> np.ndarray:
        """Places of all rows that are followed, rising, each once, int64."""
        return np.unique(np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in self.spans)]))


def _check_fit(feature: str, found: int, expected: int) -> None:
    if found != expected:
        raise ClipError(f"{feature} has {found} rows where faces asks for {expected}; make both anew with --replace",
                        stage=feature)
