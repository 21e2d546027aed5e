"""Whom extractors of face crops follow, which crops they show a network, and when they look again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from pipeline.clip import Clip
from pipeline.config import with_settings
from pipeline.decode import read_media
from pipeline.errors import ClipError, UsageError
from pipeline.extractors.face_choice import FaceChoice
from pipeline.extractors.face_r3d18 import FaceR3d18
from pipeline.extractors.faces import Faces
from pipeline.faces import COLUMNS, SPEAKING_COLUMNS
from pipeline.faces.alignment import EXPRESSION_CROP
from pipeline.faces.choice import POLICIES, Policy
from pipeline.identities import make_gallery
from pipeline.media import FeatureSequence, FrameRequest, Frames, Media
from pipeline.networks.crops import FaceSnippetExtractor
from pipeline.recipes import choose_extractors, plan_features
from tests.identity_stores import make_identities

NUM_FRAMES, SIDE = 40, 240
CHOICE = FaceChoice.Config


def face(track: int, x: float, side: float, *, y: float = 20.0, probability: float = 0.99) -> np.ndarray:
    points = EXPRESSION_CROP.template * side + [x, y]
    return np.array([track, x, y, x + side, y + side, probability, *points.ravel()], np.float32)


def scene(extractor: FaceSnippetExtractor, faces: dict[int, list[np.ndarray]], *,
          speaking: dict[int, float] | None = None, num_frames: int = NUM_FRAMES, values: np.ndarray | None = None,
          size: tuple[int, int] = (SIDE, SIDE)) -> Media:
    """Frames that carry their number as their grey level; faces by frame, and how sure it is that each speaks."""
    wanted = extractor.layout.frames(num_frames)
    if values is None:
        values = np.arange(num_frames, dtype=np.uint8)[:, None, None, None].repeat(SIDE, 1).repeat(SIDE, 2).repeat(3, 3)
    rows = [(frame, row) for frame in sorted(faces) for row in faces[frame]]
    times = np.array([[frame / 15, (frame + 1) / 15] for frame, _ in rows], np.float32).reshape(-1, 2)
    table = np.stack([row for _, row in rows]) if rows else np.zeros((0, len(COLUMNS)), np.float32)
    features = {"faces": FeatureSequence(table, times)}
    if speaking is not None:
        scores = np.array([[*row[:5], speaking[int(row[0])]] for _, row in rows], np.float32)
        features["speaking"] = FeatureSequence(scores.reshape(-1, len(SPEAKING_COLUMNS)), times)
    frames = Frames(values[wanted], wanted, rate_hz=15, num_frames=num_frames, source_size=size)
    return Media("a", {extractor.request: frames}, duration_seconds=num_frames / 15, features=features, speaker="anna")


def everywhere(*rows: np.ndarray) -> dict[int, list[np.ndarray]]:
    return {frame: list(rows) for frame in range(NUM_FRAMES)}


def tracks(extractor: FaceChoice, clip: Media) -> list[int]:
    found, = extractor.extract([clip])
    return [int(track) for track in found.values[:, 0]]


LARGE, MIDDLE = face(0, 10, 60), face(1, 100, 40, y=100)


@pytest.mark.parametrize(("policy", "expected"), [("largest", 0), ("central", 1), ("longest", 1), ("speaking", 1)])
def test_each_policy_reaches_the_snippets(policy: Policy, expected: int) -> None:
    extractor = FaceChoice(CHOICE(face=policy))
    faces = {frame: [LARGE, MIDDLE] if frame < 30 else [MIDDLE] for frame in range(NUM_FRAMES)}
    clip = scene(extractor, faces, speaking={0: 0.3, 1: 0.8})
    assert tracks(extractor, clip)[:2] == [expected] * 2


def test_a_snippet_in_which_nobody_speaks_gives_no_row() -> None:
    extractor = FaceChoice(CHOICE(face="speaking"))
    assert tracks(extractor, scene(extractor, everywhere(LARGE, MIDDLE), speaking={0: 0.3, 1: 0.4})) == []


def test_all_gives_a_row_for_each_track_of_each_snippet_by_time_then_track() -> None:
    extractor = FaceChoice(CHOICE(face="all"))
    faces = {frame: [LARGE, MIDDLE] if frame < 12 else [MIDDLE] for frame in range(NUM_FRAMES)}
    found, = extractor.extract([scene(extractor, faces)])
    assert found.values[:, 0].tolist() == [0, 1, 0, 1, 1, 1]
    np.testing.assert_allclose(found.times[:, 0] * 15, [0, 0, 8, 8, 16, 24], atol=1e-4)
    assert found.values[:, 1].tolist() == [12, 16, 4, 16, 16, 16], "different crops in each"
    np.testing.assert_allclose(found.values[0, 2:], [10, 20, 70, 80])


@dataclass(frozen=True)
class People:
    """Stands for a gallery: Anna's face points along the first axis."""

    digest: str = "d" * 32
    least_likeness: float = 0.6

    def likeness(self, name: str, embeddings: np.ndarray) -> np.ndarray:
        return embeddings[:, 0] if name == "anna" else np.full(len(embeddings), -1.0)


