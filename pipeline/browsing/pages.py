"""What the browser of a store answers to each address."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pipeline.browsing.clip_details import (around, describe_lines, failures, features_of, labels_of, lanes,
                                            tracks_of)
from pipeline.browsing.clip_filters import LABEL, ORDERS, Filters, choices, matching, read_filters
from pipeline.browsing.clip_map import COLOURS, draw_map
from pipeline.browsing.face_strips import SIDE, FaceStrips
from pipeline.browsing.opened_store import OpenedStore, stamp
from pipeline.browsing.projections import METHODS, MOST_TSNE, nearest
from pipeline.browsing.row_pictures import draw_rows, usual
from pipeline.browsing.word_pieces import pieces_of
from pipeline.clip import Task
from pipeline.curation.inspection import summarise
from pipeline.errors import PipelineError, UsageError
from pipeline.pages.prose import describe_feature
from pipeline.pages.tables import coverage
from pipeline.report import templates

if TYPE_CHECKING:
    import jinja2

PAGE_CLIPS, PAGE_FAILURES = 50, 100
MOST_GROUPS = 30                # of failures on the first page
HTML = "text/html; charset=utf-8"


class NotFound(UsageError):
    """There is no such page, or no such clip."""


@dataclass(frozen=True)
class Answer:
    """What is sent back: HTTP status, media type and content."""

    status: int
    kind: str
    body: bytes


class Pages:
    """The pages of one store; opened again when the file is replaced.

    Args:
        path: the store.
        thumbnails: show faces although the corpus forbids passing them on.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """

    def __init__(self, path: Path, *, thumbnails: bool = False) -> None:
        self.path, self.thumbnails = path, thumbnails
        self._lock = threading.Lock()
        self._opened = OpenedStore(path, thumbnails=thumbnails)
        self._strips = FaceStrips(self._opened)
        self._routes: dict[str, Callable[[OpenedStore, Mapping[str, str]], Answer]] = {
            "": self._overview, "clips": self._clips, "clip": self._clip, "map": self._map,
            "failures": self._failures, "rows.png": self._rows, "faces.svg": self._faces}

    def answer(self, name: str, query: Mapping[str, str]) -> Answer:
        """The page of a name; every mistake is a page that says what is wrong.

        Args:
            name: what follows the server's word in the address, for instance ``"clips"``.
            query: the address's fields.
        """
        if name in ("page.css", "browse.css"):
            return Answer(200, "text/css; charset=utf-8", _style(name))
        try:
            if name not in self._routes:
                raise NotFound(f"there is no page {name!r}")
            return self._routes[name](self._current(), query)
        except PipelineError as error:
            status = 404 if isinstance(error, NotFound) else 400 if isinstance(error, UsageError) else 500
            return self._page("browse_error.html.jinja", status=status, message=str(error), title="That did not work",
                              here="error")

    def _current(self) -> OpenedStore:
        """The store as it is now."""
        with self._lock:
            if stamp(self.path) != self._opened.stamp:
                self._opened = OpenedStore(self.path, thumbnails=self.thumbnails)
                self._strips = FaceStrips(self._opened)
            return self._opened

    @cached_property
    def _templates(self) -> jinja2.Environment:
        environment = templates()
        environment.globals.update(address=address)
        return environment

    def _page(self, template: str, *, status: int = 200, kind: str = HTML, **values: Any) -> Answer:
        corpus = self._opened.store.corpus
        text = self._templates.get_template(template).render(
            file=self.path.name, corpus=corpus, prefix=LABEL, **values)
        return Answer(status, kind, text.encode("utf-8", "replace"))  # names of files may hold what is no text

    def _overview(self, opened: OpenedStore, query: Mapping[str, str]) -> Answer:
        store = opened.store
        summary = opened.once("summary", lambda: summarise(store))
        kinds = Counter((row["feature"], row["stage"], row["kind"]) for row in summary["failures"])
        examples: dict[tuple[str, str, str], str] = {}
        for row in summary["failures"]:
            examples.setdefault((row["feature"], row["stage"], row["kind"]), row["message"])
        covered = opened.once("coverage", lambda: coverage([store]))
        return self._page(
            "browse_overview.html.jinja", here="", title=f"{self.path.name}: {store.corpus.name}", summary=summary,
            kinds=[(*key, count, examples[key]) for key, count in kinds.most_common(MOST_GROUPS)],
            more_kinds=max(0, len(kinds) - MOST_GROUPS), num_failures=len(summary["failures"]), covered=covered,
            recipes=opened.once("recipes", lambda: [_recipe(store, name) for name in store.features]),
            labels=[_labels(task, summary["tasks"][task.name]) for task in store.corpus.tasks],
            restricted=not opened.shows_faces)

    def _clips(self, opened: OpenedStore, query: Mapping[str, str]) -> Answer:
        filters, places, problem = _asked(opened, query)
        page, num_pages = _page_of(query, len(places), PAGE_CLIPS)
        start = (page - 1) * PAGE_CLIPS
        return self._page(
            "browse_clips.html.jinja", here="clips", title=f"Clips of {self.path.name}", filters=filters,
            choices=choices(opened), orders=ORDERS, lines=describe_lines(opened, places[start:start + PAGE_CLIPS]),
            total=len(places), of=opened.store.num_clips, first=start + 1, page=page, num_pages=num_pages,
            features=opened.store.features, tasks=[task.name for task in opened.store.corpus.tasks], problem=problem,
            status=400 if problem else 200)

    def _clip(self, opened: OpenedStore, query: Mapping[str, str]) -> Answer:
        place, near = _place(opened, query), query.get("near", "")
        if near and near not in opened.inputs:
            raise NotFound(f"{self.path} has no feature {near!r} to compare clips by")
        clips = opened.clips
        neighbours = [(lines, cosine) for (other, cosine) in (nearest(opened, near, place) if near else ())
                      for lines in describe_lines(opened, [other])]
        return self._page(
            "browse_clip.html.jinja", here="clip", title=clips[place].clip_id, clip=clips[place], place=place,
            seconds=describe_lines(opened, [place])[0].seconds, labels=labels_of(opened, place),
            before=clips[place - 1].clip_id if place else None,
            after=clips[place + 1].clip_id if place + 1 < len(clips) else None,
            around=describe_lines(opened, around(opened, place)), lanes=lanes(opened, place),
            features=features_of(opened, place), tracks=tracks_of(opened, place), pieces=pieces_of(opened, place),
            near=near, inputs=opened.inputs, neighbours=neighbours, shows_faces=opened.shows_faces,
            gone=clips[place].source is not None and not _is_file(clips[place].source))

    def _map(self, opened: OpenedStore, query: Mapping[str, str]) -> Answer:
        filters, places, problem = _asked(opened, query)
        inputs, drawn = opened.inputs, None
        feature = query.get("feature") or next(iter(inputs), "")
        method, colour = query.get("method") or "pca", query.get("colour") or COLOURS[0]
        if method not in METHODS:
            raise UsageError(f"no method {method!r}; expected one of {', '.join(METHODS)}")
        if feature and feature not in inputs:
            raise NotFound(f"{self.path} has no feature {feature!r} to project")
        if feature and opened.store.num_clips:
            drawn = draw_map(opened, feature, "tsne" if method == "tsne" else "pca", colour, places)
        return self._page(
            "browse_map.html.jinja", here="map", title=f"Map of {self.path.name}", filters=filters, method=method,
            choices=choices(opened), inputs=inputs, features=opened.store.features, feature=feature, methods=METHODS,
            colour=colour, drawn=drawn,
            colours=[*COLOURS, *(LABEL + task.name for task in opened.store.corpus.tasks if task.level == "clip")],
            most_tsne=MOST_TSNE, total=len(places), problem=problem, status=400 if problem else 200)

    def _failures(self, opened: OpenedStore, query: Mapping[str, str]) -> Answer:
        words = query.get("words", "").strip()
        found = [row for row in failures(opened) if words.casefold() in "\n".join(row).casefold()]
        page, num_pages = _page_of(query, len(found), PAGE_FAILURES)
        start = (page - 1) * PAGE_FAILURES
        return self._page("browse_failures.html.jinja", here="failures", title=f"Failures of {self.path.name}",
                          words=words, rows=found[start:start + PAGE_FAILURES], total=len(found), first=start + 1,
                          page=page, num_pages=num_pages)

    def _rows(self, opened: OpenedStore, query: Mapping[str, str]) -> Answer:
        place, feature = _place(opened, query), query.get("feature", "")
        if feature not in opened.store.features:
            raise NotFound(f"{self.path} has no feature {feature!r}")
        if why := opened.why_hidden(feature):
            raise NotFound(why)
        rows = opened.store.cell(place, feature)
        if not len(rows.values):
            raise NotFound(f"{feature} has no rows of {opened.clips[place].clip_id}")
        return Answer(200, "image/png", draw_rows(rows, opened.store.head(feature), usual(opened, feature)))

    def _faces(self, opened: OpenedStore, query: Mapping[str, str]) -> Answer:
        strip = self._strips.strip(_place(opened, query))
        return self._page("face_strip.svg.jinja", kind="image/svg+xml", strip=strip, side=SIDE)


def address(page: str, fields: Mapping[str, object] | None = None, /, **more: object) -> str:
    """A page's address with fields, of which ``more`` count before ``fields``; those that are "" or None are left out.

    >>> address("clips", {"split": "train", "page": 2}, page="")
    'clips?split=train'
    """
    kept = {name: str(value) for name, value in {**(fields or {}), **more}.items() if value not in ("", None)}
    return f"{page or './'}?{urlencode(kept, errors='surrogatepass')}" if kept else page or "./"


def _asked(opened: OpenedStore, query: Mapping[str, str]) -> tuple[Filters, Any, str]:
    """Filters, places of clips, and what is wrong with the query; a page shows all three."""
    filters = read_filters(opened, query)
    try:
        return filters, matching(opened, filters).tolist(), ""
    except UsageError as error:
        return filters, [], str(error)


def _page_of(query: Mapping[str, str], total: int, size: int) -> tuple[int, int]:
    """Which page is asked for, within those that there are, and how many there are."""
    num_pages = max(1, -(-total // size))
    text = query.get("page", "1")
    return min(max(1, int(text)), num_pages) if text.isascii() and text.isdecimal() and len(text) < 9 else 1, num_pages


def _place(opened: OpenedStore, query: Mapping[str, str]) -> int:
    place = opened.store.find(query.get("id", ""))
    if place is None:
        raise NotFound(f"{opened.store.path} has no clip {query.get('id', '')!r}")
    return place


def _is_file(path: Path | None) -> bool:
    try:
        return path is not None and (path.is_file() or path.is_dir())
    except (OSError, ValueError):  # a name that no file can have
        return False


def _recipe(store: Any, name: str) -> tuple[str, str, str]:
    """A feature's name, its recipe in words and as JSON; "" in words where a recipe from elsewhere has odd parts."""
    try:
        text = describe_feature(name, store.head(name)).text
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        text = ""
    return name, text, json.dumps(store.recipe(name), indent=2, ensure_ascii=False)


def _labels(task: Task, counts: Mapping[str, Any]) -> tuple[str, list[tuple[str, int, dict[str, str] | None]], str]:
    """A task's name, its classes with their counts and the fields that ask for them, and what else is to be told."""
    of = "frames" if task.level == "frame" else "clips"
    if task.classes:
        rows = [(name, counts[name], {LABEL + task.name: str(number)} if task.level == "clip" else None)
                for number, name in enumerate(task.classes)]
        return task.name, rows, f"{of}; {counts['unlabelled']:,} unlabelled"
    if counts["mean"] is None:
        return task.name, [], f"none of the {of} is labelled"
    return task.name, [], (f"mean {counts['mean']:.3g}, standard deviation {counts['sd']:.3g} over {of};"
                           f" {counts['unlabelled']:,} unlabelled")


def _style(name: str) -> bytes:
    return (resources.files("pipeline.pages") / "templates" / name).read_bytes()
