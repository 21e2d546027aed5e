"""Features whose rows hold all layers of an encoder, told by how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_layered(description: Mapping[str, Any]) -> bool:
    """Is a row of a feature (layers, units)? So it is where its extractor was asked for several layers.

    Args:
        description: as :meth:`JoinedStores.describe` gives it and a checkpoint keeps it.

    >>> is_layered({"row_shape": [13, 768], "recipe": {"settings": {"layers": "all"}}})
    True
    >>> is_layered({"row_shape": [2048, 16], "recipe": {"settings": {"rows": "maps"}}})
    False
    """
    settings = description["recipe"].get("settings")
    return len(description["row_shape"]) == 2 and isinstance(settings, Mapping) and "layers" in settings
