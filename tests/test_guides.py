"""The guides are promises: what they print runs, what they quote is said, and no command in any of them is made up."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch

from pipeline import plugins, weights
from pipeline.cli import commands, main
from pipeline.clip import Clip, Task
from pipeline.networks.backbones import RANDOM_SEED
from tests.makers import make_bert, make_video
from tests.test_readme import ROOT, blocks, with_own_weights
from tests.training_stores import make_store

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
OWN_DATA, EXTENDING = TEXTS["own_data.md"], TEXTS["extending.md"]
PASTED = {"audio_level", "attentive", "named_files"}    # names that the guide to extending makes up


def command_lines(text: str) -> list[str]:
    """Commands of a guide's bash blocks, lines that go on joined."""
    return [line for block in blocks(text, "bash") for line in block.replace("\\\n", "").splitlines() if line]


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the guide's recordings lie, with the published networks' random likes in ``own``."""
    from torchvision.models import resnet18
    from torchvision.models.video import r3d_18
    folder = tmp_path_factory.mktemp("own")
    (folder / "talks").mkdir()
    for number in range(1, 7):
        make_video(folder / f"talks/talk{number}.mp4", seconds=2.0, tone_hz=180.0 + 40 * number)
    make_video(folder / "new.mp4", seconds=2.0)
    (folder / "talks/clips.csv").write_text(blocks(OWN_DATA, "csv")[0], encoding="utf-8")
    (folder / "own").mkdir()
    for official, network in ((weights.R3D18, r3d_18), (weights.RESNET18, resnet18)):
        torch.save(weights.seeded(network, RANDOM_SEED).state_dict(), folder / "own" / official.name)
    make_bert(folder / "own/bert-base-uncased")
    return folder


def test_own_data_runs_from_videos_to_answers_as_printed(talks: Path, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(talks)
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    lines = command_lines(OWN_DATA)
    assert {line.split()[3] for line in lines} == {"doctor", "extract", "inspect", "train", "report", "predict"}
    for line in lines:
        words = shlex.split(line)[3:]
        one_process = ["--jobs", "1"] if words[0] in ("doctor", "extract", "predict") else []
        assert main([*with_own_weights(words), *one_process]) == 0, (line, capsys.readouterr().err)
    for made in ("faces.png", "runs/talks/report.html", "predictions/talks/new.html"):
        assert (talks / made).stat().st_size, made
    rows_elsewhere = blocks(EXTENDING, "python")[-1]
    exec(compile(rows_elsewhere, "extending.md", "exec"), {})
    assert main(["train", "--features", "cache/talks.h5", "--features", "cache/numbers.h5", "--inputs", "numbers",
                 "--tasks", "mood", "--smoke", "--no-report"]) == 0


MISTAKES = {
    "does not exist; put it there and run again with --retry-failed": "path\ngone.mp4\n",
    "expected an id of its own for each, in a column 'id'": "path,start\na.mp4,0\na.mp4,1\n",
    "expected it to be written 'path'": "Path\na.mp4\n",
    "cells, its header": "path,text\na.mp4,Well, yes\n",
    "is UTF-16; save the file as CSV UTF-8": "path\na.mp4\n".encode("utf-16"),
    "is empty or starts before 0": "path,start,end\na.mp4,2,1\n",
    "expected a number from 1 to 5, or an empty cell": "path,energy:regression:1:5\na.mp4,7\n",
    "write an absolute path, or allow it with --allow-outside": "path\n../a.mp4\n",
    "if it is no label, write remark:ignore in the header":
        "path,id,remark\n" + "".join(f"a.mp4,{number},it is {number}\n" for number in range(20)),
}
UNTRAINABLE = {  # by message: splits, groups and moods of the clips
    "the splits leak: group 'anna' is in test and train": ("train train dev test", "anna ben carl anna",
                                                           "calm lively calm calm"),
    "learning needs at least two": ("train train dev test", "anna ben carl dora", "calm calm lively calm"),
    "has no labels; a manifest gets some by a column": ("train train dev test", "anna ben carl dora", ""),
}


@pytest.mark.parametrize("message", [*MISTAKES, *UNTRAINABLE, "made in another way"])
def test_every_message_quoted_is_in_the_table(message: str) -> None:
    assert f"`{message}` |" in OWN_DATA
    assert OWN_DATA.count("` |\n", OWN_DATA.index("## What goes wrong")) == len(MISTAKES) + len(UNTRAINABLE) + 1


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_in_a_table_of_clips_are_answered_as_quoted(message: str, tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    content = MISTAKES[message]
    (tmp_path / "clips.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "a.mp4").touch()
    command = ["extract", "--dataset", "manifest", "--manifest", str(tmp_path / "clips.csv"), "--extractors",
               "audio_logmel", "--jobs", "1", "--out", str(tmp_path / "store.h5")]
    assert main(command) in (1, 3)
    assert message in re.sub(r"[\s│┃]+", " ", capsys.readouterr().err)


@pytest.mark.parametrize("message", UNTRAINABLE)
def test_clips_that_cannot_be_learnt_from_are_answered_as_quoted(message: str, tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    splits, groups, moods = (words.split() for words in UNTRAINABLE[message])
    labels = [{"mood": mood} for mood in moods] or [{}] * len(splits)
    clips = [Clip(f"{split}/{place}", split=split, group=groups[place], labels=labels[place])
             for place, split in enumerate(splits)]
    store = make_store(tmp_path / "store.h5", clips=clips, features=["audio_logmel"],
                       tasks=[Task("mood", ("calm", "lively"))] if moods else [])
    assert main(["train", "--features", str(store), "--out", str(tmp_path / "run")]) == 1
    assert message in capsys.readouterr().err


def test_another_setting_for_what_is_stored_is_answered_as_quoted(tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clips.csv").write_text("path,text\n,Oh no.\n")
    command = ["extract", "--dataset", "manifest", "--manifest", str(tmp_path / "clips.csv"), "--extractors",
               "text_bert", "--jobs", "1", "--out", str(tmp_path / "store.h5"), "--set",
               f"text_bert.model={make_bert(tmp_path / 'tiny')}"]
    assert main(command) == 0
    assert main([*command, "--set", "text_bert.rows=cls"]) == 1
    assert "made in another way" in capsys.readouterr().err


def pasted_files(text: str) -> Iterator[tuple[Path, str]]:
    """Python blocks of a guide with the file that the paragraph before each names."""
    for paragraph, code in re.findall(r"\n\n([^\n].*?)\n\n```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        named = re.findall(r"`(\S+\.py)`", paragraph.rsplit("\n\n", 1)[-1])
        if named:
            yield Path(named[-1]), code


RUN = """
import shlex, sys
import pytest
from pipeline.cli import main
for line in sys.argv[1:]:
    words = shlex.split(line)[2:] + (["--jobs", "1"] if " extract " in line else [])
    code = pytest.main([*words[1:], "-p", "no:cacheprovider"]) if words[0] == "pytest" else main(words[1:])
    if code:
        sys.exit(f"{line}: {code}")
