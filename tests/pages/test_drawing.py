"""Faces drawn on frames: in their places, in their tracks' colours, the speaker marked, on the right file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import main
from pipeline.clip import Clip, Corpus
from pipeline.errors import ClipError, StoreError, UsageError
from pipeline.faces import COLUMNS, SPEAKING_COLUMNS
from pipeline.media import Frames
from pipeline.pages import drawing
from pipeline.pages.drawing import COLOURS, SPEAKER, draw_clip, draw_faces, draw_sheet
from pipeline.speaking.tracks import Faces
from pipeline.storage.packing import Cell, FeatureData, SourceRecord, write_store
from pipeline.store import FeatureStore
from pipeline.weights import file_digest
from tests.makers import SIZE, make_video
from tests.speaking.test_tracks import FACES_RECIPE, SPEAKING_RECIPE, face_rows, speaking_rows

NONE = np.zeros((0, len(COLUMNS)), np.float32)


def pixels(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of the pixels of a colour, (N, 2)."""
    return np.argwhere((picture == colour).all(2))


def test_a_face_gets_its_box_its_points_and_a_label_in_its_tracks_colour() -> None:
    picture = np.full((200, 300, 3), 127, np.uint8)
    row = face_rows((0, 2, 100, 0.98)).values
    drawn = draw_faces(picture, row, np.array([np.nan]))
    coloured = pixels(drawn, COLOURS[2])
    assert coloured.min(0).tolist()[1] == 100 and coloured.max(0)[0] == 70
    for x, y in row[0, 6:].reshape(5, 2).round().astype(int):
        assert (drawn[y, x] == COLOURS[2]).all()
    assert len(pixels(drawn[:20], COLOURS[2])) > 100, "the label stands above the box"
    assert not len(pixels(drawn, SPEAKER)) and (picture == 127).all(), "what was given is left alone"


def test_only_the_one_who_speaks_is_marked() -> None:
    picture = np.full((200, 300, 3), 127, np.uint8)
    rows = face_rows((0, 0, 20, 0.9), (0, 1, 200, 0.9)).values

    def marked(*scores: float) -> tuple[bool, bool]:
        drawn = draw_faces(picture, rows, np.array(scores))
        return bool(len(pixels(drawn[:, :150], SPEAKER))), bool(len(pixels(drawn[:, 150:], SPEAKER)))

    assert marked(0.7, 0.9) == (False, True) and marked(0.5, 0.2) == (True, False)
    assert marked(0.49, 0.2) == (False, False) and marked(np.nan, np.nan) == (False, False)
    assert marked(np.nan, 0.8) == (False, True)


def test_faces_that_reach_out_of_the_picture_are_drawn_as_far_as_they_go() -> None:
    rows = face_rows((0, 0, -30, 0.9), (0, 1, 5000, 0.9)).values
    rows[1, 1:] *= 1e20
    drawn = draw_faces(np.zeros((60, 80, 3), np.uint8), rows, np.array([0.9, 0.1]), "0.00 s")
    assert drawn.shape == (60, 80, 3) and len(pixels(drawn, SPEAKER))
    assert draw_faces(np.zeros((1, 1, 3), np.uint8), rows, np.array([0.9, 0.1])).shape == (1, 1, 3)


def test_a_sheet_has_a_tile_for_each_frame_with_the_faces_of_its_time() -> None:
    frames = Frames(np.zeros((6, 360, 480, 3), np.uint8), np.arange(0, 12, 2), rate_hz=15, num_frames=12,
                    source_size=(720, 960))
    found = face_rows((4, 0, 400, 0.9), (5, 1, 400, 0.9))
    sheet = draw_sheet(frames, Faces(found.values, found.times, np.array([0.1, 0.9], np.float32)))
    tile = 484
    assert sheet.shape == (2 * 364 + 4, 4 * tile + 4, 3)
    places = pixels(sheet, COLOURS[0])
    assert (places[:, 1] // tile == 2).all() and (places[:, 0] < 364).all(), "frame 4 is the third tile"
    box = places[places[:, 0] > 30]
    assert box[:, 1].min() == 2 * tile + 4 + 200, "source pixels are twice the frame's"
    assert not len(pixels(sheet, COLOURS[1])), "frame 5 is not on the sheet"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("media") / "one.mp4")


