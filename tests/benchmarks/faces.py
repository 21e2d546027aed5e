"""Faces by level of detection: photographs with known faces, real videos against dense, and what features make of it.

    python -m tests.benchmarks.faces SHARED_DATA [--draw FOLDER]

``SHARED_DATA`` holds ``faces/dlib`` and ``video``. One thread; seconds are the processor's, not the clock's, so that
other work on the machine counts little. ``--draw`` writes frames with their tracks, to be looked at.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image, ImageDraw

from pipeline.clip import Clip
from pipeline.decode import read_media
from pipeline.extractors.face_r3d18 import FaceR3d18
from pipeline.extractors.faces import Faces
from pipeline.faces import COLUMNS, RATE_HZ
from pipeline.faces.levels import LEVELS
from pipeline.faces.tracking import overlap
from pipeline.media import FeatureSequence, FrameRequest, Media

# Of the 68 points: both eyes, the nose's tip and the mouth's corners.
POINTS_68 = (range(36, 42), range(42, 48), [30], [48], [54])
LONG_FRAMES = 15        # a dense track of a second that no level may lose,
SURE = 0.9              # if it is sure of it on average
FEATURE_CLIPS = ("WolfgangLanger_Pexels", "face_noface", "obama_speech", "short_hamilton_clip", "single_face")
TRACK_CLIPS = ("video/obama_speech.mp4", "video/face_noface.mov", "video/shot_change.mp4", "video/no_face.mp4",
               "faces/multi_face.jpg")
COLOURS = ("red", "lime", "cyan", "yellow", "magenta", "orange", "white", "deepskyblue")


def faces_of(path: Path, extractor: Faces) -> FeatureSequence:
    """The feature of one file."""
    clip = Clip("a", path)
    media = read_media(clip, (extractor.request,), waveform=False)
    if wanted := extractor.second_look(media):
        media = replace(media, frames={**media.frames, **read_media(clip, wanted, waveform=False).frames})
    return extractor.extract([media])[0]


def per_frame(rows: FeatureSequence, num_frames: int) -> list[np.ndarray]:
    """Rows (K, 16) of each frame of the grid."""
    frames = np.round(rows.times[:, 0] * RATE_HZ).astype(int)
    return [rows.values[frames == frame] for frame in range(num_frames)]


def plain(detector: MTCNN, picture: np.ndarray) -> np.ndarray:
    """facenet-pytorch's answer as rows (K, 16), track 0."""
    boxes, sure, points = detector.detect(picture, landmarks=True)
    if boxes is None:
        return np.zeros((0, len(COLUMNS)))
    return np.concatenate([np.zeros((len(boxes), 1)), boxes, sure[:, None], points.reshape(len(boxes), 10)],
                          axis=1).astype(np.float32)


def landmark_error(row: np.ndarray, points: np.ndarray) -> float:
    """Mean distance of the five landmarks in percent of the distance between the eyes of ``points`` (5, 2)."""
    between = np.linalg.norm(points[1] - points[0])
    return float(100 * np.linalg.norm(row[6:].reshape(5, 2) - points, axis=1).mean() / between)


