"""Shards beside a store: read as one with it, packed into it; whose rows count, and how little that takes."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.cli import main
from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import StoreError
from pipeline.joined import open_stores
from pipeline.media import FeatureSequence
from pipeline.storage.durable import Output
from pipeline.storage.packing import (Cell, Failure, FeatureData, SourceRecord, clip_columns, stored_cells,
                                      stored_clips, stored_sources, write_store)
from pipeline.storage.parts import PartsStore
from pipeline.storage.shards import bytes_to_pack, open_store, pack, pack_store, shard_folder
from pipeline.storage.writing import write_file
from pipeline.store import FeatureStore

CORPUS = Corpus("toy", (Task("mood", ("glad", "sad")), Task("level", value_range=(0.0, 1.0))))
CLIPS = [Clip(f"train/{number}", Path(f"{number}.mp4"), text=f"words {number}\n", split="train", speaker=f"s{number}",
              labels={"mood": "sad", "level": number / 8} if number % 2 else {}) for number in range(8)]
REQUESTS = [{"command": ["python", "-m", "pipeline", "extract", "--dataset", "toy"], "weights": None},
            {"command": ["python", "-m", "pipeline", "extract", "--set", "a.b=c d'e"], "weights": "random"}]


def sequence(length: int, seed: int, width: int = 4) -> FeatureSequence:
    times = np.stack([np.arange(length), np.arange(length) + 1], 1).astype(np.float32)
    return FeatureSequence(np.random.default_rng(seed).normal(size=(length, width)).astype(np.float32), times)


def data(cells: dict[str, FeatureSequence | Failure], *, recipe: str = "one", width: int = 4) -> FeatureData:
    return FeatureData("audio", (width,), {"extractor": "toy", "fingerprint": recipe * 8}, cells={
        name: Cell.failed(cell, input="f" * 32) if isinstance(cell, Failure) else Cell.of(cell, input="a" * 32)
        for name, cell in cells.items()})


def shard(out: Path, name: str, clips: list[Clip], **features: FeatureData) -> Path:
    return write_store(shard_folder(out) / f"{name}.h5", corpus=CORPUS, clips=clips, features=features)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A packed store of four clips and three shards: more clips, another feature, and a clip tried again."""
    out = tmp_path / "toy.h5"
    broken = Failure("decode", "passing", "disk\nfell over")
    write_store(out, corpus=CORPUS, clips=CLIPS[:4], requests=REQUESTS[:1], attributes={"note": "kept ünï", "count": 3},
                sources={"train/0": SourceRecord(7, 8, "d" * 32)}, features={"toy": data(
                    {"train/0": sequence(2, 0), "train/1": broken, "train/2": sequence(0, 2)})})
    shard(out, "001", CLIPS[4:6], toy=data({"train/4": sequence(3, 4), "train/5": broken}))
    shard(out, "002", CLIPS[:6], other=data({"train/5": sequence(1, 50)}, recipe="two"))
    shard(out, "003", [CLIPS[6], replace(CLIPS[1], text="new words")],
          toy=data({"train/6": sequence(4, 6), "train/1": sequence(5, 1)}))
    return out


def content(store: FeatureStore) -> dict[str, object]:
    """Everything that a store says, to compare two ways of reading."""
    features = {name: (
        store.status(name).tolist(), store.offsets(name).tolist(), store.array(name).tolist(),
        store.times(name).tolist(), store.times_kinds(name).tolist(), store.cell_digests(name).tolist(),
        store.input_digests(name).tolist(), store.digest(name), store.head(name),
        [store.cell(place, name).values.tolist() for place in range(store.num_clips)]) for name in store.features}
    return {"clips": stored_clips(store), "sources": stored_sources(store), "corpus": store.corpus,
            "failures": store.failures.to_dict("records"), "requests": store.requests, "features": features}


def test_a_store_and_its_shards_read_as_one(out: Path) -> None:
    store = open_store(out)
    assert isinstance(store, PartsStore) and store.num_shards == 3 and store.features == ("other", "toy")
    assert store.column("clip_id").tolist() == [f"train/{number}" for number in range(7)]
    assert store.status("toy").tolist() == ["done", "done", "empty", "missing", "done", "failed", "done"]
    assert store.status("other").tolist() == ["missing"] * 5 + ["done", "missing"]
    for clip_id, seed, length in (("train/0", 0, 2), ("train/1", 1, 5), ("train/4", 4, 3), ("train/6", 6, 4)):
        found, expected = store.read(clip_id, "toy"), sequence(length, seed)
        assert found.values.tobytes() == expected.values.tobytes() and found.times.tobytes() == expected.times.tobytes()
    assert store.failures[["clip_id", "message"]].to_numpy().tolist() == [["train/5", "disk\nfell over"]]
    assert store.column("text")[1] == "new words" and store.labels("mood").tolist() == [-1, 1, -1, 1, -1, 1, -1]
    assert stored_sources(store)["train/0"] == SourceRecord(7, 8, "d" * 32)
    assert store.attributes["note"] == "kept ünï" and store.requests == REQUESTS[:1]


