"""Stores to look at: one with everything, one that means harm; and what a browser would ask of a server."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from pipeline.browsing.pages import Answer, Pages
from pipeline.browsing.server import BrowserServer
from pipeline.clip import Clip, Corpus, Task
from pipeline.faces import COLUMNS, SPEAKING_COLUMNS
from pipeline.faces.alignment import FIVE_POINTS
from pipeline.media import FeatureSequence
from pipeline.storage.packing import Cell, Failure, FeatureData, write_store
from tests.html_pages import Page

EMOTIONS = ("calm", "glad", "angry")
TASKS = (Task("emotion", EMOTIONS), Task("arousal", value_range=(0.0, 1.0)),
         Task("speaking", ("no", "yes"), level="frame", positive="yes"))
WORDS = ("Oh no!", "Well, yes.", "You know what?")
EVIL = "</title></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;{{7*7}}\u202eهذا"
HASHED = {"extractor": "text_bert", "settings": {"tokenizer": "hashed words", "rows": "tokens"}}


def spaced(values: np.ndarray, step: float) -> FeatureSequence:
    """Rows one after the other, each ``step`` seconds long."""
    starts = np.arange(len(values)) * step
    return FeatureSequence(values, np.stack([starts, starts + step], 1).astype(np.float32))


def untimed(values: np.ndarray) -> FeatureSequence:
    """Rows without times."""
    return FeatureSequence(values, np.full((len(values), 2), np.nan, np.float32), "none")


def face_rows(*, tracks: int = 1, moments: int = 5) -> FeatureSequence:
    """Faces of 80 pixels that stand still, track beside track, on the grid of 15 frames a second."""
    rows = [[track, 20 + 5 * track, 10, 90, 90, .99, *(FIVE_POINTS * 80 + (15, 8)).ravel()]
            for _ in range(moments) for track in range(tracks)]
    starts = np.repeat(np.arange(moments), tracks) / 15
    return FeatureSequence(np.array(rows, np.float32).reshape(-1, len(COLUMNS)),
                           np.stack([starts, starts + 1 / 15], 1).astype(np.float32))


def make_clips(count: int = 12, source: Path | None = None) -> list[Clip]:
    """Clips of three splits, three to a dialogue; every fifth has no emotion."""
    clips = []
    for number in range(count):
        split = ("train", "train", "dev", "test")[number * 4 // max(count, 1)]
        labels: dict[str, str | float] = {"arousal": number / 20}
        if number % 5 != 4:
            labels["emotion"] = EMOTIONS[number % 3]
        stop = 0.5 + number / 20 if number % 2 else None
        clips.append(Clip(f"{split}/c{number}", source, 0.0, stop, f"{WORDS[number % 3]} {number}",
                          f"speaker{number % 3}", f"d{number // 3}", number % 3, split, f"g{number // 3}", labels))
    return clips


def make_store(path: Path, *, count: int = 12, source: Path | None = None, redistribute: Any = "yes",
               tracks: int = 1) -> Path:
    """A store with every kind of feature; the first clip could not be decoded, the second shows nobody."""
    clips, random = make_clips(count, source), np.random.default_rng(0)
    failed = {clips[0].clip_id: Cell.failed(Failure("decode", "permanent", "half the file is gone"))}
    there = clips[1:]

    def noise(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    features = {
        "text_bert": FeatureData("text", (6,), HASHED, {clip.clip_id: untimed(
            noise(4 + clip.text.count(",") + clip.text.count("know"), 6)) for clip in clips}),
        "text_words": FeatureData("text", (2,), {"extractor": "text_words"}, {clip.clip_id: spaced(
            noise(len(clip.text.split()), 2), 0.2) for clip in clips}, columns=("letters", "certainty"),
            is_input=False),
        "audio_logmel": FeatureData("audio", (8,), {"extractor": "audio_logmel"}, {
            clip.clip_id: spaced(noise(50, 8), 0.02) for clip in there}, failed),
        "faces": FeatureData("face", (len(COLUMNS),), {"extractor": "faces", "fingerprint": "faces-once"}, {
            clip.clip_id: face_rows(tracks=tracks) if place else FeatureSequence.empty((len(COLUMNS),))
            for place, clip in enumerate(there)}, failed, columns=COLUMNS, is_input=False),
        "speaking": FeatureData("face", (6,), {"extractor": "speaking", "upstream": {"faces": "faces-once"}}, {
            clip.clip_id: speaking_rows(tracks) for clip in there[1:]}, columns=SPEAKING_COLUMNS, is_input=False),
        "asd_faces": FeatureData("face", (12, 12), {"extractor": "asd_faces"}, {clip.clip_id: spaced(
            random.integers(0, 255, (20, 12, 12)).astype(np.uint8), 0.04) for clip in there}, dtype="uint8"),
        "face_identity": FeatureData("face", (5,), {"extractor": "face_identity"}, {
            clip.clip_id: spaced(noise(1, 5), 1.0) for clip in there}),
        "frame_labels": FeatureData("video", (1,), {"extractor": "frame_labels"}, {clip.clip_id: spaced(
            np.array([[0], [0], [1], [-1]], np.float32), 0.25) for clip in clips}, columns=("speaking",),
            is_input=False)}
    corpus = Corpus("made-up", TASKS, "CC BY 4.0", "https://example.org/terms", redistribute, "Doe (2024).")
    return write_store(path, corpus=corpus, clips=clips, features=features)


def speaking_rows(tracks: int) -> FeatureSequence:
    """Scores of :func:`face_rows`: the first track speaks."""
    faces = face_rows(tracks=tracks)
    scores = np.where(faces.values[:, :1] == 0, 0.9, 0.1).astype(np.float32)
    return FeatureSequence(np.concatenate([faces.values[:, :5], scores], 1), faces.times)


def make_evil(path: Path, source: Path | None = None) -> Path:
    """A store in which every text that can be chosen is an attack."""
    task = Task(EVIL, (f"a{EVIL}", f"b{EVIL}"))
    printable = EVIL.replace("\u202e", "")
    clips = [Clip(f"../../{printable}{number}", source, text=EVIL, speaker=EVIL, dialogue=EVIL, turn=number, split=EVIL,
                  group=EVIL, labels={EVIL: task.classes[number % 2]}) for number in range(8)]
    name = printable.replace("/", "")
    recipe = {"extractor": EVIL, "version": EVIL, "settings": {EVIL: EVIL}, "weights": EVIL, "upstream": [EVIL],
              "frames": 7, "made_with": {EVIL: EVIL}}
    rows = {clip.clip_id: spaced(np.full((3, 4), place, np.float32), 0.5) for place, clip in enumerate(clips)}
    failed = {clips[0].clip_id: Cell.failed(Failure(EVIL, EVIL, EVIL))}
    return write_store(path, clips=clips, corpus=Corpus(EVIL, (task,), EVIL, "javascript:alert(1)", "yes", EVIL),
                       requests=[{"command": [EVIL], "settings": EVIL}], features={
                           name: FeatureData("video", (4,), recipe, rows),
                           "faces": FeatureData("face", (len(COLUMNS),), recipe, {
                               clip.clip_id: face_rows() for clip in clips[1:]}, failed, columns=COLUMNS,
                               is_input=False)})


class FormPage(Page):
    """A page with a form."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Fields of forms have no end tag."""
        if tag == "input":
            self.elements.append((tag, dict(attrs)))
        else:
            super().handle_starttag(tag, attrs)


def read(body: bytes) -> FormPage:
    """A page whose elements must all be closed."""
    page = FormPage()
    page.feed(body.decode())
    page.close()
    assert page.open == []
    return page


def shown(pages: Pages, name: str, *, status: int = 200, **query: str) -> FormPage:
    """A page as a reader gets it."""
    answer = pages.answer(name, query)
    assert answer.status == status, answer.body.decode()[-2000:]
    return read(answer.body)


@contextmanager
def serving(path: Path, **options: Any) -> Iterator[BrowserServer]:
    """The browser of a store as long as the block lasts."""
    with BrowserServer(path, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: BrowserServer, path: str, *, method: str = "GET", word: str | None = None,
        **headers: str) -> tuple[Answer, dict[str, str]]:
    """One request as it stands: nothing of the path is tidied."""
    address = urlsplit(server.address)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
    try:
        connection.putrequest(method, f"/{server.word if word is None else word}/{path}", skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
        return Answer(response.status, response.headers["Content-Type"], body), dict(response.headers)
    finally:
        connection.close()
