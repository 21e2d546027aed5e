"""What comes of media that break decoders, extracted in one run with good clips.

    python -m tests.benchmarks.odd FOLDER [--good FOLDER] [--jobs 2] [--extractors NAME,NAME]

Prints a Markdown table of the files in FOLDER, and below it whether the good clips' features equal those of a run
without the odd files, and the peak memory of both.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from pipeline.errors import EXIT_CLIPS_FAILED
from tests.benchmarks.memory import MEDIA_EXTRACTORS, peak_of
from tests.makers import make_video
from tests.odd_media import Outcome, digests, extract_command, outcomes

PICTURE, SOUND = ("video_r3d18", "faces", "face_r3d18"), ("audio_logmel", "audio_resnet18")


def cell(found: Outcome, features: tuple[str, ...]) -> str:
    """Rows by feature: ``video_r3d18 8, faces 0``; nothing where they failed."""
    return ", ".join(f"{name} {found.rows[name]}" for name in features if name in found.rows) or "–"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--good", type=Path, help="folder of good clips; by default three are made")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--extractors", default=MEDIA_EXTRACTORS)
    options = parser.parse_args()
    odd = sorted(options.folder.iterdir())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = sorted(options.good.iterdir()) if options.good else [
            make_video(folder / f"good{number}.mp4", tone_hz=200.0 + 50 * number) for number in range(3)]
        mixed = peak_of(extract_command([*odd, *good], folder / "mixed.h5", extractors=options.extractors,
                                        jobs=options.jobs), accept=(EXIT_CLIPS_FAILED,))
        alone = peak_of(extract_command(good, folder / "good.h5", extractors=options.extractors, jobs=options.jobs))
        found, names = outcomes(folder / "mixed.h5"), [file.name for file in good]
        same = digests(folder / "mixed.h5", names) == digests(folder / "good.h5", names)
    print("| file | picture (rows) | sound (rows) | reason |\n|---|---|---|---|")
    for file in odd:
        outcome = found[file.name]
        reasons = " / ".join(outcome.reasons).replace("|", "\\|") or "–"
        print(f"| `{file.name}` | {cell(outcome, PICTURE)} | {cell(outcome, SOUND)} | {reasons} |")
    failed = sum(bool(found[file.name].reasons) for file in odd)
    print(f"\n{len(odd)} odd files, {failed} failed with one reason each, exit code {EXIT_CLIPS_FAILED}. Features of"
          f" the {len(good)} good clips {'equal' if same else 'DIFFER FROM'} those of a run without the odd files. Peak"
          f" memory {mixed.whole:.0f} MB, without the odd files {alone.whole:.0f} MB.")


if __name__ == "__main__":
    main()