def test_reading_before_packing_and_after_it_gives_the_same(out: Path) -> None:
    before = content(open_store(out))
    assert pack_store(out) == out and not shard_folder(out).exists()
    packed = open_store(out)
    assert type(packed) is FeatureStore and packed.attributes["note"] == "kept ünï" and packed.attributes["count"] == 3
    assert content(packed) == before
    assert sorted(path.name for path in out.parent.iterdir()) == ["toy.h5"]


def test_shards_without_a_store_are_one(out: Path) -> None:
    out.unlink()
    before = content(open_store(out))
    assert open_store(out).num_clips == 7 and open_store(out).column("clip_id")[0] == "train/4"
    assert content(open_store(pack_store(out))) == before


def test_unpacked_stores_go_to_other_processes_and_join_others(out: Path, tmp_path: Path) -> None:
    store = open_store(out)
    assert content(pickle.loads(pickle.dumps(store))) == content(store)
    third = write_store(tmp_path / "b.h5", corpus=CORPUS, clips=CLIPS, features={"third": data({})})
    rows = open_stores([out, third]).rows("toy")
    assert rows.lengths.tolist() == [2, 5, 0, 0, 3, 0, 4, 0]
    assert stored_cells(store, "toy").keys() == {f"train/{number}" for number in (0, 1, 2, 4, 5, 6)}
    assert "PartsStore" in repr(store)


def test_clips_of_the_dataset_come_first_as_they_are_now(out: Path) -> None:
    clips = [CLIPS[7], replace(CLIPS[0], labels={"mood": "sad"}), CLIPS[2]]
    store = FeatureStore(pack(out, shard_folder(out), CORPUS, clips))
    assert stored_clips(store)[:3] == clips
    assert store.column("clip_id").tolist()[3:] == [f"train/{number}" for number in (1, 3, 4, 5, 6)]
    assert store.status("toy").tolist()[:3] == ["missing", "done", "empty"]
    assert stored_sources(store)["train/0"] == SourceRecord(7, 8, "d" * 32)


def test_a_feature_made_in_another_way_later_replaces_the_earlier_one_wholly(out: Path) -> None:
    shard(out, "004", CLIPS[:1], toy=data({"train/0": sequence(1, 9, 5)}, recipe="new", width=5))
    store = open_store(out)
    assert store.row_shape("toy") == (5,) and store.fingerprint("toy") == "new" * 8
    assert store.status("toy").tolist() == ["done"] + ["missing"] * 6 and len(store.failures) == 0
    before = content(store)
    assert content(FeatureStore(pack_store(out))) == before


def test_features_to_drop_keep_only_what_was_made_in_the_wanted_way(out: Path) -> None:
    class Wanted:
        name, fingerprint = "toy", "another"
    store = FeatureStore(pack(out, shard_folder(out), CORPUS, CLIPS, drop=[Wanted()]))  # type: ignore[list-item]
    assert store.features == ("other",)


def test_the_reason_of_a_failure_is_that_of_the_part_that_counts(out: Path) -> None:
    shard(out, "004", CLIPS[4:6], toy=data({"train/5": Failure("decode", "permanent", "again")}))
    assert open_store(out).failures["message"].tolist() == ["again"]
    shard(out, "005", CLIPS[4:6], toy=data({"train/5": Failure("decode", "permanent", "not wanted")}, recipe="two"))
    store = PartsStore(out, [out, *sorted(shard_folder(out).iterdir())], drop={"toy": "one" * 8})
    assert store.failures["message"].tolist() == ["again"] and store.fingerprint("toy") == "one" * 8