def with_gallery() -> FaceChoice:
    extractor = FaceChoice(CHOICE(face="gallery", gallery="people"))
    extractor.__dict__["gallery"] = People()
    return extractor


def identified(clip: Media, *likeness: float) -> Media:
    embeddings = np.zeros((len(likeness), 512), np.float32)
    embeddings[:, 0] = likeness
    rows = FeatureSequence(embeddings, np.zeros((len(likeness), 2), np.float32))
    return replace(clip, features={**clip.features, "face_identity": rows})


def test_a_gallery_finds_the_clips_speaker_and_nobody_else() -> None:
    extractor = with_gallery()
    clip = scene(extractor, everywhere(LARGE, MIDDLE))
    assert set(tracks(extractor, identified(clip, 0.2, 0.7))) == {1}
    assert tracks(extractor, identified(clip, 0.2, 0.5)) == []
    assert tracks(extractor, replace(identified(clip, 0.2, 0.7), speaker="ben")) == []


def test_a_gallery_made_from_other_identities_is_refused_before_any_work(tmp_path: Path) -> None:
    store = make_identities(tmp_path / "people.h5", [["anna"], ["anna"]])
    make_gallery(store, tmp_path / "people")
    names = tmp_path / "people/names.csv"
    names.write_text(names.read_text().replace("0,,", "0,anna,"))
    chosen = choose_extractors(["face_choice"], {}, shared={"face": "gallery", "gallery": str(tmp_path / "people"),
                                                            "weights": "random"}, device=torch.device("cpu"))
    with pytest.raises(UsageError, match="people was made from face_identity with fingerprint made-one, that of"):
        plan_features(chosen)


def test_a_gallery_is_known_by_its_digest_wherever_it_lies() -> None:
    extractor = with_gallery()
    assert extractor.settings()["gallery"] == "d" * 32 and "people" not in str(extractor.settings())
    assert extractor.needs.speaker and extractor.needs.features == ("faces", "face_identity")
    assert "gallery" not in FaceChoice().settings() and not FaceChoice().needs.speaker


def test_a_folder_that_is_no_gallery_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        FaceChoice(CHOICE(face="gallery", gallery=str(tmp_path / "nowhere"))).settings()


def test_each_policy_asks_for_the_features_that_it_needs() -> None:
    assert FaceChoice().needs.features == ("faces",)
    assert FaceChoice(CHOICE(face="speaking")).needs.features == ("faces", "speaking")


def test_features_that_do_not_fit_the_faces_are_the_clips_failure() -> None:
    extractor = FaceChoice(CHOICE(face="speaking"))
    clip = scene(extractor, everywhere(LARGE), speaking={0: 0.9})
    scores = clip.features["speaking"]
    shorter = FeatureSequence(scores.values[1:], scores.times[1:])
    with pytest.raises(ClipError, match="speaking has 39 rows where faces asks for 40; make both anew"):
        extractor.extract([replace(clip, features={**clip.features, "speaking": shorter})])
    with pytest.raises(ClipError, match="face_identity has 1 rows where faces asks for 2"):
        with_gallery().extract([identified(scene(extractor, everywhere(LARGE, MIDDLE)), 0.7)])


