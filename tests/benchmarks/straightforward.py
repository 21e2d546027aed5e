"""What a careful person writes in an afternoon: the same features, one clip at a time, with every library's defaults.

It is the yardstick of ``extraction.py``: three calls of ffmpeg a clip, ``MTCNN.detect`` on every frame, R3D-18 in
float32 on six snippets of the largest face, ResNet-18 on six patches of a log-mel spectrogram, BERT-base on the
sentence. A clip in which no face is found costs it no R3D-18 either.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torchaudio
from facenet_pytorch import MTCNN
from torch.nn import functional
from torchvision.models import resnet18
from torchvision.models.video import r3d_18
from transformers import BertConfig, BertModel


class Straightforward:
    """Networks with random weights, loaded.

    Args:
        ffmpeg: the binary.
    """

    def __init__(self, ffmpeg: str) -> None:
        torch.manual_seed(0)
        self.ffmpeg = ffmpeg
        self.mtcnn = MTCNN(keep_all=True)
        self.video, self.audio = r3d_18().eval(), resnet18().eval()
        self.video.fc, self.audio.fc = torch.nn.Identity(), torch.nn.Identity()
        self.bert = BertModel(BertConfig(), add_pooling_layer=False).eval()
        self.mel = torchaudio.transforms.MelSpectrogram(16_000, n_fft=1024, hop_length=512, n_mels=64)
        self.seconds: dict[str, float] = defaultdict(float)

    def _run(self, path: Path, *arguments: str) -> bytes:
        return subprocess.run([self.ffmpeg, "-v", "error", "-i", str(path), *arguments, "-"], check=True,
                              capture_output=True).stdout

    def decode(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """All frames, uint8 (T, H, W, 3), and the sound, float32 (S,)."""
        seen = subprocess.run([self.ffmpeg, "-i", str(path)], capture_output=True, text=True).stderr
        width, height = map(int, re.search(r"Video:.*? (\d{2,5})x(\d{2,5})", seen).groups())  # type: ignore[union-attr]
        frames = np.frombuffer(self._run(path, "-f", "rawvideo", "-pix_fmt", "rgb24"), np.uint8)
        sound = self._run(path, "-ac", "1", "-ar", "16000", "-f", "f32le") if "Audio:" in seen else bytes(64_000)
        return frames.reshape(-1, height, width, 3).copy(), np.frombuffer(sound, np.float32).copy()

    def crops(self, frames: np.ndarray) -> np.ndarray:
        """The largest face of every frame (the whole frame where none is found), uint8 (T, 112, 112, 3); T = 0 in a
        clip without any face."""
        pictures, seen = [], False
        for frame in frames:
            boxes, _ = self.mtcnn.detect(frame)
            if boxes is not None:
                seen = True
                x1, y1, x2, y2 = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1])).clip(0).astype(int)
                frame = frame[y1:max(y2, y1 + 2), x1:max(x2, x1 + 2)]
            pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
            pictures.append(functional.interpolate(pixels, (112, 112), mode="bilinear", antialias=True)[0])
        return torch.stack(pictures).permute(0, 2, 3, 1).byte().numpy()[:len(pictures) if seen else 0]

    def __call__(self, path: Path, text_ids: torch.Tensor) -> dict[str, np.ndarray]:
        """Features of one clip; time by stage is added to :attr:`seconds`."""
        with torch.inference_mode():
            began = time.perf_counter()
            frames, sound = self.decode(path)
            began = self._stage("decode", began)
            crops = self.crops(frames)
            began = self._stage("faces", began)
            video = torch.zeros(0, 512)
            if len(crops):
                rows = np.linspace(0, len(crops) - 1, 96).astype(int).reshape(6, 16)
                video = self.video(torch.from_numpy(crops[rows]).permute(0, 4, 1, 2, 3).float() / 255)
            began = self._stage("video", began)
            levels = (self.mel(torch.from_numpy(sound)) + 1e-6).log()
            patches = functional.interpolate(levels[None, None], (64, 384))[0, 0].unfold(1, 64, 64).permute(1, 0, 2)
            audio = self.audio(functional.interpolate(patches[:, None], (128, 128)).expand(-1, 3, -1, -1))
            began = self._stage("audio", began)
            text = self.bert(text_ids).last_hidden_state
            self._stage("text", began)
        return {"face": video.numpy(), "audio": audio.numpy(), "text": text.numpy()}

    def _stage(self, name: str, began: float) -> float:
        now = time.perf_counter()
        self.seconds[name] += now - began
        return now
