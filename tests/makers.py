"""Small real things that several tests need: a talking clip, a tiny BERT, a folder of clips with its manifest."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def make_speech_encoder(folder: Path, kind: str = "wav2vec2", **config: Any) -> Path:
    """A speech encoder with random weights, two layers of 32, and wav2vec 2.0's frames of 400 samples every 320.

    Args:
        folder: where it goes.
        kind: transformers' name: wav2vec2, hubert, wavlm, data2vec-audio …
        config: other settings of the model, for instance ``feat_extract_norm="layer"``.
    """
    settings = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
                "conv_dim": [8] * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    save_encoder(folder, kind, {**settings, **config})
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True, "sampling_rate": 16_000}))
    return folder


def make_vision_encoder(folder: Path, kind: str = "vit", **config: Any) -> Path:
    """A vision encoder with random weights, two layers of 32, for pictures of 32 pixels in four patches."""
    settings = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
                "image_size": 32, "patch_size": 16}
    save_encoder(folder, kind, {**settings, **config})
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "size": {"height": 32, "width": 32}, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3]}))
    return folder


def save_encoder(folder: Path, kind: str, settings: Mapping[str, Any]) -> None:
    """Config and random weights of an encoder of transformers, in the layout of published ones."""
    import torch
    from transformers import AutoConfig, AutoModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(AutoConfig.for_model(kind, **settings)).save_pretrained(folder)


def write_manifest(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """A manifest with the columns of its first row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


__all__ = ["SIZE", "VOCABULARY", "make_bert", "make_speech_encoder", "make_video", "make_vision_encoder",
           "write_manifest"]