"""


def test_pasted_plug_ins_pass_their_tests_and_the_contracts_and_are_of_use(tmp_path: Path) -> None:
    for part in ("pipeline", "models", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "benchmarks"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    files = dict(pasted_files(EXTENDING))
    assert {path.stem for path in files} == PASTED | {f"test_{name}" for name in PASTED} | {"test_contract"}
    for path, code in files.items():
        target = tmp_path / path
        before = target.read_text(encoding="utf-8") + "\n\n" if target.exists() else ""
        target.write_text(before + code, encoding="utf-8")
    (tmp_path / "recordings").mkdir()
    for person in ("anna", "ben", "carl", "dora"):
        for number, mood in enumerate(("calm", "lively")):
            make_video(tmp_path / f"recordings/{person}_{mood}_{number}.mp4", seconds=0.3, face=False,
                       tone_hz=200.0 + 200 * number)
    done = subprocess.run([sys.executable, "-c", RUN, *command_lines(EXTENDING)], cwd=tmp_path, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert all(re.search(rf"\b{name}\b", done.stdout + done.stderr) for name in PASTED)
    assert re.search(r"\b[3-9] passed", done.stdout) and re.search(r"\b[2-9]\d passed", done.stdout)
    assert (tmp_path / "runs/named/metrics.json").is_file()
    lint = subprocess.run([sys.executable, "-m", "flake8", *map(str, files)], cwd=tmp_path, capture_output=True,
                          text=True, check=False)
    assert lint.stdout == ""


def shown_commands(text: str) -> Iterator[str]:
    """All command lines of a page, in blocks and within sentences, and what begins with a command's name."""
    for block in re.findall(r"^```[a-z]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", "").splitlines():
            if found := re.search(r"python -m pipeline (.*)", line):
                yield found[1]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for span in re.findall(r"`([^`]+)`", prose):
        words = " ".join(span.split())
        if words.startswith("python -m pipeline "):
            yield words.removeprefix("python -m pipeline ")
        elif words.split(" ", 1)[0] in commands.commands and " --" in words:
            yield words


def is_placeholder(value: str) -> bool:
    return bool(re.search(r"[A-Z…$]", value)) or value == "..."


