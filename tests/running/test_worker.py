"""What a worker does beside decoding once: a second look where an extractor asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut
from skimage.transform import resize

from pipeline.datasets.manifest import Manifest
from pipeline.decode import ffmpeg_path
from pipeline.extractors.face_choice import FaceChoice
from pipeline.media import FrameRequest, Media
from pipeline.running import orders
from pipeline.running.planning import ExtractConfig, plan_extraction
from pipeline.running.worker import Chunk, run_chunk
from pipeline.store import FeatureStore
from tests.makers import write_manifest

HEIGHT = 960
Run = Callable[..., FeatureStore]


@pytest.fixture(scope="module")
def tall_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of 960 lines with a face of about 100."""
    picture = np.full((HEIGHT, 640, 3), 127, np.uint8)
    picture[200:440, 100:340] = (resize(astronaut()[0:240, 130:370], (240, 240)) * 255).round()
    path = tmp_path_factory.mktemp("media") / "tall.mp4"
    subprocess.run([ffmpeg_path(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"640x{HEIGHT}", "-r",
                    "15", "-i", "-", "-crf", "12", "-pix_fmt", "yuv420p", "-threads", "1", str(path)],
                   input=np.stack([picture] * 8).tobytes(), check=True)
    return path


@pytest.fixture
def run(tall_video: Path, tmp_path: Path) -> Run:
    """Work on the video in this process."""
    def work(features: tuple[str, ...], **settings: dict[str, str]) -> FeatureStore:
        dataset = Manifest(Manifest.Config(manifest=write_manifest(tmp_path / "clips.csv", [
            {"path": str(tall_video), "id": "a"}])))
        plan = plan_extraction(dataset, tmp_path / "out.h5", features, settings, ExtractConfig())
        chunk = Chunk(1, plan.clips, plan.features, (), plan.corpus, tmp_path / "shards" / "1.h5", None,
                      orders.begin(tmp_path / "shards"), "cpu")
        run_chunk(chunk)
        return FeatureStore(chunk.shard)
    return work


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Lines of the frames that ``face_choice`` was given beside the faces' own, for each clip."""
    found: list[list[int]] = []
    known = FaceChoice.snippets

    def watched(self: FaceChoice, clip: Media) -> object:
        found.append(sorted(frames.shape[1] for frames in clip.frames.values() if frames.shape[1] > 300))
        return known(self, clip)

    monkeypatch.setattr(FaceChoice, "snippets", watched)
    return found


@pytest.mark.parametrize(("lines", "expected"), [
    (900, [900]),           # the crop covers about 130 pixels of the file, 120 of these lines: nothing to gain
    (360, [360, 830]),      # as many lines as make it 112
    (960, [960])])
def test_the_file_is_decoded_again_where_crops_would_be_enlarged_and_it_has_more_lines(
        run: Run, seen: list[list[int]], lines: int, expected: list[int]) -> None:
    store = run(("face_choice",), face_choice={"lines": str(lines)})
    assert store.status("face_choice").tolist() == ["done"]
    assert len(seen) == 1 and seen[0] == pytest.approx(expected, rel=0.08)


def test_an_extractor_is_given_what_it_asks_for_and_others_are_not(run: Run, seen: list[list[int]]) -> None:
    store = run(("face_choice", "face_choice@small"), face_choice={"lines": "900"},
                **{"face_choice@small": {"lines": "360"}})
    assert [len(lines) for lines in seen] == [2, 3], "both first looks are shared, the second look is one's own"
    rows = [store.array(name) for name in ("face_choice", "face_choice@small")]
    np.testing.assert_array_equal(rows[0], rows[1])


def test_a_second_look_that_fails_is_the_clips_failure(run: Run, monkeypatch: pytest.MonkeyPatch,
                                                       tall_video: Path) -> None:
    def ask(self: FaceChoice, media: Media) -> tuple[FrameRequest, ...]:
        tall_video.rename(tall_video.with_suffix(".gone"))
        return (FrameRequest(lines=HEIGHT),)

    monkeypatch.setattr(FaceChoice, "second_look", ask)
    store = run(("face_choice",))
    tall_video.with_suffix(".gone").rename(tall_video)
    assert store.status("face_choice").tolist() == ["failed"] and store.status("faces").tolist() == ["done"]
    assert "tall.mp4" in store.failures["message"][0] and store.failures["stage"][0] == "decode"
