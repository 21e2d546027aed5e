"""Trouble with a corpus, found before any time is spent on it: files, media, annotations and splits.

::

    clips ──► annotations    counts, leaks, overlapping times, text
          ──► files          missing, extra, the same bytes
          ──► media          one look and one decoding of each clip, in threads that wait for ffmpeg
          ──► alike          the same recording under other bytes
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib

from pipeline.clip import Clip
from pipeline.datasets import Dataset, RecordedSpan
from pipeline.decode import DecodeLimits
from pipeline.doctor.alike import Print, alike
from pipeline.doctor.annotations import annotation_findings, label_counts
from pipeline.doctor.files import extras, no_media, same_bytes, shown, splits_without_media
from pipeline.doctor.findings import KINDS, SEVERITIES, Finding, marked, printable
from pipeline.doctor.media import Look, diagnose_clip, look, seconds_of, words_against
from pipeline.errors import DatasetError

__all__ = ["KINDS", "SEVERITIES", "Diagnosis", "Finding", "diagnose"]

# A whole corpus of sound alone, or of silent films, is no trouble: said once.
_WHOLE_CORPUS = ("no sound", "no picture")


@dataclass(frozen=True)
class Diagnosis:
    """All that was found.

    Args:
        dataset: name of the corpus.
        root: its folder.
        num_clips: clips that the annotations name, in the splits asked for.
        num_looked: clips whose file was opened.
        decoded: was every file decoded to its end?
        notes: what the corpus's reader said.
        findings: graver kinds first.
        labels: clips by split, task and class.
        formats: clips by frame rate, height, width and whether there is sound.
    """

    dataset: str
    root: str
    num_clips: int
    num_looked: int
    decoded: bool
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]
    formats: tuple[tuple[tuple[float, int, int, bool], int], ...]

    @property
    def unusable(self) -> tuple[str, ...]:
        """Ids of the clips that cannot be used, each once."""
        return tuple(dict.fromkeys(clip_id for finding in self.findings if finding.severity == "error"
                                   for clip_id in finding.clips))

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON's types.

        Returns:
            ``{"dataset", "root", "clips", "looked_at", "decoded", "notes": [text], "counts": {"error", "warning",
            "note"}, "unusable": [clip id], "findings": [{"kind", "severity", "clips": [clip id], "file", "found",
            "expected", "advice", "known"}], "labels": {split: {task: {class: clips}}}, "formats": [{"fps", "height",
            "width", "sound", "clips"}]}``.
        """
        counts = Counter(finding.severity for finding in self.findings)
        return {
            "dataset": self.dataset, "root": self.root, "clips": self.num_clips, "looked_at": self.num_looked,
            "decoded": self.decoded, "notes": list(self.notes),
            "counts": {severity: counts[severity] for severity in SEVERITIES}, "unusable": list(self.unusable),
            "findings": [finding.as_json() for finding in self.findings],
            "labels": {split: {task: dict(of) for task, of in tasks.items()} for split, tasks in self.labels.items()},
            "formats": [{"fps": fps, "height": height, "width": width, "sound": sound, "clips": number}
                        for (fps, height, width, sound), number in self.formats]}


def diagnose(dataset: Dataset, *, quick: bool = False, jobs: int | None = None, limits: DecodeLimits = DecodeLimits(),
             progress: Callable[[int, int], None] = lambda done, total: None) -> Diagnosis:
    """Look for trouble in a corpus; nothing is written or changed.

    Args:
        dataset: the corpus, of the splits that its settings ask for.
        quick: open files without decoding them: damage inside, silence and copies under other bytes stay unseen.
        jobs: clips looked at at once; by default one for each core.
        limits: how much one clip may cost.
        progress: told after each clip how many of how many are done.

    Raises:
        DatasetError: an annotation file is missing or malformed, or there are no clips.
        UsageError: the settings name a split that is not there.
        PipelineError: there is no ffmpeg.
    """
    clips = list(dataset.clips())
    if not clips:
        raise DatasetError(f"the dataset {dataset.corpus.name} at {dataset.root} has no clips; expected at least one"
                           " annotated row")
    spans, notes, jobs = dataset.recorded_spans(), tuple(map(printable, dataset.notes)), jobs or joblib.cpu_count()
    bare = splits_without_media(clips)
    there = [clip for clip in clips if clip.source is not None and clip.split not in bare]
    findings = [*annotation_findings(dataset, clips, spans), *no_media(clips, bare, dataset.root),
                *extras(dataset, clips), *same_bytes(there, dataset, jobs=jobs)]
    seen = _Seen(dataset, spans)
    looks = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(
        joblib.delayed(look)(clip, decode=not quick, limits=limits) for clip in there)
    for number, one in enumerate(looks, 1):
        seen.take(one)
        progress(number, len(there))
    findings += [*seen.findings(), *seen.copies(findings)]
    opened = {clip.clip_id for clip in there}
    for clip in clips:
        span = spans.get(clip.clip_id)
        if clip.clip_id not in opened and span is not None and span.stop_seconds > span.start_seconds:
            findings += [Finding(kind, (clip.clip_id,), "", found, expected) for kind, found, expected
                         in words_against(clip.text, span.stop_seconds - span.start_seconds)]
    findings += _not_found(dataset, findings, {clip.split for clip in there}, quick=quick)
    order = list(KINDS)
    findings.sort(key=lambda finding: (SEVERITIES.index(finding.severity), order.index(finding.kind)))
    return Diagnosis(dataset.corpus.name, str(dataset.root), len(clips), len(there), not quick, notes, tuple(findings),
                     label_counts(clips), tuple(seen.formats.most_common()))