def test_cells_that_lie_apart_or_in_another_order_are_read_one_by_one(out: Path) -> None:
    turned = [CLIPS[6], CLIPS[4], CLIPS[1], CLIPS[5], CLIPS[0]]
    store = PartsStore(out, [out, *sorted(shard_folder(out).iterdir())], clips=clip_columns(turned, CORPUS, {}))
    ids = ["train/6", "train/4", "train/1", "train/5", "train/0", "train/2", "train/3"]
    assert store.column("clip_id").tolist() == ids
    expected = [open_store(out).read(clip_id, "toy").values for clip_id in ids]
    np.testing.assert_array_equal(store.array("toy"), np.concatenate(expected))
    for place, rows in enumerate(expected):
        np.testing.assert_array_equal(store.cell(place, "toy").values, rows)


def test_what_is_joined_twice_stays_the_same(out: Path, tmp_path: Path) -> None:
    shutil.copytree(shard_folder(out), tmp_path / "again")
    before = content(FeatureStore(pack_store(out)))
    shutil.copytree(tmp_path / "again", shard_folder(out))
    assert content(open_store(out)) == before and content(FeatureStore(pack_store(out))) == before


def test_packing_with_nothing_new_leaves_the_file_alone(out: Path) -> None:
    pack(out, shard_folder(out), CORPUS, CLIPS, requests=REQUESTS)
    before = out.stat()
    pack(out, shard_folder(out), CORPUS, CLIPS, requests=[{"command": ["other"]}])
    assert pack_store(out) == out
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    pack(out, shard_folder(out), CORPUS, [replace(CLIPS[0], text="changed"), *CLIPS[1:]])
    assert FeatureStore(out).column("text")[0] == "changed"


def test_requests_are_kept_oldest_first_and_once(out: Path) -> None:
    write_store(shard_folder(out) / "004.h5", corpus=CORPUS, clips=CLIPS[:1], features={}, requests=REQUESTS[::-1])
    pack(out, shard_folder(out), CORPUS, CLIPS, requests=[*REQUESTS, {"command": None}])
    assert FeatureStore(out).requests == [*REQUESTS, {"command": None}]


def test_classes_in_another_order_keep_their_names(out: Path) -> None:
    turned = replace(CORPUS, tasks=(Task("mood", ("new", "sad", "glad")), Task("extra", ("x", "y"))))
    store = FeatureStore(pack(out, shard_folder(out), turned, ()))
    assert [clip.labels.get("mood") for clip in stored_clips(store)] == [clip.labels.get("mood") for clip in CLIPS[:7]]
    assert (store.labels("extra") == -1).all()


def test_parts_that_do_not_go_together_are_refused(out: Path) -> None:
    with pytest.raises(StoreError, match="has a label of 'mood' that the corpus no longer knows; extract into another"):
        pack(out, shard_folder(out), replace(CORPUS, tasks=(Task("mood", ("glad", "bored")),)), ())
    with pytest.raises(StoreError, match="has 'mood' as a classification, now it is a regression"):
        pack(out, shard_folder(out), replace(CORPUS, tasks=(Task("mood", value_range=(0.0, 1.0)),)), ())
    shard(out, "004", CLIPS[:1], toy=data({"train/0": sequence(1, 9, 5)}, width=5))
    with pytest.raises(StoreError, match=r"004.h5 is damaged \(rows of toy are float32 \(5,\) and elsewhere float32"):
        open_store(out)
    write_store(shard_folder(out) / "005.h5", corpus=Corpus("other"), clips=[], features={})
    (shard_folder(out) / "004.h5").unlink()
    with pytest.raises(StoreError, match="005.h5 holds features of 'other', not of 'toy'|'toy', not of 'other'"):
        open_store(out)
    assert FeatureStore(out).num_clips == 4, "what was there before is as it was"


def test_a_damaged_shard_is_named_with_what_to_do(out: Path) -> None:
    path = shard_folder(out) / "002.h5"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StoreError, match="002.h5 is not a readable.*its clips are extracted again: remove .*002.h5"):
        open_store(out)


def test_a_shard_that_is_replaced_or_gone_is_not_mixed_with_what_was_read(out: Path) -> None:
    store = open_store(out)
    shard(out, "003", CLIPS[6:7], toy=data({"train/6": sequence(4, 60)}))
    with pytest.raises(StoreError, match="003.h5 was replaced after it was opened; open the store again"):
        store.read("train/6", "toy")
    pack_store(out)
    with pytest.raises(StoreError, match="001.h5 was replaced after it was opened"):
        store.read("train/4", "toy")


