"""What annotations say by themselves: counts, leaks between splits, overlapping times and damaged text."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.clip import Clip
from pipeline.datasets import Dataset, PublishedSplit, RecordedSpan
from pipeline.doctor.findings import Finding
from pipeline.learning.splits import Splits, find_leaks

OVERLAP_SECONDS = 0.1  # annotators' clicks are not finer
_HTML = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]{2,8});")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def label_counts(clips: Sequence[Clip]) -> dict[str, dict[str, dict[str, int]]]:
    """Clips by split, task and class; numbers, which are no classes, are left out."""
    found: dict[str, dict[str, Counter[str]]] = {}
    for clip in clips:
        for task, label in clip.labels.items():
            if isinstance(label, str):
                found.setdefault(clip.split, {}).setdefault(task, Counter())[label] += 1
    return {split: {task: dict(counts.most_common()) for task, counts in tasks.items()}
            for split, tasks in found.items()}


def against_published(clips: Sequence[Clip], published: Mapping[str, PublishedSplit]) -> Iterator[Finding]:
    """Numbers of clips, groups and labels that are not the published ones, of the splits that are here."""
    counts, here = label_counts(clips), dict.fromkeys(clip.split for clip in clips)
    for split, stated in published.items():
        if split not in here:
            continue
        of = [clip for clip in clips if clip.split == split]
        groups = len({clip.group for clip in of if clip.group})
        wrong = []
        if len(of) != stated.num_clips:
            wrong.append((f"{len(of):,} clips", f"{stated.num_clips:,}"))
        if stated.num_groups and groups not in stated.num_groups:
            wrong.append((f"{groups:,} groups", " or ".join(f"{number:,}" for number in stated.num_groups)))
        for task, classes in stated.labels.items():
            found = counts.get(split, {}).get(task, {})
            wrong += [(f"{task} {name}: {found.get(name, 0):,}", f"{classes.get(name, 0):,}")
                      for name in dict.fromkeys((*classes, *found)) if found.get(name, 0) != classes.get(name, 0)]
        for number, expected in wrong:
            yield Finding("label counts", found=f"{split}: {number}", expected=f"{expected} as published")


def group_leaks(clips: Sequence[Clip]) -> Iterator[Finding]:
    """What the linter of training refuses: groups, and stretches of one file, that stand in two splits."""
    table = pd.DataFrame({
        "clip_id": [clip.clip_id for clip in clips], "group": [clip.group for clip in clips],
        "source": ["" if clip.source is None else str(clip.source) for clip in clips],
        "start_seconds": [clip.start_seconds for clip in clips],
        "stop_seconds": [math.nan if clip.stop_seconds is None else clip.stop_seconds for clip in clips]})
    names = np.array([clip.split for clip in clips], object)
    splits = Splits({name: np.flatnonzero(names == name) for name in dict.fromkeys(names)}, "", "", None, False)
    for line in find_leaks(table, splits):
        yield Finding("group in two splits", found=line, expected="whole groups and files in one split")


def shared(clips: Sequence[Clip], spans: Mapping[str, RecordedSpan], known: str) -> Iterator[Finding]:
    """Which share of a later split's clips has its text, speaker or recording in an earlier split."""
    values: Mapping[str, Callable[[Clip], str]] = {
        "texts": lambda clip: " ".join(clip.text.casefold().split()), "speakers": lambda clip: clip.speaker,
        "recordings": lambda clip: spans[clip.clip_id].recording if clip.clip_id in spans else ""}
    splits = list(dict.fromkeys(clip.split for clip in clips))
    for what, value in values.items():
        of = {split: [text for clip in clips if clip.split == split and (text := value(clip))] for split in splits}
        for place, later in enumerate(splits):
            for earlier in splits[:place]:
                there = set(of[earlier])
                number = sum(text in there for text in of[later])
                if number:
                    yield Finding(f"shared {what}", found=f"{later}: {100 * number / len(of[later]):.1f} % of its clips"
                                  f" ({number:,} of {len(of[later]):,}) have {what} of {earlier}", known=known)


def time_findings(clips: Sequence[Clip], spans: Mapping[str, RecordedSpan]) -> Iterator[Finding]:
    """Times that end before they begin, and clips of one recording that overlap.

    Each clip is named once at most: with the clip before it that lasts longest, rather one of another split.
    """
    by_recording: dict[str, list[tuple[float, float, Clip]]] = defaultdict(list)
    for clip in clips:
        span = spans.get(clip.clip_id)
        if span is not None and span.stop_seconds <= span.start_seconds:
            yield Finding("impossible times", (clip.clip_id,), found=f"{span.start_seconds:g}–{span.stop_seconds:g} s",
                          expected="an end behind the start")
        elif span is not None:
            by_recording[span.recording].append((span.start_seconds, span.stop_seconds, clip))
        elif clip.source is not None:
            stop = math.inf if clip.stop_seconds is None else clip.stop_seconds
            by_recording[str(clip.source)].append((clip.start_seconds, stop, clip))
    for recording, rows in by_recording.items():
        last: dict[str, tuple[float, Clip]] = {}
        for start, stop, clip in sorted(rows, key=lambda row: row[:2]):
            before = [one for one in last.values() if min(one[0], stop) - start > OVERLAP_SECONDS]
            if before:
                end, other = max(before, key=lambda one: (one[1].split != clip.split, one[0]))
                across = other.split != clip.split
                yield Finding("overlap across splits" if across else "overlap", (other.clip_id, clip.clip_id),
                              found=_overlap(min(end, stop) - start, recording), expected="times apart")
            if clip.split not in last or stop > last[clip.split][0]:
                last[clip.split] = stop, clip


def _overlap(seconds: float, recording: str) -> str:
    return f"{'all' if math.isinf(seconds) else f'{seconds:.1f} s'} of {recording}"


def text_findings(clips: Sequence[Clip]) -> Iterator[Finding]:
    """Texts that are empty where others are not, or that went through a wrong encoding or carry markup."""
    if not any(clip.text.strip() for clip in clips):
        return
    for clip in clips:
        wrong = garbled(clip.text)
        if not clip.text.strip():
            yield Finding("empty text", (clip.clip_id,), found="no words", expected="the words said")
        elif wrong:
            yield Finding("garbled text", (clip.clip_id,), found=wrong, expected="words as they are written")


def garbled(text: str) -> str:
    """What is wrong with a text, with the place shown; "" where nothing is.

    >>> garbled("donâ€™t"), garbled("<i>no</i>"), garbled("café")
    ("UTF-8 read as CP1252: 'â€™'", "markup: '<i>'", '')
    """
    if "\ufffd" in text:
        return "characters lost in a conversion (U+FFFD)"
    for run in _NOT_ASCII.findall(text):
        try:
            meant = run.encode("cp1252").decode("utf-8")
        except UnicodeError:
            continue
        # One character of another script may be chance: é…” are the bytes of a Chinese one.
        if len(meant) > 1 or meant < "\u0250" or "\u2000" <= meant < "\u2c00":
            return f"UTF-8 read as CP1252: {run!r}"
    for pattern, what in ((_CONTROL, "control character"), (_HTML, "markup")):
        if match := pattern.search(text):
            return f"{what}: {match[0]!r}"
    return ""


def annotation_findings(dataset: Dataset, clips: Sequence[Clip], spans: Mapping[str, RecordedSpan]
                        ) -> Iterator[Finding]:
    """Everything that can be said without opening a file."""
    yield from against_published(clips, dataset.published)
    yield from group_leaks(clips)
    yield from time_findings(clips, spans)
    yield from shared(clips, spans, dataset.known_leaks)
    yield from text_findings(clips)