class _Seen:
    """What is kept of the looks at a corpus: findings and, of each clip, less than a kilobyte."""

    def __init__(self, dataset: Dataset, spans: Mapping[str, RecordedSpan]) -> None:
        self._dataset, self._spans = dataset, spans
        self._found: list[Finding] = []
        self._prints: list[tuple[Clip, Print]] = []
        self.formats: Counter[tuple[float, int, int, bool]] = Counter()

    def take(self, one: Look) -> None:
        clip = one.clip
        assert clip.source is not None
        file = shown(clip.source, self._dataset.root)
        self._found += [marked(Finding(kind, (clip.clip_id,), file, found, expected), self._dataset.known_defects)
                        for kind, found, expected in diagnose_clip(one, self._spans.get(clip.clip_id))]
        if one.found is not None:
            (height, width), sound = one.found.size, one.found.audio_span[1] > 0
            self.formats[round(one.found.fps, 2), height, width, sound] += 1
        if one.looks is not None and seconds_of(one) is not None:
            self._prints.append((clip, one.looks))

    def findings(self) -> Iterator[Finding]:
        """Of single clips, those that concern every clip drawn together, and the variety of formats."""
        num_usable = sum(self.formats.values())
        for kind in _WHOLE_CORPUS:
            of = [finding for finding in self._found if finding.kind == kind]
            if num_usable > 1 and len(of) == num_usable:
                self._found = [finding for finding in self._found if finding.kind != kind]
                yield Finding("one modality", tuple(finding.clips[0] for finding in of), "",
                              f"{kind} in any of the {len(of):,} files", of[0].expected)
        yield from self._found
        filmed = [key for key in self.formats if key[1]]
        rates, sizes = {key[0] for key in filmed}, {key[1:3] for key in filmed}
        if len(rates) > 1 or len(sizes) > 1:
            yield Finding("mixed formats", found=f"{len(rates)} frame rates and {len(sizes)} sizes of picture",
                          expected="one of each")

    def copies(self, findings: Sequence[Finding]) -> Iterator[Finding]:
        """Clips of the same material, but for those that are the same byte for byte and said so already."""
        said = {clip_id for finding in findings if finding.kind == "same bytes" for clip_id in finding.clips[1:]}
        kept = [(clip, one) for clip, one in self._prints if clip.clip_id not in said]
        for places in alike([one for _, one in kept]):
            of = [kept[place][0] for place in places]
            splits = {clip.split for clip in of}
            across = f", in {len(splits)} splits" if len(splits) > 1 else ""
            assert of[0].source is not None
            yield Finding("same content", tuple(clip.clip_id for clip in of), shown(of[0].source, self._dataset.root),
                          f"{len(of)} clips sound and look the same{across}", "a recording of its own for each clip")


def _not_found(dataset: Dataset, findings: Sequence[Finding], splits: set[str], *, quick: bool) -> Iterator[Finding]:
    """Known defects of the splits with media that this copy does not show."""
    met = {clip_id for finding in findings if finding.known for clip_id in finding.clips}
    extra = {finding.file for finding in findings if finding.kind == "extra file"}
    for name, what in dataset.known_defects.items():
        split, _, stem = name.partition("/")
        folder = dataset.media_folders().get(split)
        as_extra = folder is not None and any(
            file.rpartition(".")[0] == shown(folder / stem, dataset.root) for file in extra)
        if "*" not in name and split in splits and name not in met and not as_extra:
            yield Finding("known defect not found", (name,), "",
                          "nothing was seen of it" + (" without decoding" if quick else ""), what, known=what)
