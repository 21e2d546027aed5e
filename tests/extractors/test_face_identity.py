"""Who a track shows: which crops are taken, and what the network makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facenet_pytorch import InceptionResnetV1

from pipeline.catalogue import catalogue, describe, verify_networks
from pipeline.clip import Clip
from pipeline.decode import read_media
from pipeline.errors import ClipError, WeightsError
from pipeline.exporting.selection import PRIVATE_EXTRACTORS
from pipeline.extractors.face_identity import NUM_CLASSES, SIDE, VGGFACE2, FaceIdentity
from pipeline.extractors.faces import Faces
from pipeline.faces import COLUMNS
from pipeline.faces.alignment import FIVE_POINTS
from pipeline.media import FeatureSequence, Frames, Media
from pipeline.plugins import names, plugin_class
from pipeline.storage.layout import IDENTITY_EXTRACTORS
from pipeline.weights import seeded


class Watched(torch.nn.Module):
    """Stands for the network: keeps what it was given, and answers with each crop's mean in a direction of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen += list(pixels)
        rows = torch.zeros(len(pixels), 512)
        rows[:, 0], rows[:, 1] = 0.6, 0.8 * pixels.mean((1, 2, 3)).sign()
        return rows


@pytest.fixture
def watched() -> FaceIdentity:
    extractor = FaceIdentity(FaceIdentity.Config(weights="random", crops=3))
    extractor.__dict__["network"] = Watched()
    return extractor


def face(track: int, left: float = 60, *, aside: float = 0.0, probability: float = 0.99) -> np.ndarray:
    """A row whose nose lies ``aside`` of the middle between its eyes, in parts of their distance."""
    points = FIVE_POINTS * 100 + (left, 60)
    points[2, 0] = points[:2, 0].mean() + aside * (points[1, 0] - points[0, 0])
    return np.array([track, left, 60, left + 100, 160, probability, *points.ravel()], np.float32)


def clip_of(extractor: FaceIdentity, faces: dict[int, list[np.ndarray]], *, num_frames: int = 40, every: int = 4,
            noise: dict[int, float] | None = None) -> Media:
    """Frames that carry their number as their grey level; ``noise`` makes some of them sharp."""
    request = extractor.request if every == 4 else extractor.all_frames
    wanted = np.arange(0, num_frames, every)
    values = np.stack([np.full((240, 240, 3), 4 * number, np.uint8) for number in wanted])
    for place, number in enumerate(wanted.tolist()):
        values[place, ::8] += np.uint8((noise or {}).get(number, 0))
    rows = [(frame, row) for frame in sorted(faces) for row in faces[frame]]
    times = np.array([[frame / 15, (frame + 1) / 15] for frame, _ in rows], np.float32).reshape(-1, 2)
    found = np.stack([row for _, row in rows]) if rows else np.zeros((0, len(COLUMNS)), np.float32)
    frames = Frames(values, wanted, rate_hz=15, num_frames=num_frames, source_size=(240, 240))
    return Media("a", {request: frames}, duration_seconds=num_frames / 15,
                 features={"faces": FeatureSequence(found, times)})


def frames_seen(extractor: FaceIdentity) -> list[int]:
    """Number of the frame that each crop came from."""
    return [round(float(crop.median() * 128 + 127.5) / 4) for crop in extractor.__dict__["network"].seen]


def test_a_row_is_a_track_from_its_first_to_its_last_second(watched: FaceIdentity) -> None:
    faces = {frame: [face(0)] + ([face(1, 120)] if 8 <= frame < 20 else []) for frame in range(40)}
    found, = watched.extract([clip_of(watched, faces)])
    np.testing.assert_allclose(found.times, np.array([[0, 40], [8, 20]]) / 15, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, rtol=1e-5)


def test_crops_come_from_all_parts_of_a_track(watched: FaceIdentity) -> None:
    watched.extract([clip_of(watched, {frame: [face(0)] for frame in range(40)}, num_frames=36)])
    assert frames_seen(watched) == [0, 12, 24], "each third of the nine frames that are looked at gives one"


def test_the_network_sees_pixels_scaled_as_it_was_trained(watched: FaceIdentity) -> None:
    watched.extract([clip_of(watched, {0: [face(0)]}, num_frames=1)])
    crop, = watched.__dict__["network"].seen
    assert crop.shape == (3, SIDE, SIDE) and torch.equal(crop, torch.full_like(crop, -127.5 / 128))


def test_the_sharpest_of_the_most_frontal_crops_is_taken(watched: FaceIdentity) -> None:
    watched.config = replace(watched.config, crops=1)
    turned = {0: 0.4, 4: 0.1, 8: 0.0, 12: 0.1, 16: 0.4}
    clip = clip_of(watched, {frame: [face(0, aside=aside)] for frame, aside in turned.items()}, num_frames=20,
                   noise={0: 90, 12: 40, 16: 90})
    watched.extract([clip])
    assert frames_seen(watched) == [12], "0 and 16 are sharper, but turned away"


