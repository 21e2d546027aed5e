"""The panel below a marked-up video: what is likest now, what is said, and every probability over time."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.clip import Task
from pipeline.predicting.findings import Prediction

PAGE_SECONDS = 30.0         # of a recording of more than 45 s that the strip shows at a time
ROW, SMALL, LARGE, GAP = 15, 11, 14, 6      # heights in pixels: of a class, of its name, of the headline; space
NAMES, VALUES = 104, 46     # widths in pixels: of the classes' names, of the numbers behind the strip
MOST_CLASSES = 12           # of a task that are shown, the likest ones on average
CURVE = 3 * ROW             # height of the curve of a value
GROUND, INK, FAINT, ALARM, MARK = (18, 20, 23), (236, 234, 228), (150, 150, 146), (255, 148, 112), (240, 228, 66)
# From nothing to certainty; evenly lighter, so that it reads in grey and with any kind of colour vision.
_SHADES = np.array([(30, 34, 40), (34, 84, 130), (72, 150, 205), (150, 205, 238), (238, 248, 255)], float)
CAVEAT = "How much this resembles labelled clips; not what a person feels."


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib carries and which knows most alphabets."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def shades(shares: np.ndarray) -> np.ndarray:
    """Colours of probabilities (...): uint8 (..., 3)."""
    places = np.clip(shares, 0, 1) * (len(_SHADES) - 1)
    grid = np.arange(len(_SHADES))
    return np.stack([np.interp(places, grid, _SHADES[:, band]) for band in range(3)], -1).astype(np.uint8)


def nearest(found: Prediction, times: np.ndarray) -> np.ndarray:
    """The window, or without windows the utterance, whose middle is nearest to each time (T,): places, int64 (T,)."""
    places = np.array(found.of_kind("window") or found.of_kind("utterance"))
    middles = np.array([(found.stretches[place].start_seconds + found.stretches[place].stop_seconds) / 2
                        for place in places])
    return np.asarray(places[np.abs(times[:, None] - middles).argmin(1)])


def shown_classes(found: Prediction, task: Task) -> list[int]:
    """Places of the classes that are shown, in the task's order."""
    if len(task.classes) <= MOST_CLASSES:
        return list(range(len(task.classes)))
    return sorted(np.argsort(-found.answers[task.name].mean(0), kind="stable")[:MOST_CLASSES].tolist())


