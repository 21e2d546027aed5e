"""What the doctor can find: every kind of trouble with its weight and its remedy, and one finding of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Kind(NamedTuple):
    """A kind of trouble.

    Args:
        severity: an error's clips cannot be used; a warning changes results; a note is good to know.
        advice: what to do.
    """

    severity: Severity
    advice: str


KINDS: Mapping[str, Kind] = MappingProxyType({
    "missing file": Kind("error", "put the file there; extraction records such a clip as failed"),
    "empty file": Kind("error", "fetch the file again"),
    "damaged file": Kind("error", "fetch or convert the file again; extract --on-damage partial keeps what can be"
                                  " read"),
    "unreadable file": Kind("error", "check the disk and run again"),
    "no sound": Kind("warning", "leave sound out for these clips, or fetch the files again"),
    "silent": Kind("warning", "listen to it; fetch it again, or leave it out of models that hear"),
    "no picture": Kind("warning", "leave the picture out for these clips, or fetch the files again"),
    "mis-cut": Kind("warning", "watch the clip; cut it again, or leave it out"),
    "words do not fit": Kind("warning", "watch the clip; correct its times or its words, or leave it out"),
    "sound beside picture": Kind("warning", "watch the clip; multiplex it again if lips and voice are apart"),
    "impossible times": Kind("warning", "correct the annotation"),
    "overlap across splits": Kind("warning", "leave one of the two out: the same seconds are learnt from and scored"),
    "same bytes": Kind("warning", "keep one, unless both labels are meant; never have them in two splits"),
    "same content": Kind("warning", "keep one, unless both labels are meant; never have them in two splits"),
    "group in two splits": Kind("warning", "correct the groups or the splits: train refuses them"),
    "label counts": Kind("warning", "compare the annotation files with the published ones; fetch them again"),
    "empty text": Kind("warning", "fill it in, or leave these clips out of models that read"),
    "garbled text": Kind("warning", "correct the annotation: UTF-8, without markup"),
    "no media": Kind("note", "models that read can be trained; for others put the files there, or name the folder with"
                             " --root"),
    "one modality": Kind("note", "leave extractors of the other one out"),
    "extra file": Kind("note", "nothing reads it; annotate it, or delete it"),
    "macOS file": Kind("note", "nothing reads them; delete them"),
    "few frames": Kind("note", "encoders of 16 frames repeat the last one; leave such clips out if motion matters"),
    "mixed formats": Kind("note", "nothing: frames are resampled by time and scaled; but see that no class has a format"
                                  " of its own"),
    "overlap": Kind("note", "nothing, if people talk at once; otherwise correct the times"),
    "shared texts": Kind("note", "say so beside scores of models that read"),
    "shared speakers": Kind("note", "say so beside scores: a model may know the person"),
    "shared recordings": Kind("note", "say so beside scores: rooms, clothes and music are the same"),
    "known defect not found": Kind("note", "nothing: this copy is better than the published one, or was mended"),
})


@dataclass(frozen=True)
class Finding:
    """One trouble.

    Args:
        kind: a key of ``KINDS``.
        clips: ids of the clips that have it; empty where it is a file's or a split's.
        file: the file or folder it is about, relative to the corpus's root; "" without one.
        found: what was found.
        expected: what was expected.
        known: what the corpus's reader knows of it; "" for news.

    Raises:
        ValueError: there is no such kind.
    """

    kind: str
    clips: tuple[str, ...] = ()
    file: str = ""
    found: str = ""
    expected: str = ""
    known: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no kind of finding {self.kind!r}; there are: {', '.join(KINDS)}")
        for name in ("file", "found", "expected"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    @property
    def severity(self) -> Severity:
        """How grave it is."""
        return KINDS[self.kind].severity

    @property
    def advice(self) -> str:
        """What to do."""
        return KINDS[self.kind].advice

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON's types."""
        return {"kind": self.kind, "severity": self.severity, "clips": list(self.clips), "file": self.file,
                "found": self.found, "expected": self.expected, "advice": self.advice, "known": self.known}


def printable(text: str) -> str:
    """``text`` on one line, without what would steer a terminal: names and messages come from strangers' files.

    >>> printable("a\\x1b[31mb\\n")
    'a\ufffd[31mb\ufffd'
    """
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def known_defect(name: str, defects: Mapping[str, str]) -> str:
    """What is known of a clip, by its id or by a key with ``*``; "" where nothing is.

    >>> known_defect("test/extra_7", {"test/extra_*": "left over"}), known_defect("test/7", {"test/extra_*": "x"})
    ('left over', '')
    """
    return defects.get(name) or next((what for key, what in defects.items()
                                      if "*" in key and fnmatchcase(name, key)), "")


def marked(finding: Finding, defects: Mapping[str, str], *names: str) -> Finding:
    """``finding`` with what is known of its clips, or of ``names`` where its file has no clip."""
    what = next((text for name in (*finding.clips, *names) if (text := known_defect(name, defects))), "")
    return replace(finding, known=finding.known or what)
