"""What a folder of many runs was made for: carried on with the same wishes, and refused with others."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pipeline.config import to_json
from pipeline.errors import TrainingError
from pipeline.joined import JoinedStores
from pipeline.runs import read_json, write_json


def settle_wishes(out: Path, stores: JoinedStores, wishes: Mapping[str, Any], *, what: str,
                  may_hold: Collection[str] = ()) -> None:
    """Write down in ``plan.json`` what is asked for, or make sure that it is what the folder was made for.

    Args:
        out: the folder; it need not be there.
        stores: what is learnt from.
        wishes: all that decides the results, in JSON's types, with ``"inputs"`` and ``"training"`` among it.
        what: the folder holds, for messages: ``"an ablation"``.
        may_hold: names of files that a new folder may hold already.

    Raises:
        TrainingError: the folder was made with other wishes, or holds something else.
    """
    training = {name: value for name, value in wishes["training"].items() if name != "device"}
    plan = to_json({**wishes, "training": training, "features": [os.path.abspath(path) for path in stores.paths],
                    "fingerprints": {name: stores.describe(name)["fingerprint"] for name in wishes["inputs"]}})
    path = out / "plan.json"
    if path.exists():
        before = read_json(path)
        if changed := sorted(name for name in plan if not isinstance(before, dict) or before.get(name) != plan[name]):
            raise TrainingError(f"{out} holds {what} with other wishes ({', '.join(changed)} differ); give another"
                                " folder with --out, or the same wishes to carry it on")
    elif out.exists() and any(inside.name not in may_hold for inside in out.iterdir()):
        raise TrainingError(f"{out} holds something else than {what}; give a new folder with --out")
    write_json(path, plan)