class Panel:
    """Draws the panel of one recording; what stays while a page is shown is drawn once.

    Args:
        found: of the recording.
        width: in pixels.
    """

    def __init__(self, found: Prediction, width: int) -> None:
        self.found, self.width = found, width
        self._drawn: tuple[float, Image.Image] | None = None

    @property
    def head(self) -> int:
        """Height above the strips."""
        return 3 * GAP + LARGE + SMALL + 4 + (SMALL + GAP if self.found.stamps else 0)

    @property
    def height(self) -> int:
        """In pixels, even."""
        strips = sum(ROW + GAP + self._rows(task) for task in self.found.tasks)
        whole = self.head + ROW + strips + SMALL + 2 * GAP
        return whole + whole % 2

    def _rows(self, task: Task) -> int:
        return ROW * len(shown_classes(self.found, task)) if task.classes else CURVE

    def page(self, seconds: float) -> tuple[float, float]:
        """Start and stop of what the strip shows at a moment."""
        whole = self.found.recording.duration_seconds
        if whole <= 1.5 * PAGE_SECONDS:
            return 0.0, max(whole, 0.1)
        start = seconds // PAGE_SECONDS * PAGE_SECONDS
        return start, start + PAGE_SECONDS

    def draw(self, seconds: float) -> np.ndarray:
        """The panel at a moment, uint8 RGB (height, width, 3)."""
        start, stop = self.page(seconds)
        image = self._page(start, stop).copy()
        canvas = ImageDraw.Draw(image)
        self._draw_head(canvas, seconds)
        now = int(nearest(self.found, np.array([seconds]))[0])
        top = self.head + ROW
        for task in self.found.tasks:
            top += ROW
            values = self.found.answers[task.name][now]
            likest = int(values.argmax())
            for number, place in enumerate(shown_classes(self.found, task)):
                line, ink = top + number * ROW, INK if place == likest else FAINT
                canvas.text((GAP, line + 1), clipped(task.classes[place], NAMES - 2 * GAP, SMALL), ink, font(SMALL))
                canvas.text((self.width - GAP, line + 1), f"{100 * values[place]:.0f} %", ink, font(SMALL), anchor="ra")
            if not task.classes:
                canvas.text((self.width - GAP, top + CURVE / 2), f"{values[0]:.2f}", INK, font(SMALL), anchor="rm")
            top += self._rows(task) + GAP
        x = NAMES + (seconds - start) / (stop - start) * (self.width - NAMES - VALUES)
        canvas.line((x, self.head, x, top - GAP), fill=MARK, width=2)
        return np.asarray(image)

    def _draw_head(self, canvas: ImageDraw.ImageDraw, seconds: float) -> None:
        said = self.found.utterance_at(seconds)
        clock = f"{int(seconds) // 60}:{seconds % 60:04.1f}"
        canvas.text((self.width - GAP, GAP), clock, FAINT, font(LARGE), anchor="ra")
        if said is not None:
            part = self.found.stretches[said]
            words = f"{part.speaker}: {part.text}" if part.speaker and part.text else part.speaker or part.text
            room = self.width - 3 * GAP - font(LARGE).getlength(clock)
            headline = f"resembles {self.found.headline(said)}"
            canvas.text((GAP, GAP), clipped(headline, room, LARGE), INK, font(LARGE))
            whole = self.width - 2 * GAP
            canvas.text((GAP, 2 * GAP + LARGE), clipped(words or "(no words given)", whole, SMALL), FAINT, font(SMALL))
        if self.found.stamps:
            stamps = clipped("; ".join(self.found.stamps), self.width - 2 * GAP, SMALL)
            canvas.text((GAP, 3 * GAP + LARGE + SMALL), stamps, ALARM, font(SMALL))

    def _page(self, start: float, stop: float) -> Image.Image:
        if self._drawn is None or self._drawn[0] != start:
            self._drawn = start, self._strips(start, stop)
        return self._drawn[1]

    def _strips(self, start: float, stop: float) -> Image.Image:
        """All that stays while a page is shown."""
        image = Image.new("RGB", (self.width, self.height), GROUND)
        canvas = ImageDraw.Draw(image)
        length = self.width - NAMES - VALUES
        times = start + (np.arange(length) + 0.5) / length * (stop - start)
        places, inside = nearest(self.found, times), times < self.found.recording.duration_seconds
        for number, place in enumerate(self.found.of_kind("utterance")):
            part = self.found.stretches[place]
            left, right = ((np.clip(at, start, stop) - start) / (stop - start) * length + NAMES
                           for at in (part.start_seconds, part.stop_seconds))
            if right > left:
                canvas.rectangle((left + 1, self.head + 4, right - 1, self.head + ROW - 4),
                                 fill=(110, 110, 106) if number % 2 else (150, 150, 146))
        canvas.text((GAP, self.head), "utterances", FAINT, font(SMALL))
        top = self.head + ROW
        for task in self.found.tasks:
            canvas.text((NAMES, top + 1), clipped(task.name, length, SMALL), FAINT, font(SMALL))
            top += ROW
            values = self.found.answers[task.name][places]                                    # (length, C)
            if task.classes:
                colours = shades(values[:, shown_classes(self.found, task)])                  # (length, classes, 3)
                colours[~inside] = GROUND
                image.paste(Image.fromarray(np.repeat(colours.swapaxes(0, 1), ROW, 0)), (NAMES, top))
                for line in range(top, top + self._rows(task), ROW):
                    canvas.line((NAMES, line, NAMES + length, line), fill=GROUND)
            else:
                _draw_curve(canvas, task, values[:, 0][inside], top)
            top += self._rows(task) + GAP
        canvas.text((GAP, self.height - SMALL - GAP), clipped(CAVEAT, self.width - 2 * GAP, SMALL), FAINT, font(SMALL))
        return image


def _draw_curve(canvas: ImageDraw.ImageDraw, task: Task, values: np.ndarray, top: int) -> None:
    low, high = task.value_range or (0.0, 1.0)
    shares = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    points = [(NAMES + place, top + (1 - share) * (CURVE - 4) + 2) for place, share in enumerate(shares.tolist())]
    canvas.text((GAP, top), f"{high:g}", FAINT, font(SMALL))
    canvas.text((GAP, top + CURVE - SMALL - 4), f"{low:g}", FAINT, font(SMALL))
    if len(points) > 1:
        canvas.line(points, fill=(120, 190, 230), width=2)


def clipped(words: str, room: float, size: int) -> str:
    """Words as far as there is room for them, in pixels."""
    drawn = font(size)
    if drawn.getlength(words[:2000]) <= room:
        return words
    low, high = 0, min(len(words), 2000)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if drawn.getlength(words[:middle].rstrip() + "…") <= room else (low, middle - 1)
    return words[:low].rstrip() + "…"
