"""The README is a promise: what it shows runs as shown, and it shows all there is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from pipeline import plugins, weights
from pipeline.cli import commands, main
from pipeline.errors import EXIT_CLIPS_FAILED
from pipeline.networks.backbones import RANDOM_SEED
from pipeline.rendering.corpus import render_corpus
from tests.makers import make_bert, make_video

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which MELD, the weights and the reader's own videos lie where the README puts them.

    MELD is the sample dataset, which has its layout; the weights are random in the published layouts, in a folder of
    their own, because files that are not the published ones are refused where those belong.
    """
    from facenet_pytorch import InceptionResnetV1
    from torchvision.models import resnet18
    from torchvision.models.video import r3d_18

    from pipeline.extractors.face_identity import VGGFACE2

    def facenet() -> torch.nn.Module:
        return InceptionResnetV1(classify=True, num_classes=8631)
    folder = tmp_path_factory.mktemp("workplace")
    render_corpus(folder / "data/MELD.Raw", num_clips=8)
    (folder / "own").mkdir(parents=True)
    for official, network in ((weights.R3D18, r3d_18), (weights.RESNET18, resnet18), (VGGFACE2, facenet)):
        torch.save(weights.seeded(network, RANDOM_SEED).state_dict(), folder / "own" / official.name)
    make_bert(folder / "own/bert-base-uncased")
    (folder / "clips.csv").write_text(blocks(README, "csv")[0], encoding="utf-8")
    make_video(folder / "interview1.mp4", seconds=4.0)
    make_video(folder / "interview2.mp4", seconds=1.0)
    return folder


def with_own_weights(words: list[str]) -> list[str]:
    """The published weights cannot be had in a test: ``extract`` is given those of :func:`workplace`."""
    return [*words, "--weights", "own"] if words[0] == "extract" else words


def test_every_command_shown_runs_as_shown(workplace: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    lines = [line for block in blocks(README, "bash") for line in block.splitlines() if line.startswith("python")]
    assert len(lines) >= 8
    for line in lines:
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "pipeline"], line
        code = main(with_own_weights(words[3:]))
        assert code in (0, EXIT_CLIPS_FAILED) if words[3] == "extract" else code == 0, (line, capsys.readouterr().err)
    assert list(Path("runs").glob("*/report.html"))
    for code in blocks(README, "python"):
        exec(compile(code, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    assert re.search(r"\(\d+, 512\)", shown)
    shutil.copy("cache/meld.h5", "cache/sample.h5")
    for code in blocks((ROOT / "docs/format.md").read_text(encoding="utf-8"), "python"):
        exec(compile(code, "format.md", "exec"), {})
    assert re.search(r"dia\d+_utt\d+ \(\d+, 512\)", capsys.readouterr().out)


def test_the_guide_to_clusters_shows_commands_that_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    for line in "".join(blocks(guide, "bash")).splitlines():
        assert main(with_own_weights(shlex.split(line)[3:])) == 0, line
    script = blocks(guide, "sh")[0]
    assert script.startswith("#!/bin/bash\n#SBATCH --array")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    options = re.findall(r"--[a-z-]+", script[script.index("pipeline extract"):script.index("&\n")])
    assert set(options) <= {option for parameter in commands.commands["extract"].params for option in parameter.opts}


def test_every_dataset_extractor_and_model_has_its_row() -> None:
    for kind in ("dataset", "extractor", "model"):
        for name in plugins.names(kind):  # type: ignore[arg-type]
            assert f"| `{name}` |" in README, name


def test_every_command_is_mentioned() -> None:
    shown = {word for block in blocks(README, "bash") for word in re.findall(r"-m pipeline (\S+)", block)}
    shown |= set(re.findall(r"`python -m pipeline (\S+?)[ `]", README))
    assert shown >= set(commands.commands) - {"sample", "report", "store"} and shown <= set(commands.commands)


def test_the_two_commands_that_do_all_set_up_are_there() -> None:
    for script in ("run_pipeline.sh", "run_tests.sh"):
        assert f"bash {script}" in README and (ROOT / script).is_file()
