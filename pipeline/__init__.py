"""Videos of people become features once, in a file that can be trusted; small fusion models train on it in seconds.

::

    Dataset.clips()    decode()      Extractor.extract()     FeatureStore       collate()      model        report
       Clip      ──►    Media   ──►    FeatureSequence   ──►   meld.h5    ──►    Batch    ──►   logits  ──►   runs/NAME/

Shape letters, the same everywhere: B clips in a batch, T steps (rows, frames, tokens), D width of a feature,
H × W picture height and width, S samples of sound, C classes. Times are seconds from the clip's start, half-open.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "Clip": "clip", "Corpus": "clip", "Task": "clip", "FeatureSequence": "media", "Media": "media",
    "FeatureStore": "store", "PipelineError": "errors", "extract": "extraction", "train": "training",
    "evaluate": "evaluation",
}
__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    """Import what a user asks for when they ask: ``import pipeline`` alone loads nothing heavy."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pipeline.{_EXPORTS[name]}"), name)