def test_a_face_that_is_not_good_enough_is_not_seen_and_its_nearest_good_crop_stands_for_it() -> None:
    extractor = FaceChoice()
    faces = {frame: [face(0, 10, 60, probability=0.5 if 5 <= frame < 30 else 0.9)] for frame in range(NUM_FRAMES)}
    found = extractor.snippets(scene(extractor, faces))
    assert found.crops[found.rows][:, :, 9, 9, 0].tolist() == [
        [0, 1, 2, 3, *[4] * 12], [*[30] * 15, 31], [*[30] * 7, *range(31, 40)]]
    np.testing.assert_allclose(found.times[:, 0] * 15, [0, 16, 24], atol=1e-4, err_msg="8 to 24 sees no good crop")


def test_a_bad_crop_of_the_one_who_is_followed_is_not_replaced_by_another_face() -> None:
    extractor = FaceChoice()
    clip = scene(extractor, everywhere(face(0, 10, 60, probability=0.1), MIDDLE))
    assert tracks(extractor, clip) == []


def test_a_blurred_crop_is_not_seen_where_sharpness_is_asked_for() -> None:
    from skimage.filters import gaussian
    from tests.faces.test_alignment import ASTRONAUT
    sharp = astronaut()[:SIDE, 100:100 + SIDE]
    blurred = (gaussian(sharp, 6, channel_axis=2) * 255).round().astype(np.uint8)
    values = np.stack([blurred if 4 <= frame < 30 else sharp for frame in range(NUM_FRAMES)])
    row = np.array([0, 80, 60, 160, 170, 0.99, *(ASTRONAUT - [100, 0]).ravel()], np.float32)
    extractor = FaceChoice(CHOICE(least_sharpness=20.0))
    found = extractor.snippets(scene(extractor, everywhere(row), values=values))
    assert len(found) == 3 and (extractor.describe(found)[:, 1] == [4, 2, 10]).all()
    assert (FaceChoice().describe(FaceChoice().snippets(scene(extractor, everywhere(row), values=values)))[:, 1]
            == 16).all()


@pytest.mark.parametrize(("height", "side", "expected"), [
    (720, 20, None),            # all there is
    (2160, 400, None),          # 400 pixels of 2160 lines are 133 of 720: more than the crop's 112
    (2160, 240, 1008),          # 112 pixels of 1008 lines
    (2160, 100, 2160)])         # all lines are too few
def test_a_second_look_is_taken_where_the_crop_is_larger_than_the_face(height: int, side: float,
                                                                       expected: int | None) -> None:
    extractor = FaceChoice()
    clip = scene(extractor, everywhere(face(0, 10, side)), size=(height, height))
    wanted = extractor.second_look(clip)
    assert [request.lines for request in wanted] == ([] if expected is None else [pytest.approx(expected, abs=1)])
    assert all(request.snippets == extractor.layout for request in wanted)


def test_faces_that_are_not_followed_or_not_there_ask_for_no_second_look() -> None:
    extractor = FaceChoice()
    size = (2160, 2160)
    assert not extractor.second_look(scene(extractor, everywhere(face(0, 10, 30), face(1, 100, 900)), size=size))
    assert not extractor.second_look(scene(extractor, {}, size=size))
    assert extractor.second_look(scene(FaceChoice(CHOICE(face="all")), everywhere(face(0, 10, 30)), size=size))


def test_crops_come_from_the_second_look_and_lie_in_the_same_place() -> None:
    extractor = FaceChoice()
    noise = np.random.default_rng(0).integers(0, 256, (1, 1440, 1440, 3), np.uint8)
    large = Frames(noise, np.zeros(1, np.int64), rate_hz=15, num_frames=1, source_size=(1440, 1440))
    small = Frames(noise.reshape(1, 720, 2, 720, 2, 3).mean((2, 4)).astype(np.uint8), np.zeros(1, np.int64),
                   rate_hz=15, num_frames=1, source_size=(1440, 1440))
    row = np.array([0, 100, 100, 212, 212, 0.99, *(EXPRESSION_CROP.template * 112 + [100, 100]).ravel()], np.float32)
    rows = FeatureSequence(row[None], np.array([[0, 1 / 15]], np.float32))
    clip = Media("a", {extractor.request: small}, duration_seconds=1 / 15, features={"faces": rows})
    request, = extractor.second_look(clip)
    assert request.lines == 1440
    found = extractor.snippets(replace(clip, frames={**clip.frames, request: large}))
    np.testing.assert_array_equal(found.crops[0], noise[0, 100:212, 100:212], err_msg="each pixel is one of the file's")


