"""How fast are face tracks packed, and one pass over them read, against reading their files? Prints Markdown tables.

    python -m tests.benchmarks.track_packing [--tracks 200] [--frames 60] [--jobs 2] [--folder FOLDER]

The tracks are crops of one real face, 120 to 400 pixels wide, in UniTalk's layout. The loader that is compared works as
TalkNet's does: list a track's folder, read every picture in colour, turn it grey, scale it to 112, read the WAV, work
out its cepstra. Pillow stands in for OpenCV and this package's cepstra for python_speech_features. Files lie in the
page cache for both; the shorter of several repeats counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import wavfile
from skimage.data import astronaut

from pipeline.datasets.unitalk import Unitalk
from pipeline.extraction import ExtractConfig, extract
from pipeline.media import PictureRequest
from pipeline.sound.frame_spectra import cepstra, window_samples, window_starts
from pipeline.speaking.track_media import grey_picture
from pipeline.store import FeatureStore
from tests.face_tracks import tone, write_wav

HEADER = "video_id,frame_timestamp,entity_box_x1,entity_box_y1,entity_box_x2,entity_box_y2,label,entity_id,label_id," \
         "instance_id"
FEATURES = ("asd_faces", "asd_audio")
SIDE, RATE_HZ, TRACKS_PER_VIDEO = 112, 25.0, 20
UNITALK_FACES, UNITALK_TRACKS = 4_000_000, 48_693


def make_corpus(root: Path, num_tracks: int, num_frames: int) -> None:
    """Tracks in UniTalk's layout."""
    random, rows = np.random.default_rng(0), [HEADER]
    for number in range(num_tracks):
        video = f"video{number // TRACKS_PER_VIDEO:07d}"
        entity, side = f"{video}:{number % TRACKS_PER_VIDEO}", int(random.integers(120, 401))
        folder = root / "clips_videos" / "train" / video / entity
        folder.mkdir(parents=True)
        start = 10.0 * (number % TRACKS_PER_VIDEO)
        for frame in range(num_frames):
            left, stamp = 110 + frame % 40, f"{start + frame / RATE_HZ:.2f}"
            face = Image.fromarray(astronaut()[frame % 10:240 + frame % 10, left:left + 240])
            face.resize((side, side * 5 // 4)).save(folder / f"{stamp}.jpg", quality=95)
            rows.append(f"{video},{stamp},0.1,0.1,0.5,0.6,{'SPEAKING_AUDIBLE' if frame % 2 else 'NOT_SPEAKING'},"
                        f"{entity},{frame % 2},{entity}")
        write_wav(root / "clips_audios" / "train" / video / f"{entity}.wav", tone(num_frames / RATE_HZ))
    (root / "csv").mkdir()
    (root / "csv" / "train_orig.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def load_as_published(folders: list[Path], sounds: list[Path], num_frames: int) -> float:
    """One pass over all tracks, from their files."""
    total = 0.0
    for folder, sound in zip(folders, sounds):
        names = sorted(folder.glob("*.jpg"), key=lambda path: float(path.stem))
        faces = np.stack([np.asarray(Image.open(path).convert("RGB").convert("L").resize((SIDE, SIDE)))
                          for path in names])
        _, samples = wavfile.read(sound)
        spectra = cepstra(samples / np.float32(32768), window_starts(np.arange(num_frames) / RATE_HZ, RATE_HZ),
                          window_samples(RATE_HZ))
        total += float(faces[-1, -1, -1]) + float(spectra[-1, -1])
    return total


def load_packed(out: Path, clip_ids: list[str]) -> float:
    """The same from the store, opened anew: every byte of every row is read."""
    store, total = FeatureStore(out), 0.0
    for clip_id in clip_ids:
        for name in (*FEATURES, "frame_labels"):
            rows = np.array(store.read(clip_id, name).values)
            total += float(rows.reshape(-1)[-1])
    return total


def shortest(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some repeats."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def packing(root: Path, out: Path, pictures: list[Path], num_tracks: int, jobs: int) -> None:
    request = PictureRequest(SIDE)

    def pack(workers: int) -> None:
        out.unlink(missing_ok=True)
        report = extract(Unitalk(Unitalk.Config(root=root)), out, extractors=FEATURES,
                         config=ExtractConfig(jobs=workers))
        assert not report.failures and report.num_done == num_tracks

    def decode() -> None:
        for path in pictures:
            grey_picture(path.read_bytes(), request, max_pixels=2 ** 26)

    found = [("reading and decoding the pictures alone, one process", shortest(decode, 2)),
             ("packing, one worker", shortest(lambda: pack(1), 2))]
    if jobs > 1:
        pack(jobs)  # starts the workers
        found.append((f"packing, {jobs} workers", shortest(lambda: pack(jobs), 2)))
    print(f"Packing {num_tracks} tracks, {len(pictures):,} pictures of"
          f" {sum(path.stat().st_size for path in pictures) / len(pictures) / 1e3:.1f} kB: `extract --dataset unitalk"
          f" --extractors {','.join(FEATURES)}`\n")
    print("| | seconds | tracks/s | pictures/s | all of UniTalk |\n|---|---|---|---|---|")
    for name, seconds in found:
        print(f"| {name} | {seconds:.1f} | {num_tracks / seconds:.0f} | {len(pictures) / seconds:,.0f} |"
              f" {UNITALK_FACES / len(pictures) * seconds / 60:.0f} min |")


def reading(root: Path, out: Path, num_pictures: int, num_frames: int) -> None:
    ids = FeatureStore(out).column("clip_id").tolist()
    entities = [clip_id.removeprefix("train/") for clip_id in ids]
    folders = [root / "clips_videos" / "train" / entity.partition(":")[0] / entity for entity in entities]
    sounds = [root / "clips_audios" / "train" / entity.partition(":")[0] / f"{entity}.wav" for entity in entities]
    files = shortest(lambda: load_as_published(folders, sounds, num_frames), 2)
    packed = shortest(lambda: load_packed(out, ids), 5)
    print(f"\nOne pass over {len(ids)} tracks, track by track, in one process\n")
    print("| | seconds | tracks/s | pictures/s | times as fast |\n|---|---|---|---|---|")
    for name, seconds in (("JPEG and WAV files, as TalkNet's loader", files),
                          ("`store.read(clip_id, feature)`, three features", packed)):
        print(f"| {name} | {seconds:.3f} | {len(ids) / seconds:,.0f} | {num_pictures / seconds:,.0f} |"
              f" {files / seconds:.0f} |")
    size = out.stat().st_size / num_pictures
    print(f"\nThe store has {out.stat().st_size / 1e6:.1f} MB: {size / 1e3:.2f} GB for a million faces, and"
          f" {UNITALK_FACES * size / 1e9:.0f} GB for all of UniTalk")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        root, out = Path(temporary) / "UniTalk", Path(temporary) / "unitalk.h5"
        make_corpus(root, given.tracks, given.frames)
        pictures = sorted(root.rglob("*.jpg"))
        packing(root, out, pictures, given.tracks, given.jobs)
        reading(root, out, len(pictures), given.frames)


if __name__ == "__main__":
    main()