def check_command(line: str) -> None:
    """Let click read a command line without running it, and see that what it names is there.

    Raises:
        click.UsageError: an unknown command, option or value, or a word too many.
    """
    line = re.sub(r"\$\([^)]*\)", "", re.sub(r'"\$\([^)]*\)"', "$", line))     # what a shell would put in is not known
    words = [word for word in shlex.split(line.split(" #")[0]) if word not in ("…", "...", "…)")]
    ends = [place for place, word in enumerate(words) if word in ("|", "&", "&&", ">", ";") or word[:1] in ">"]
    words = words[:ends[0]] if ends else words
    command: click.Command = commands
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            raise click.UsageError(f"no command {words[0]}")
        command = command.commands[words.pop(0)]
    with click.Context(command) as context:
        try:
            values, left, _ = command.make_parser(context).parse_args(words)
        except click.BadOptionUsage as error:
            if "requires an argument" in error.message:     # `--folds` in a sentence
                return
            raise
        if left:
            raise click.UsageError(f"too much: {' '.join(left)}")
        for option in command.params:
            for value in found if isinstance(found := values.get(option.name or ""), list) else [found]:
                check_value(option, value, context)


def check_value(option: click.Parameter, value: Any, context: click.Context) -> None:
    """Refuse a value that an option does not take, or a plug-in that is not there."""
    if not isinstance(value, str) or is_placeholder(value):
        return
    if isinstance(option.type, (click.Choice, click.IntRange, click.FloatRange)):
        option.type.convert(value, option, context)
    kind: Any = {"dataset": "dataset", "model": "model", "extractors": "extractor"}.get(option.name or "")
    for name in value.split(",") if kind else ():
        plain = name.partition("@")[0]
        if plain not in plugins.names(kind) and plain not in PASTED:
            raise click.UsageError(f"no {kind} {name}")


@pytest.mark.parametrize("page", TEXTS)
def test_every_command_of_every_page_is_one_that_exists(page: str) -> None:
    wrong = []
    for line in shown_commands(TEXTS[page]):
        try:
            check_command(line)
        except click.UsageError as error:
            wrong.append(f"{line}: {error.format_message()}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("line", "complaint"), [
    ("extrakt --dataset meld", "no command"), ("train --feature x", "No such option"), ("inspect a b", "too much"),
    ("train --level clip", "not one of"), ("extract --dataset melt", "no dataset"), ("faces clusters x", "no command"),
    ("extract --dataset meld --extractors audio_logmell", "no extractor"), ("tune --trials x", "not a valid")])
def test_a_command_that_does_not_exist_is_seen(line: str, complaint: str) -> None:
    with pytest.raises(click.UsageError) as error:
        check_command(line)
    assert complaint in error.value.format_message()


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_that_a_page_points_to_is_there(page: str) -> None:
    for path in re.findall(r"`((?:docs|examples|tests|pipeline|models)/[\w/]+\.(?:md|ipynb|py))`", TEXTS[page]):
        assert (ROOT / path).is_file() or Path(path).stem.removeprefix("test_") in PASTED, path
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.M | re.S)):
        assert (ROOT / ("" if page.isupper() else "docs") / link).exists() or (ROOT / link).exists(), link


def test_the_image_is_made_of_files_that_are_there_by_the_rules_of_the_set_up() -> None:
    recipe = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE) for name in line.split()]
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(copied) == sorted(allowed) and all((ROOT / name).exists() for name in copied)
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = re.search(r'pip install [^"]*"\.\[([\w,]+)\]"', recipe)
    assert extras and set(extras[1].split(",")) <= parsed["options.extras_require"].keys()
    assert {parsed["metadata"]["license_files"], "README.md"} <= set(copied)
    python = re.search(r"^ARG PYTHON=3\.(\d+)$", recipe, re.MULTILINE)
    assert python and f"python3.{python[1]}" in (ROOT / "setup_venv.sh").read_text(encoding="utf-8")
    choices = re.findall(r"^ +(\w+)\) ", recipe, re.MULTILINE)
    assert set(re.findall(r"COMPUTE=(\w+)", TEXTS["cluster.md"] + recipe)) == set(choices)


def test_every_guide_has_its_place_on_the_site() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    placed = [name for block in re.findall(r"```{toctree}\n(.*?)```", index, re.DOTALL)
              for name in block.splitlines() if re.fullmatch(r"[a-z_/0-9]+", name)]
    guides = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
    assert guides <= set(placed) and len(placed) == len(set(placed))
    assert all((ROOT / "docs" / f"{name}.{end}").is_file() for name in placed
               for end in ["rst" if "/" in name else "md"])


def test_licences_of_corpora_are_those_that_their_readers_state() -> None:
    table = TEXTS["what_scores_mean.md"]
    for name in plugins.names("dataset"):
        kind: Any = plugins.plugin_class("dataset", name)
        row = re.search(rf"^\|[^|]*`{name}`[^|]*\| ([^|]+) \| (yes|no|non-commercial)\b", table, re.MULTILINE)
        assert row, name
        if name != "manifest":      # whose own table would have to be there
            assert (row[1], row[2]) == (kind().corpus.licence, kind().corpus.redistribute)
