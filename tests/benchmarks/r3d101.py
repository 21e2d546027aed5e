"""What do maps of R3D-101 cost? Prints a Markdown table.

    python -m tests.benchmarks.r3d101 [--seconds 3.7] [--repeats 3] [--threads 1] [--device cpu] [--large]

One clip as RAVDESS has them, six snippets of 16 frames: seconds of the network alone, without decoding and cropping
(of a CPU its own time, whatever else runs), and megabytes of its rows. Weights are random, which changes neither.
Parameter counts stand beside those of the published layers (Hara et al. 2018, github.com/kenshohara/3D-ResNets-PyTorch,
r3d101_K_200ep.pth), which tests/networks/test_r3d101.py writes out name by name.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from pipeline.devices import native_bfloat16
from pipeline.networks.r3d101 import NUM_CLASSES, WIDTH, ResNet101Maps
from pipeline.networks.snippets import LAYOUTS, RATE_HZ, R3D101, R3D18, R3D101Config, SnippetConfig

PUBLISHED = 85_245_120, 86_679_420  # without and with the head: the shapes of the authors' layers, multiplied out


def seconds_of(network: R3D101 | R3D18, frames: np.ndarray, rows: np.ndarray, *, batch_size: int,
               repeats: int, device: torch.device) -> tuple[float, np.ndarray]:
    """Shortest of some runs after one to warm up, and the rows."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    values, times = network(frames, rows, batch_size=batch_size), []
    for _ in range(repeats):
        start = clock()
        values = network(frames, rows, batch_size=batch_size)
        times.append(clock() - start)
    return min(times), values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.7, help="length of the clip")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the shortest counts")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--large", action="store_true", help="also pictures of 256 pixels")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    with torch.device("meta"):
        trunk = sum(parameter.numel() for parameter in ResNet101Maps().parameters())
    print(f"Parameters: {trunk:,} without and {trunk + (WIDTH + 1) * NUM_CLASSES:,} with the head of {NUM_CLASSES}"
          f" classes; published: {PUBLISHED[0]:,} and {PUBLISHED[1]:,}.\n")
    num_frames = round(options.seconds * RATE_HZ)
    spans = LAYOUTS["six_by_sixteen"].spans(num_frames)
    rows = np.minimum(spans[:, :1] + np.arange(16), num_frames - 1)
    print("| rows of a clip | compute type | seconds a clip | MB in float32 | MB in float16 | lost to float16 |\n"
          "|---|---|---|---|---|---|")
    settings: list[SnippetConfig] = [SnippetConfig(), R3D101Config(rows="pooled"), R3D101Config()]
    settings += [R3D101Config(side=256)] if options.large else []
    for config in settings:
        side = config.side if isinstance(config, R3D101Config) else 112
        frames = np.random.default_rng(0).integers(0, 256, (num_frames, side, side, 3), np.uint8)
        for dtype in ("float32", "bfloat16") if native_bfloat16(device) else ("float32",):
            network = R3D101("random", config.row_shape, dtype=dtype, device=device) \
                if isinstance(config, R3D101Config) else R3D18("random", dtype=dtype, device=device)
            seconds, values = seconds_of(network, frames, rows, batch_size=config.batch_size, repeats=options.repeats,
                                         device=device)
            half = values.astype(np.float16).astype(np.float32)
            lost = np.linalg.norm(half - values) / np.linalg.norm(values)
            name = f"R3D-101, {config.rows}, {side} px" if isinstance(config, R3D101Config) else "R3D-18"
            print(f"| {name}: {' × '.join(map(str, values.shape))} | {dtype} | {seconds:.2f} |"
                  f" {values.nbytes / 1e6:.3f} | {values.nbytes / 2e6:.3f} | {lost:.1e} |")


if __name__ == "__main__":
    main()