def test_what_neither_has_is_an_error(out: Path, tmp_path: Path) -> None:
    store = open_store(out)
    for wrong in (lambda: store.array("toys"), lambda: store.cell(0, "toys"), lambda: store.read("train/0", "toys")):
        with pytest.raises(StoreError, match="has no feature 'toys', only other, toy"):
            wrong()
    with pytest.raises(StoreError, match="has no column 'colour', only clip_id, split"):
        store.column("colour")
    with pytest.raises(StoreError, match="there is no store .*none.h5"):
        open_store(tmp_path / "none.h5")


def test_rows_pass_in_blocks_cut_anywhere(out: Path) -> None:
    store = open_store(out)
    assert isinstance(store, PartsStore)
    blocks = [(values.copy(), times.copy()) for values, times in store.blocks("toy", block_bytes=3 * 24)]
    assert [len(values) for values, _ in blocks] == [3, 3, 3, 3, 2]
    np.testing.assert_array_equal(np.concatenate([values for values, _ in blocks]), store.array("toy"))
    np.testing.assert_array_equal(np.concatenate([times for _, times in blocks]), store.times("toy"))


def test_packing_tells_how_far_it_is(out: Path) -> None:
    told: list[tuple[int, int]] = []
    pack_store(out, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (15 * 24, 15 * 24) and len(told) == 2


Usage = namedtuple("Usage", "total used free")


def test_packing_that_the_disk_has_no_room_for_does_not_begin(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(out)
    assert isinstance(store, PartsStore)
    needed = bytes_to_pack(store)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, needed - 1))
    with pytest.raises(StoreError, match=r"needs 0.00 GB beside the 3 finished shards.*Make room, then run: python -m"
                                         r" pipeline pack .*toy.h5 ; or leave the shards.*--no-pack"):
        pack_store(out)
    assert open_store(out).num_clips == 7
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, needed))
    assert pack_store(out).stat().st_size <= needed


def test_a_disk_that_fills_while_packing_changes_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = out.read_bytes(), content(open_store(out))

    def write(output: Output, data: object) -> int:
        output.error = OSError(28, "No space left on device")
        return len(memoryview(data).cast("B"))  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(Output, "write", write)
    with pytest.raises(StoreError, match="cannot write .*No space left on device; what was there before is unchanged"):
        pack_store(out)
    assert (out.read_bytes(), content(open_store(out))) == before


def test_a_store_is_refused_by_write_file_when_its_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write_file(tmp_path / "file" / "a.h5", corpus=CORPUS, clips={}, features=[])


MANY = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.storage.test_shards import CLIPS, data, open_store, pack_store, sequence, shard, shard_folder
from dataclasses import replace
out, limit = Path(sys.argv[1]), 48
for number in range({shards}):
    clip = replace(CLIPS[0], clip_id=f"train/{{number}}")
    rows = sequence(1 if number % 40 else 40_000, number)  # some are large enough to be mapped
    shard(out, f"{{number:05d}}", [clip], **{{name: data({{clip.clip_id: rows}}) for name in ("a", "b")}})
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
store = open_store(out)
digest = store.digest("a")
assert store.array("a").shape == store.array("b").shape
assert open_store(pack_store(out)).digest("a") == digest and not shard_folder(out).exists()
print(store.num_clips, "clips")
"""


def test_many_shards_need_few_open_files(tmp_path: Path) -> None:
    script = MANY.format(root=str(Path(__file__).parents[2]), shards=120)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "many.h5")], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "120 clips\n", "")


def test_the_command_packs_and_says_so(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(out)]) == 0
    assert "3 finished shards beside it are counted in; pack them with: python -m pipeline pack" in (
        capsys.readouterr().err)
    assert main(["pack", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}\n" and "3 shards packed" in shown.err
    assert main(["pack", str(out)]) == 0 and "nothing to pack" in capsys.readouterr().err
    assert sorted(path.name for path in out.parent.iterdir()) == ["toy.h5"]


def test_the_command_says_when_there_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(tmp_path / "new" / "x.h5")]) == 1
    assert "there is no store" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("table", ["clips/speaker", "features/toy/status", "clips/text"])
def test_a_damaged_row_of_a_table_is_not_written_again_as_if_it_were_whole(out: Path, table: str) -> None:
    with h5py.File(out) as file:
        place = file[table].id.get_offset()
    with out.open("r+b") as changed:
        changed.seek(place)
        byte = changed.read(1)
        changed.seek(place)
        changed.write(bytes([byte[0] ^ 1]))
    with pytest.raises(StoreError, match="a row of its tables is not as it was written.*pipeline verify .*--repair"):
        pack(out, shard_folder(out), CORPUS, CLIPS)
    assert shard_folder(out).is_dir()
