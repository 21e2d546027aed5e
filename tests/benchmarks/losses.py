"""What do the losses on distances gain? Prints a Markdown table.

    python -m tests.benchmarks.losses STORE [--model cross_attention] [--inputs face_r3d101,audio_resnet18]
        [--task emotion] [--seeds 3] [--epochs 60] [--set NAME=VALUE …]

Trains on one store with the cross-entropy alone and with each metric loss beside it, all else equal; the figures are
unweighted average recall and accuracy of the test split, or of dev where there is none, mean ± sd over seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import get_args

from pipeline.learning.metric_losses import MetricChoice
from pipeline.learning.train_config import TrainConfig
from pipeline.training import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, help="what extract made")
    parser.add_argument("--model", default="cross_attention", help="early, intermediate or cross_attention")
    parser.add_argument("--inputs", default="", help="features, by default one of each modality")
    parser.add_argument("--task", default="emotion", help="a task of emotions")
    parser.add_argument("--seeds", type=int, default=3, help="networks of each loss")
    parser.add_argument("--epochs", type=int, default=60, help="at most")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="NAME=VALUE of model or training")
    options = parser.parse_args()
    config = TrainConfig(seeds=options.seeds, epochs=options.epochs, select_by="uar", baselines=False)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for choice in get_args(MetricChoice):
            start = time.perf_counter()
            run = train(options.store, model=options.model, inputs=[name for name in options.inputs.split(",") if name],
                        tasks=[options.task], config=config, out=Path(folder) / choice,
                        settings={**dict(text.split("=", 1) for text in options.settings), "metric_loss": choice})
            seconds = time.perf_counter() - start
            metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
            split = "test" if "test" in metrics else "dev"
            scores = metrics[split][options.task]
            figures = [f"{100 * scores[name]['mean']:.1f} ± {100 * scores[name]['sd']:.1f}"
                       for name in ("uar", "accuracy")]
            rows.append(f"| {'cross-entropy alone' if choice == 'none' else f'with {choice}'} | {' | '.join(figures)} |"
                        f" {metrics['num_clips'][split]['scored'][options.task]} | {seconds:.0f} |")
    print(f"{options.model} on {options.store.name}, {options.seeds} seeds, split {split}.\n")
    print("| loss | UAR, % | accuracy, % | clips | seconds |\n|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
