"""Where each clip stands in its conversation: for models that look at what was said before and after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from models import Context
from pipeline.learning.units import Units
from pipeline.speaking.active_speaker import scenes_of


def contexts(clips: pd.DataFrame) -> Context:
    """The place of every clip in its conversation, all on the processor.

    Clips of two splits are never in one conversation, even where a corpus gives them one name; a clip without a
    conversation stands alone.

    Args:
        clips: the clip table of a store, N rows.

    Returns:
        Tensors of N, as :class:`models.Context` describes them.
    """
    split, dialogue, group = (clips[name].astype(str) for name in ("split", "dialogue", "group"))
    alone = np.arange(len(clips)).astype(str)
    names = pd.DataFrame({"split": split, "group": np.where(dialogue == "", alone, group),
                          "dialogue": np.where(dialogue == "", "", dialogue)})
    number = names.groupby(["split", "group", "dialogue"], sort=False).ngroup().to_numpy()
    order = np.lexsort((np.arange(len(clips)), clips["start_seconds"], clips["turn"], number))
    first = np.flatnonzero(np.diff(number[order], prepend=-1))
    turn = np.empty(len(clips), np.int64)
    turn[order] = np.arange(len(clips)) - np.repeat(first, np.diff(np.append(first, len(clips))))
    in_order = pd.DataFrame({"number": number, "speaker": clips["speaker"].astype(str)}).iloc[order]
    speaker = np.empty(len(clips), np.int64)
    named = in_order.groupby("number", sort=False)["speaker"]
    speaker[order] = named.transform(lambda names: pd.factorize(names)[0])
    speaker[(clips["speaker"] == "").to_numpy()] = -1
    start = clips["start_seconds"].to_numpy(np.float32)
    return Context(torch.tensor(number), torch.tensor(turn), torch.tensor(speaker), torch.tensor(start))


def scenes(context: Context, units: Units) -> Context:
    """Conversations cut into scenes, as :func:`pipeline.speaking.active_speaker.scenes_of` does, for frame models.

    Args:
        context: of N clips, each a track.
        units: their rows.

    Returns:
        The context with scenes for conversations; a track without rows stands alone.
    """
    assert units.times is not None, "rows with times"
    dialogue, scene, number = context.dialogue.numpy(), np.arange(len(context.dialogue)), len(context.dialogue)
    times = units.times + context.start.numpy()[units.owner, None]
    spans = [slice(start, start + length) for start, length in zip(units.starts.tolist(), units.lengths.tolist())]
    for tracks in np.split(np.argsort(dialogue, kind="stable"), np.flatnonzero(np.diff(np.sort(dialogue))) + 1):
        for together in scenes_of([spans[track] for track in tracks.tolist() if units.lengths[track]], times):
            scene[units.owner[[span.start for span in together]]] = number
            number += 1
    return replace(context, dialogue=torch.from_numpy(scene))