def photographs(folder: Path) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Each picture with its boxes (K, 4) and five landmarks (K, 5, 2)."""
    for image in ElementTree.parse(folder / "training_with_face_landmarks.xml").iter("image"):
        boxes, points = [], []
        for box in image.iter("box"):
            left, top, width, height = (float(box.attrib[name]) for name in ("left", "top", "width", "height"))
            boxes.append([left, top, left + width, top + height])
            all_points = np.array([[float(part.attrib["x"]), float(part.attrib["y"])] for part in box.iter("part")])
            points.append([all_points[list(group)].mean(0) for group in POINTS_68])
        yield folder / image.attrib["file"], np.array(boxes), np.array(points)


def photograph_table(folder: Path, extractors: dict[str, Faces]) -> None:
    """Recall of known boxes and error of landmarks by level, beside plain MTCNN."""
    print("| stills | boxes found at IoU 0.5 | at 0.4 | median IoU | landmark error, median | worst | other faces |")
    print("|---|---|---|---|---|---|---|")
    reference = MTCNN(keep_all=True)
    for name in (*extractors, "MTCNN, plain"):
        shared, errors, others = [], [], 0
        for path, boxes, points in photographs(folder):
            rows = (faces_of(path, extractors[name]).values if name in extractors
                    else plain(reference, np.asarray(Image.open(path).convert("RGB"))))
            scores = overlap(boxes, rows[:, 1:5]) if len(rows) else np.zeros((len(boxes), 1))
            shared += scores.max(1).tolist()
            errors += [landmark_error(rows[score.argmax()], five) for score, five in zip(scores, points, strict=True)
                       if score.max() >= 0.4]
            others += int((scores.max(0) < 0.4).sum()) if len(rows) else 0
        found = np.array(shared)
        print(f"| {name} | {(found >= 0.5).sum()} of {len(found)} | {(found >= 0.4).sum()} | {np.median(found):.2f} |"
              f" {np.median(errors):.1f} % | {max(errors):.1f} % | {others} |")


class Comparison:
    """A level against dense, over videos."""

    def __init__(self) -> None:
        self.same: list[bool] = []
        self.overlaps: list[float] = []
        self.errors: list[float] = []
        self.num_tracks, self.lost = 0, list[str]()

    def add(self, name: str, found: list[np.ndarray], dense: list[np.ndarray]) -> None:
        """Compare frame by frame, and every long track of dense with all that was found."""
        covered: dict[int, list[bool]] = {}
        for rows, true in zip(found, dense, strict=True):
            scores = overlap(true[:, 1:5], rows[:, 1:5]) if len(rows) else np.zeros((len(true), 1))
            best = scores.max(1)
            self.same.append(len(rows) == len(true) and bool((best >= 0.5).all()))
            for row, score, match in zip(true, best, scores.argmax(1), strict=True):
                covered.setdefault(int(row[0]), []).append(score >= 0.5)
                if score >= 0.5:
                    self.overlaps.append(float(score))
                    self.errors.append(landmark_error(rows[match], row[6:].reshape(5, 2)))
        for track, seen in covered.items():
            sure = np.mean([row[5] for true in dense for row in true if row[0] == track])
            if len(seen) >= LONG_FRAMES and sure >= SURE:
                self.num_tracks += 1
                if np.mean(seen) < 0.5:
                    self.lost.append(f"{name} {track}")


def video_table(videos: list[Path], extractors: dict[str, Faces]) -> None:
    """Each level against dense, and its time against MTCNN frame by frame at full size in the same run."""
    compared = {name: Comparison() for name in extractors}
    seconds = dict.fromkeys((*extractors, "plain"), 0.0)
    reference, num_frames = MTCNN(keep_all=True), 0
    full = FrameRequest(RATE_HZ, lines=LEVELS["dense"].lines)
    for video in videos:
        requests = tuple({full, *(extractor.request for extractor in extractors.values())})
        media = read_media(Clip("a", video), requests, waveform=False, on_damage="partial")
        pictures = media.frames[full]
        num_frames += len(pictures)
        found = {}
        for name, extractor in extractors.items():
            began = time.process_time()
            found[name] = per_frame(extractor.extract([media])[0], len(pictures))
            seconds[name] += time.process_time() - began
        began = time.process_time()
        for _, block in pictures.blocks(1):
            reference.detect(block[0])
        seconds["plain"] += time.process_time() - began
        for name in extractors:
            compared[name].add(video.stem, found[name], found["dense"])
    print(f"\n{len(videos)} videos, {num_frames} frames at {RATE_HZ:g} Hz\n")
    print("| level | frames with the same faces | median IoU | landmarks off, median | tracks lost"
          " | seconds a 100 frames | times faster than MTCNN().detect |\n|---|---|---|---|---|---|---|")
    for name, result in compared.items():
        print(f"| {name} | {np.mean(result.same):.3f} | {np.median(result.overlaps):.3f} |"
              f" {np.median(result.errors):.1f} % | {len(result.lost)} of {result.num_tracks}"
              f"{' (' + ', '.join(result.lost) + ')' if result.lost else ''} |"
              f" {100 * seconds[name] / num_frames:.2f} | {seconds['plain'] / seconds[name]:.1f} |")
    print(f"| MTCNN().detect | | | | | {100 * seconds['plain'] / num_frames:.2f} | 1.0 |")


def track_table(paths: list[Path], extractors: dict[str, Faces], folder: Path | None) -> None:
    """All tracks with their times."""
    print("\n| file | level | tracks: seconds from–to (frames, mean probability) |\n|---|---|---|")
    for path in paths:
        for name, extractor in extractors.items():
            rows = faces_of(path, extractor)
            parts = []
            for track in np.unique(rows.values[:, 0]):
                mine = rows.values[:, 0] == track
                parts.append(f"{rows.times[mine][0, 0]:.2f}–{rows.times[mine][-1, 1]:.2f} ({mine.sum()},"
                             f" {rows.values[mine, 5].mean():.2f})")
            print(f"| {path.name} | {name} | {len(parts)}: {'; '.join(parts) or 'none'} |")
            if folder is not None:
                draw(path, rows, folder / f"{path.stem}-{name}.png")


def draw(path: Path, rows: FeatureSequence, target: Path, count: int = 12) -> None:
    """A sheet of frames with boxes, landmarks and track numbers."""
    request = FrameRequest(RATE_HZ, lines=480)
    frames = read_media(Clip("a", path), (request,), waveform=False, on_damage="partial").frames[request]
    found, shrink = per_frame(rows, len(frames)), frames.shape[1] / frames.source_size[0]
    pictures = []
    for place in np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int)):
        picture = Image.fromarray(frames.take(slice(place, place + 1))[0])
        pen = ImageDraw.Draw(picture)
        for row in found[place]:
            colour = COLOURS[int(row[0]) % len(COLOURS)]
            pen.rectangle((row[1:5] * shrink).tolist(), outline=colour, width=2)
            pen.text((row[1] * shrink, row[2] * shrink - 12), f"{int(row[0])} {row[5]:.2f}", fill=colour)
            for x, y in row[6:].reshape(5, 2) * shrink:
                pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
        pen.text((4, 4), f"{place / RATE_HZ:.2f} s", fill="white")
        pictures.append(picture)
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width * min(4, len(pictures)), height * -(-len(pictures) // 4)))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % 4 * width, number // 4 * height))
    sheet.thumbnail((2000, 2000))
    sheet.save(target)


def feature_table(videos: list[Path], extractors: dict[str, Faces]) -> None:
    """How far ``face_r3d18`` moves when faces come from another level than dense, and how far clips are apart."""
    network = FaceR3d18(FaceR3d18.Config(weights="random", dtype="float32", snippets="six_by_sixteen"))
    levels, values = ("dense", "balanced", "fast"), dict[tuple[str, str], np.ndarray]()
    for video in videos:
        requests = (*network.needs.frames, *(extractors[level].request for level in levels))
        media = read_media(Clip("a", video), tuple(dict.fromkeys(requests)), waveform="speaking" in
                           network.needs.features, on_damage="partial")
        for level in levels:
            values[video.stem, level] = features(network, extractors[level], media)
    rows = {level: np.stack([values[video.stem, level].mean(0) for video in videos]) for level in levels}
    centre = rows["dense"].mean(0)
    print("\n| face_r3d18 (random weights), mean of a clip | balanced against dense | fast against dense"
          " | nearest other clip, dense |\n|---|---|---|---|")
    for place, video in enumerate(videos):
        own = rows["dense"][place]
        size = np.linalg.norm(own - centre)
        others = [np.linalg.norm(own - other) / size for number, other in enumerate(rows["dense"]) if number != place]
        apart = [np.linalg.norm(rows[level][place] - own) / size for level in levels[1:]]
        print(f"| {video.stem} | {apart[0]:.3f} | {apart[1]:.3f} | {min(others):.3f} |")


def features(network: FaceR3d18, extractor: Faces, media: Media) -> np.ndarray:
    """Rows of the followed face, as a worker makes them."""
    given = replace(media, features={"faces": extractor.extract([media])[0]})
    more = network.second_look(given)
    if more:
        raise SystemExit("face_r3d18 wants a second look; decode it here too")
    return network.extract([given])[0].values


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--draw", type=Path, help="folder for sheets of frames with their tracks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    extractors = {name: Faces(Faces.Config(detection=name)) for name in LEVELS}  # type: ignore[arg-type]
    videos = sorted((options.data / "video").glob("*.m*"))
    photograph_table(options.data / "faces" / "dlib", extractors)
    video_table(videos, extractors)
    if options.draw is not None:
        options.draw.mkdir(parents=True, exist_ok=True)
    track_table([options.data / name for name in TRACK_CLIPS], extractors, options.draw)
    feature_table([video for video in videos if video.stem in FEATURE_CLIPS], extractors)


if __name__ == "__main__":
    main()
