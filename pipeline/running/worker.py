"""What one worker does with one chunk of clips: decode ahead, extract, write a shard."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from pipeline.clip import Clip, Corpus
from pipeline.decode import Damage, DecodeLimits, read_media
from pipeline.devices import torch_threads
from pipeline.errors import ClipError
from pipeline.extractors import Extractor
from pipeline.media import FeatureSequence, Media
from pipeline.recipes import PlannedFeature
from pipeline.running import orders
from pipeline.running.inputs import input_digest, needs_media, source_record
from pipeline.running.neighbours import context_of
from pipeline.running.processes import is_worker, work_like_parent, worker_device
from pipeline.speaking.track_media import read_files, read_track
from pipeline.storage.packing import Cell, Failure, FeatureData, SourceRecord, write_store
from pipeline.storage.shards import open_store


@dataclass(frozen=True)
class Chunk:
    """Clips that lack the same features, for one worker.

    Args:
        number: place in the run.
        clips: what to work on.
        features: what to compute, upstream first.
        stored: features that are read from the store at ``store`` because others need them.
        corpus: copied into the shard.
        shard: file to write.
        store: the packed store so far; None without one.
        token: of the run; a worker whose run is gone writes nothing.
        device: where networks run; ``"cuda"`` spreads worker processes over this machine's GPUs.
        request: how the run was asked for; kept in the shard.
        threads: of each worker; fixed, because the last bits depend on it.
        on_damage, limits: see :func:`pipeline.decode.read_media`.
        folder: working directory of the run, which relative paths start from.
        environment: the run's variables that begin with ``PIPELINE_``.
    """

    number: int
    clips: tuple[Clip, ...]
    features: tuple[PlannedFeature, ...]
    stored: tuple[str, ...]
    corpus: Corpus
    shard: Path
    store: Path | None
    token: str
    device: str
    request: Mapping[str, Any] | None = None
    threads: int = 1
    on_damage: Damage = "skip"
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    folder: Path = field(default_factory=Path.cwd)
    environment: Mapping[str, str] = field(default_factory=lambda: {
        name: value for name, value in os.environ.items() if name.startswith("PIPELINE_")})

    @property
    def mark(self) -> Path:
        """Stands while the chunk is in work and says which of its clips is."""
        return self.shard.with_suffix(".working")


@dataclass(frozen=True)
class ChunkReport:
    """What came of a chunk.

    Args:
        number: of the chunk.
        num_clips: clips worked on; fewer than the chunk's where the run was asked to stop.
        failures: clip id, feature and why.
        seconds: time by stage: ``"decode"`` is what the networks waited for it.
        num_bytes: size of the shard.
    """

    number: int
    num_clips: int
    failures: tuple[tuple[str, str, Failure], ...]
    seconds: Mapping[str, float]
    num_bytes: int = 0


WHOLE_CHUNK = -1  # what a mark says while all clips of a chunk are worked on together
_EXTRACTORS: dict[tuple[str, str, str], Extractor] = {}  # the one cache of a worker: its loaded networks


def run_chunk(chunk: Chunk) -> ChunkReport:
    """Compute a chunk's features and write its shard; asked to stop, write what is done so far.

    A clip's own trouble is recorded and its other features go on; anything else is a bug and is raised.
    """
    started = time.perf_counter()
    if is_worker():
        work_like_parent(chunk.folder, chunk.environment)
    with torch_threads(chunk.threads):
        work = _ChunkWork(chunk)
        work.run()
    if not work.num_done or not orders.is_current(chunk.shard.parent, chunk.token):
        return ChunkReport(chunk.number, 0, (), dict(work.seconds))
    began_write = time.perf_counter()
    write_shard(chunk, work.cells, work.sources, work.num_done)
    work.seconds["write"] += time.perf_counter() - began_write
    work.seconds["total"] += time.perf_counter() - started
    failures = tuple((clip_id, name, cell.failure) for name, cells in work.cells.items()
                     for clip_id, cell in cells.items() if cell.failure is not None)
    return ChunkReport(chunk.number, work.num_done, failures, dict(work.seconds), chunk.shard.stat().st_size)


def write_shard(chunk: Chunk, cells: Mapping[str, Mapping[str, Cell]], sources: Mapping[str, SourceRecord],
                num_done: int) -> None:
    """Write a chunk's shard.

    Args:
        chunk: what was worked on.
        cells: what came of it, by feature and clip id.
        sources: what the clips' files were.
        num_done: how many of the chunk's clips, from the first.

    Raises:
        StoreError: it cannot be written.
    """
    features = {feature.name: _feature_data(feature, feature.build(torch.device("cpu")), cells[feature.name])
                for feature in chunk.features}
    write_store(chunk.shard, corpus=chunk.corpus, clips=chunk.clips[:num_done], features=features, sources=sources,
                requests=[] if chunk.request is None else [chunk.request])
    chunk.mark.unlink(missing_ok=True)


class _ChunkWork:
    """The state of one chunk in work.

    Attributes:
        num_done: clips finished, from the chunk's first.
    """

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.num_done = 0
        self.seconds: dict[str, float] = defaultdict(float)
        self.sources: dict[str, SourceRecord] = {}
        self.cells: dict[str, dict[str, Cell]] = {feature.name: {} for feature in chunk.features}
        device = worker_device(chunk.device)
        self.extractors = {feature.name: _extractor(feature, device) for feature in chunk.features}
        self._store = open_store(chunk.store) if chunk.store is not None and chunk.stored else None
        self._media_features = [feature for feature in chunk.features if needs_media(feature)]
        self._text_features = [feature for feature in chunk.features if not needs_media(feature)]

    def run(self) -> None:
        """Work on all clips: texts together, media clip by clip with the next one being decoded."""
        clips = self.chunk.clips
        if not self._goes_on():
            return
        self._mark(WHOLE_CHUNK)
        for feature in self._text_features:
            self._extract(feature, clips, [self._words(feature, clip) for clip in clips])
        if not self._media_features:
            self.num_done = len(clips)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
            ahead: Future[_Decoded] | None = pool.submit(self._decode, clips[0])
            for place, clip in enumerate(clips):
                if place and not self._goes_on():
                    break
                self._mark(place)
                assert ahead is not None
                began = time.perf_counter()
                decoded = ahead.result()
                self.seconds["decode"] += time.perf_counter() - began
                ahead = pool.submit(self._decode, clips[place + 1]) if place + 1 < len(clips) else None
                self._media_clip(clip, decoded)
                self.num_done = place + 1

    @staticmethod
    def _words(feature: PlannedFeature, clip: Clip) -> Media:
        """What is known of a clip without opening its file."""
        before, after = context_of(clip, feature)
        return Media(clip.clip_id, text=clip.text, speaker=clip.speaker, frame_labels=clip.frame_labels, before=before,
                     after=after)

    def _goes_on(self) -> bool:
        """Is the run still there, and was it not asked to stop?"""
        folder = self.chunk.shard.parent
        return orders.is_current(folder, self.chunk.token) and not orders.stop_asked(folder)

    def _mark(self, place: int) -> None:
        """Leave word which clip is in work, for the case that the process dies of it."""
        self.chunk.mark.write_text(str(place), encoding="ascii")

    def _decode(self, clip: Clip) -> _Decoded:
        """Decode what all media features of the chunk need; its time does not count unless it is waited for."""
        if clip.source is None:
            return _Decoded(None, SourceRecord(), None)
        record, needs = SourceRecord(), [feature.needs for feature in self._media_features]
        waveform = any(need.waveform for need in needs)
        try:
            if clip.track is not None:
                files = read_files(clip.track, limits=self.chunk.limits)
                record = files.record
                pictures = dict.fromkeys(request for need in needs for request in need.pictures)
                media = read_track(clip, files, tuple(pictures), waveform=waveform, on_damage=self.chunk.on_damage,
                                   limits=self.chunk.limits)
                return _Decoded(media, record, None)
            record = source_record(clip.source)
            requests = dict.fromkeys(request for need in needs for request in need.frames)
            media = read_media(clip, tuple(requests), waveform=waveform, on_damage=self.chunk.on_damage,
                               limits=self.chunk.limits)
            return _Decoded(media, record, None)
        except ClipError as error:
            return _Decoded(None, record, error)

    def _media_clip(self, clip: Clip, decoded: _Decoded) -> None:
        self.sources[clip.clip_id] = decoded.record
        upstream = self._stored(clip)
        for feature in self._media_features:
            given = input_digest(feature, clip, decoded.record.digest)
            if decoded.error is not None:
                self.cells[feature.name][clip.clip_id] = Cell.failed(_failure(decoded.error), input=given)
            elif decoded.media is None:
                shape, dtype = self.extractors[feature.name].row_shape, self.extractors[feature.name].dtype
                self.cells[feature.name][clip.clip_id] = Cell.of(FeatureSequence.empty(shape, dtype), input=given)
            elif missing := [name for name in feature.needs.features if name not in upstream]:
                failure = Failure(feature.name, "permanent", f"{', '.join(missing)} failed, which this is made from")
                self.cells[feature.name][clip.clip_id] = Cell.failed(failure, input=given)
            else:
                before, after = context_of(clip, feature)
                media = replace(decoded.media, features={name: upstream[name] for name in feature.needs.features},
                                before=before, after=after)
                for sequence in self._extract(feature, [clip], [media], decoded.record):
                    upstream[feature.name] = sequence

    def _second_look(self, feature: PlannedFeature, clip: Clip, media: Media) -> Media:
        """The media, with the frames that the extractor wants now that it knows the features it is made from."""
        wanted = self.extractors[feature.name].second_look(media)
        if not wanted:
            return media
        again = read_media(clip, wanted, waveform=False, on_damage=self.chunk.on_damage, limits=self.chunk.limits)
        return replace(media, frames={**media.frames, **again.frames})

    def _stored(self, clip: Clip) -> dict[str, FeatureSequence]:
        """The clip's features that the store has and others are made from; a failed one is left out."""
        if self._store is None:
            return {}
        place = self._store.place(clip.clip_id)
        return {name: self._store.cell(place, name) for name in self.chunk.stored
                if self._store.status(name)[place] in ("done", "empty")}

    def _extract(self, feature: PlannedFeature, clips: Sequence[Clip], media: list[Media],
                 record: SourceRecord = SourceRecord()) -> list[FeatureSequence]:
        """Run one extractor and keep its rows, or the clip's failure; the rows of those that went well."""
        began = time.perf_counter()
        try:
            if feature in self._media_features:
                media = [self._second_look(feature, clip, one) for clip, one in zip(clips, media, strict=True)]
            sequences = self._rows(feature, media)
        except ClipError as error:
            if len(clips) > 1:
                return [rows for clip, one in zip(clips, media, strict=True)
                        for rows in self._extract(feature, [clip], [one], record)]
            given = input_digest(feature, clips[0], record.digest)
            self.cells[feature.name][clips[0].clip_id] = Cell.failed(_failure(error), input=given)
            return []
        finally:
            self.seconds[feature.name] += time.perf_counter() - began
        for clip, sequence in zip(clips, sequences, strict=True):
            self.cells[feature.name][clip.clip_id] = Cell.of(
                sequence, input=input_digest(feature, clip, record.digest))
        return sequences

    def _rows(self, feature: PlannedFeature, media: list[Media]) -> list[FeatureSequence]:
        """The extractor's result; where GPU memory runs out it works on half as much at a time from then on."""
        extractor = self.extractors[feature.name]
        while True:
            try:
                return extractor.extract(media)
            except torch.OutOfMemoryError as error:
                size = getattr(extractor.config, "batch_size", 1)
                if size == 1:
                    raise ClipError("GPU memory does not suffice even for one batch of one; use --device cpu, or free"
                                    f" memory and --retry-failed ({str(error).splitlines()[0]})", stage=feature.name,
                                    kind="passing") from error
                extractor.config = replace(extractor.config, batch_size=size // 2)
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class _Decoded:
    media: Media | None
    record: SourceRecord
    error: ClipError | None


def _failure(error: ClipError) -> Failure:
    return Failure(error.stage, error.kind, str(error))


def _feature_data(feature: PlannedFeature, extractor: Extractor, cells: Mapping[str, Cell]) -> FeatureData:
    return FeatureData(extractor.modality, extractor.row_shape, feature.recipe, cells=cells, dtype=extractor.dtype,
                       columns=extractor.columns, is_input=extractor.trainable_input)


def _extractor(feature: PlannedFeature, device: torch.device) -> Extractor:
    key = (feature.fingerprint, repr(feature.config), str(device))
    if key not in _EXTRACTORS:
        _EXTRACTORS[key] = feature.build(device)
    return _EXTRACTORS[key]