def store_of(path: Path, source: Path | None, *, digest: str | None = None) -> FeatureStore:
    """A clip that starts at 0.2 s with a face in all of its frames, which speaks."""
    rows = face_rows(*((frame, 0, 10, 0.99) for frame in range(12)))
    scores = speaking_rows(rows, (0.9,) * 12)
    known = {} if source is None else {"train/a": SourceRecord(1, 1, digest if digest is not None
                                                               else file_digest(source))}
    clip = Clip("train/a", source, start_seconds=0.2, split="train")
    return FeatureStore(write_store(path, corpus=Corpus("toy"), clips=[clip], sources=known, features={
        "faces": FeatureData("face", (len(COLUMNS),), FACES_RECIPE, columns=COLUMNS, cells={
            "train/a": Cell.of(rows)}),
        "speaking": FeatureData("face", (len(SPEAKING_COLUMNS),), SPEAKING_RECIPE, columns=SPEAKING_COLUMNS, cells={
            "train/a": Cell.of(scores)})}))


def test_the_command_draws_a_clip_of_a_store(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = store_of(tmp_path / "a.h5", video)
    for name, format in (("a.png", "PNG"), ("deep/a.JPG", "JPEG")):
        out = tmp_path / name
        assert main(["inspect", str(store.path), "--clip", "train/a", "--draw", str(out), "--frames", "5"]) == 0
        assert capsys.readouterr().out.strip() == str(out)
        with Image.open(out) as image:
            factor = drawing.LINES // SIZE[0]
            assert image.format == format and image.size == (4 * (SIZE[1] * factor + 4) + 4, 2 * (SIZE[0] * factor + 4)
                                                             + 4)
    with Image.open(tmp_path / "a.png") as image:
        assert len(pixels(np.array(image.convert("RGB")), SPEAKER)) > 500


def test_a_file_that_is_gone_or_another_one_is_not_drawn_on(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    with pytest.raises(StoreError, match="gone.mp4, which clip train/a was made from, is no longer there"):
        draw_clip(store_of(tmp_path / "a.h5", tmp_path / "gone.mp4", digest="d" * 32), "train/a", out)
    with pytest.raises(StoreError, match="one.mp4 is not the file that clip train/a was made from .*: boxes would lie"):
        draw_clip(store_of(tmp_path / "b.h5", video, digest="d" * 32), "train/a", out)
    with pytest.raises(StoreError, match="was made without a file"):
        draw_clip(store_of(tmp_path / "c.h5", None), "train/a", out)
    assert not out.exists()


def test_a_file_that_cannot_be_drawn_on_says_why(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(ClipError, match="broken.mp4"):
        draw_clip(store_of(tmp_path / "a.h5", broken), "train/a", out)
    silent = make_video(tmp_path / "b.mp4", seconds=0.5)
    store = store_of(tmp_path / "b.h5", silent)
    with pytest.raises(StoreError, match="cannot write .*nowhere"):
        (tmp_path / "nowhere").write_text("a file")
        draw_clip(store, "train/a", tmp_path / "nowhere" / "a.png")
    with pytest.raises(UsageError, match=r"expected a name that ends in .png, .jpg, .jpeg"):
        draw_clip(store, "train/a", tmp_path / "a.gif")
    with pytest.raises(UsageError, match="at least 1 frame is drawn, found 0"):
        draw_clip(store, "train/a", out, num_frames=0)
    with pytest.raises(StoreError, match="has no clip 'train/b'"):
        draw_clip(store, "train/b", out)


def test_a_sound_has_no_picture_to_draw_on(tmp_path: Path) -> None:
    import wave
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(32_000))
    with pytest.raises(ClipError, match="a.wav has no picture to draw on"):
        draw_clip(store_of(tmp_path / "a.h5", tmp_path / "a.wav"), "train/a", tmp_path / "a.png")