def test_crops_of_doubtful_faces_are_left_for_sure_ones(watched: FaceIdentity) -> None:
    watched.config = replace(watched.config, crops=1)
    doubts = {frame: [face(0, probability=0.5 if frame < 12 else 0.99)] for frame in range(0, 24, 4)}
    watched.extract([clip_of(watched, doubts, num_frames=24, noise={0: 90, 4: 90, 8: 90, 20: 9})])
    assert frames_seen(watched) == [20]


def test_the_mean_over_crops_has_length_one(watched: FaceIdentity) -> None:
    found, = watched.extract([clip_of(watched, {frame: [face(0)] for frame in range(40)})])
    signs = [np.sign(4 * frame - 127.5) for frame in frames_seen(watched)]
    mean = np.array([0.6, 0.8 * np.mean(signs)])
    np.testing.assert_allclose(found.values[0, :2], mean / np.linalg.norm(mean), rtol=1e-5)


def test_a_track_between_the_frames_that_are_looked_at_asks_for_all_of_them(watched: FaceIdentity) -> None:
    faces = {frame: [face(0)] for frame in range(40)} | {9: [face(0), face(1, 120)], 10: [face(1, 120)]}
    clip = clip_of(watched, faces)
    assert watched.second_look(clip) == (watched.all_frames,)
    assert watched.second_look(clip_of(watched, {frame: [face(0)] for frame in range(40)})) == ()
    again = replace(clip, frames={**clip.frames, **clip_of(watched, faces, every=1).frames})
    assert watched.extract([again])[0].values.any(1).tolist() == [True, True]


def test_nothing_is_known_of_a_track_that_no_frame_shows(watched: FaceIdentity) -> None:
    found, = watched.extract([clip_of(watched, {0: [face(0)], 9: [face(1, 120)]})])
    assert found.values.any(1).tolist() == [True, False] and len(found.times) == 2


def test_a_clip_without_faces_has_no_rows(watched: FaceIdentity) -> None:
    assert watched.extract([clip_of(watched, {})])[0].values.shape == (0, 512)


def test_tracks_that_are_not_numbered_from_zero_are_refused(watched: FaceIdentity) -> None:
    with pytest.raises(ClipError, match="not numbered 0, 1, 2, …; extract faces again"):
        watched.extract([clip_of(watched, {0: [face(7)]})])


def test_extractors_of_identities_are_known_wherever_these_are_kept_private() -> None:
    found = {name for name in names("extractor") if getattr(plugin_class("extractor", name), "identity")}
    assert found == set(IDENTITY_EXTRACTORS) == {name for name, what in PRIVATE_EXTRACTORS.items()
                                                 if what == "identities"}


def published_layout(**changes: Any) -> InceptionResnetV1:
    return seeded(lambda: InceptionResnetV1(classify=True, num_classes=changes.get("num_classes", NUM_CLASSES)), 3)


def test_a_file_of_the_published_layout_gives_the_embeddings_of_facenet_pytorch(tmp_path: Path) -> None:
    network = published_layout().eval()
    torch.save(network.state_dict(), tmp_path / VGGFACE2.name)
    extractor = FaceIdentity(FaceIdentity.Config(weights=str(tmp_path)))
    assert [(record.network, record.source, record.name) for record in extractor.weights] \
        == [("inception_resnet_v1", "file", VGGFACE2.name)]
    network.classify = False
    pixels = seeded(lambda: torch.randn(2, 3, SIDE, SIDE), 0)
    with torch.inference_mode():
        torch.testing.assert_close(extractor.network(pixels), network(pixels), rtol=1e-3, atol=1e-4)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save(published_layout(num_classes=3).state_dict(), tmp_path / VGGFACE2.name)
    with pytest.raises(WeightsError, match="does not hold weights of InceptionResnetV1.*expected the publisher's file"):
        FaceIdentity(FaceIdentity.Config(weights=str(tmp_path))).network


def test_the_network_is_listed_and_no_digest_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    found = {network.name: network for network in catalogue()}[VGGFACE2.name]
    assert found.extractors == ("face_identity",)
    assert describe(found)["state"] == "missing" and not describe(found)["expected"]
    torch.save(published_layout().state_dict(), VGGFACE2.path)
    assert describe(found)["state"] == "here"
    verdict, = verify_networks([found])
    assert verdict.state == "good" and "nothing is known to compare with" in verdict.finding


def test_every_face_of_a_photograph_has_its_row(shared_data: Path) -> None:
    detector, extractor = Faces(), FaceIdentity(FaceIdentity.Config(weights="random"))
    for name, num_faces in (("obama2.jpg", 1), ("obama-480p.jpg", 1), ("biden.jpg", 1), ("two_people.jpg", 2)):
        clip = Clip(name, shared_data / "faces" / name)
        media = read_media(clip, (*detector.needs.frames, extractor.request), waveform=False)
        faces, = detector.extract([media])
        found, = extractor.extract([replace(media, features={"faces": faces})])
        assert len(found.values) == num_faces
        np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, rtol=1e-5)