def test_frames_of_other_extractors_change_nothing() -> None:
    extractor = FaceChoice()
    clip = scene(extractor, everywhere(LARGE))
    others = FrameRequest(15.0, lines=1080, snippets=extractor.layout)
    wrong = Frames(np.zeros((1, 9, 9, 3), np.uint8), np.zeros(1, np.int64), rate_hz=15, num_frames=1,
                   source_size=(9, 9))
    assert extractor.snippets(replace(clip, frames={**clip.frames, others: wrong})).crops.tobytes() \
        == extractor.snippets(clip).crops.tobytes()


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "gallery"])
def test_every_policy_works_on_stills_and_on_clips_without_faces_or_frames(policy: Policy) -> None:
    extractor = FaceChoice(CHOICE(face=policy))
    assert tracks(extractor, scene(extractor, {0: [LARGE]}, speaking={0: 0.9}, num_frames=1)) == [0]
    assert tracks(extractor, scene(extractor, {}, speaking={})) == []
    none = Frames(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64), rate_hz=15, num_frames=0, source_size=(0, 0))
    clip = scene(extractor, {}, speaking={})
    assert tracks(extractor, replace(clip, frames={extractor.request: none})) == []


@pytest.fixture(scope="module")
def obama(shared_data: Path) -> Media:
    """The first four seconds of a video of two men, with its faces."""
    torch.set_num_threads(1)
    clip = Clip("a", shared_data / "video/obama_speech.mp4", stop_seconds=4.0)
    faces, shown = Faces(), FaceChoice()
    media = read_media(clip, (*faces.needs.frames, *shown.needs.frames), waveform=False)
    return replace(media, features={"faces": faces.extract([media])[0]})


def test_on_a_real_video_each_face_gets_its_own_rows(obama: Media) -> None:
    found, = FaceChoice(CHOICE(face="all")).extract([obama])
    assert len(found.values) > 0 and set(found.values[:, 0].astype(int).tolist()) == {0, 1}
    middles = [found.values[found.values[:, 0] == track, 2:].mean(0)[[0, 2]].mean() for track in (0, 1)]
    assert abs(middles[0] - middles[1]) > 50, "the two men stand apart"
    assert (found.values[:, 1] == 16).all(), "both are seen throughout"


def test_with_one_face_in_view_all_policies_give_the_same_bytes(obama: Media) -> None:
    faces = obama.features["faces"]
    keep = faces.values[:, 0] == 0
    alone = FeatureSequence(faces.values[keep], faces.times[keep])
    scores = FeatureSequence(np.full((keep.sum(), len(SPEAKING_COLUMNS)), 0.9, np.float32), alone.times)
    clip = replace(obama, features={"faces": alone, "speaking": scores})
    results = [FaceChoice(CHOICE(face=policy)).extract([clip])[0].values.tobytes()
               for policy in POLICIES if policy != "gallery"]
    assert len(set(results)) == 1 and results[0]


@pytest.mark.parametrize(("settings", "message"), [
    ({"face": "gallery"}, "face=gallery needs a gallery: also set gallery=FOLDER"),
    ({"gallery": "people"}, "gallery=people says nothing with face=largest; leave it out"),
    ({"face": "loudest"}, "expected one of largest, central, longest"),
    ({"lines": "0"}, "lines is at least 1, found 0"),
    ({"most_yaw_degrees": "120"}, "most_yaw_degrees is 0 or more and at most 90, found 120"),
    ({"least_face_pixels": "-1"}, "least_face_pixels is 0 or more, found -1")])
def test_settings_that_make_no_sense_are_usage_errors(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_settings(FaceR3d18.Config(), settings, owner="face_r3d18")
