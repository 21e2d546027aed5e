"""Files found by their names: what is passed over, what a wrong name gives, what is a pointer."""

from __future__ import annotations

import doctest
from pathlib import Path

from pipeline.datasets import _media
from pipeline.datasets._media import find_media, num_pointers, read_names
from tests.datasets.test_meld import touch

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 72862\n"


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(_media) == (0, 2)


def test_hidden_files_and_what_macos_leaves_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path / "b", "2.wav", "1.WAV", "._1.wav", ".3.wav", "3.txt")
    touch(tmp_path / "a", "4.wav")
    touch(tmp_path / "__MACOSX" / "a", "4.wav")
    touch(tmp_path / ".corpus.download", "5.wav")
    found = [path.relative_to(tmp_path).as_posix() for path in find_media(tmp_path, (".wav",))]
    assert found == ["a/4.wav", "b/1.WAV", "b/2.wav"]


def test_every_name_is_read_or_has_its_reason() -> None:
    good, wrong = read_names([Path("a/7.wav"), Path("a/x\n.wav")], lambda path: int(path.stem))
    assert good == [(Path("a/7.wav"), 7)]
    assert wrong == ["'x\\n.wav' (invalid literal for int() with base 10: 'x\\n')"]


def test_only_whole_pointers_count_and_nothing_that_is_not_there(tmp_path: Path) -> None:
    contents = {"pointer": POINTER, "media": POINTER + "x" * 2000, "text": "hello", "empty": ""}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert num_pointers(tmp_path / name for name in (*contents, "link")) == 1
