"""Small real things that several tests need: a talking clip, a tiny BERT, a folder of clips with its manifest."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from skimage.data import astronaut

from pipeline.decode import ffmpeg_path

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "oh", "no", "yes", "well", "you", "know", "what", "##s",
              "!", "?", ",", ".")
SIZE = 96, 128


def make_video(path: Path, *, seconds: float = 1.0, face: bool = True, sound: bool = True, tone_hz: float = 220.0,
               fps: int = 15) -> Path:
    """A clip of a real face that drifts over a grey wall (or of the wall alone), with a tone that pulses."""
    height, width = SIZE
    wall = np.full((height, width, 3), 127, np.uint8)
    portrait = astronaut()[0:240:3, 130:370:3]
    frames = []
    for number in range(round(seconds * fps)):
        frame = wall.copy()
        if face:
            left = 10 + number % 20
            frame[8:8 + portrait.shape[0], left:left + portrait.shape[1]] = portrait
        frames.append(frame)
    command = [ffmpeg_path(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
               "-r", str(fps), "-i", "-"]
    if sound:
        command += ["-f", "lavfi", "-i", f"sine=frequency={tone_hz}:sample_rate=16000:duration={seconds}"]
    subprocess.run([*command, "-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p", "-threads", "1", str(path)],
                   input=np.stack(frames).tobytes(), check=True)
    return path


def make_bert(folder: Path, *, width: int = 32) -> Path:
    """A BERT with random weights, two layers and a vocabulary of seventeen, in the layout of published ones."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(BertConfig(vocab_size=len(VOCABULARY), hidden_size=width, num_hidden_layers=2, num_attention_heads=2,
                             intermediate_size=2 * width)).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == width
    return folder


def write_manifest(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """A manifest with the columns of its first row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


__all__ = ["SIZE", "VOCABULARY", "make_bert", "make_video", "write_manifest"]
