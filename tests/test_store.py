"""Reading the feature file: what comes out is what went in, and what is not ours is refused with a reason."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import StoreError
from pipeline.media import FeatureSequence
from pipeline.storage.packing import Cell, Failure, FeatureData, write_store
from pipeline.store import CLIP_COLUMNS, FeatureStore

CORPUS = Corpus("toy", (Task("mood", ("glad", "sad")), Task("level", value_range=(0.0, 1.0))))
CLIPS = [
    Clip("train/a", Path("clips/a.mp4"), 0.5, 2.0, "Oh, hi!", "Ann", "d0", 0, "train", "g0", {"mood": "sad"}),
    Clip("train/b", text="", split="train", labels={"level": 0.25}),
    Clip("dev/c", Path("clips/ünïcode 日本.mp4"), text="naïve 😀\n\x00 end", split="dev"),
    Clip("dev/d", split="dev"),
]


def sequence(length: int, *shape: int, seed: int = 0) -> FeatureSequence:
    values = np.random.default_rng(seed).normal(size=(length, *shape)).astype(np.float32)
    return FeatureSequence(values, np.stack([np.arange(length), np.arange(length) + 1], 1).astype(np.float32))


ROWS = {"train/a": sequence(3, 2, 4), "dev/c": sequence(5, 2, 4, seed=1)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    cells = {"train/b": Cell.of(FeatureSequence.empty((2, 4))),
             "dev/d": Cell.failed(Failure("decode", "permanent", "bad ‘clip’\n\x00\udcff"))}
    pixels = FeatureSequence(np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3), np.zeros((1, 2), np.float32))
    unknown = FeatureSequence(np.ones((2, 3), np.float32), np.full((2, 2), np.nan, np.float32), "none")
    return write_store(tmp_path / "toy.h5", corpus=CORPUS, clips=CLIPS, features={
        "wide": FeatureData("audio", (2, 4), {"extractor": "wide"}, ROWS, cells),
        "pixels": FeatureData("face", (2, 2, 3), sequences={"train/a": pixels}, dtype="uint8", is_input=False,
                              columns=("a", "b")),
        "words": FeatureData("text", (3,), sequences={"dev/d": unknown})})


def test_rows_come_back_byte_for_byte(path: Path) -> None:
    store = FeatureStore(path)
    for clip_id, expected in ROWS.items():
        found = store.read(clip_id, "wide")
        assert found.values.tobytes() == expected.values.tobytes() and found.values.shape == expected.values.shape
        assert found.times.tobytes() == expected.times.tobytes() and found.times_kind == "measured"
    assert store.read("train/a", "pixels").values.dtype == np.uint8
    assert store.read("train/a", "pixels").values.ravel().tolist() == list(range(12))
    assert store.read("dev/d", "words").times_kind == "none" and np.isnan(store.read("dev/d", "words").times).all()


def test_a_clip_without_rows_reads_as_zero_rows_of_the_right_width(path: Path) -> None:
    for clip_id in ("train/b", "dev/d"):
        assert FeatureStore(path).read(clip_id, "wide").values.shape == (0, 2, 4)


def test_what_is_read_past_hdf5_equals_what_hdf5_reads(path: Path, tmp_path: Path) -> None:
    store = FeatureStore(path)
    with h5py.File(path, locking=False) as file:
        for feature in store.features:
            group = file["features"][feature]
            assert (store.array(feature) == group["values"][()]).all()
            np.testing.assert_array_equal(store.times(feature), group["times"][()])
            assert store.array(feature).shape[1:] == store.row_shape(feature)
    assert store.offsets("wide").tolist() == [0, 3, 3, 8, 8]


def test_large_arrays_are_mapped_and_small_ones_read(path: Path, tmp_path: Path) -> None:
    rows = sequence(1 << 15, 8)
    large = FeatureStore(write_store(tmp_path / "large.h5", corpus=CORPUS, clips=CLIPS, features={
        "big": FeatureData("audio", (8,), sequences={"dev/c": rows})}))
    assert isinstance(large.array("big").base, np.memmap) and not isinstance(large.offsets("big").base, np.memmap)
    np.testing.assert_array_equal(large.array("big"), rows.values)
    assert not isinstance(FeatureStore(path).array("wide").base, np.memmap)


def test_statuses_and_failures_say_what_became_of_each_clip(path: Path) -> None:
    store = FeatureStore(path)
    assert store.status("wide").tolist() == ["done", "empty", "done", "failed"]
    assert store.status("pixels").tolist() == ["done", "missing", "missing", "missing"]
    assert store.failures.to_dict("records") == [
        {"clip_id": "dev/d", "feature": "wide", "stage": "decode", "kind": "permanent",
         "message": "bad ‘clip’\n\x00\udcff"}]


def test_the_head_says_what_a_feature_is(path: Path) -> None:
    store = FeatureStore(path)
    assert store.features == ("pixels", "wide", "words") and store.corpus == CORPUS and store.num_clips == 4
    assert store.recipe("wide") == {"extractor": "wide"} and len(store.fingerprint("wide")) == 32
    assert (store.modality("pixels"), store.is_input("pixels"), store.is_input("wide")) == ("face", False, True)
    assert store.head("pixels")["columns"] == ("a", "b") and store.head("pixels")["dtype"] == "uint8"
    assert "4 clips" in repr(store) and "wide" in repr(store)


def test_text_names_and_labels_come_back_as_they_were(path: Path) -> None:
    store = FeatureStore(path)
    assert store.column("text").tolist() == [clip.text for clip in CLIPS]
    assert store.column("source").tolist() == ["clips/a.mp4", "", "clips/ünïcode 日本.mp4", ""]
    assert store.labels("mood").tolist() == [1, -1, -1, -1]
    assert store.labels("level")[1] == 0.25 and np.isnan(store.labels("level")[[0, 2, 3]]).all()
    assert store.clips["speaker"].tolist() == ["Ann", "", "", ""] and store.clips["turn"].tolist() == [0, -1, -1, -1]


def test_what_a_store_lacks_is_an_error_that_names_what_it_has(path: Path) -> None:
    store = FeatureStore(path)
    with pytest.raises(StoreError, match="no feature 'widee', only pixels, wide, words; add it with"):
        store.array("widee")
    with pytest.raises(StoreError, match="no feature"):
        store.read("train/a", "widee")
    with pytest.raises(StoreError, match="no clip 'train/z'; ids look like train/a"):
        store.read("train/z", "wide")
    with pytest.raises(StoreError, match="no task 'moods', only mood, level"):
        store.labels("moods")


def first_value(store: FeatureStore) -> float:
    return float(store.read("dev/c", "wide").values[0, 0, 0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # fork, under test here
def test_a_store_goes_to_another_process(path: Path, method: str) -> None:
    store = FeatureStore(path)
    expected = first_value(store)
    assert first_value(pickle.loads(pickle.dumps(store))) == expected
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(first_value, (store,)) == expected


def test_writing_into_rows_leaves_the_file_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    FeatureStore(path).array("wide")[:] = 7
    assert path.read_bytes() == before


def test_a_store_replaced_while_open_is_not_mixed_with_the_new_one(path: Path) -> None:
    store = FeatureStore(path)
    store.array("wide")
    write_store(path, corpus=CORPUS, clips=CLIPS[:1], features={})
    with pytest.raises(StoreError, match="was replaced after it was opened"):
        store.offsets("wide")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store .*none.h5; make one with: python -m pipeline extract"):
        FeatureStore(tmp_path / "none.h5")
    with pytest.raises(StoreError, match="there is no store"):
        FeatureStore(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n\x03" + bytes(100)])
def test_a_file_that_is_not_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(StoreError, match="is not a readable HDF5 file .*expected a store"):
        FeatureStore(tmp_path / "x.h5")


def test_a_file_cut_short_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match="not a readable HDF5 file .*truncated"):
        FeatureStore(path)


def test_another_hdf5_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["values"] = np.zeros(3)
    with pytest.raises(StoreError, match="is an HDF5 file but not a feature store"):
        FeatureStore(tmp_path / "x.h5")


@pytest.mark.parametrize(("version", "advice"), [(3, "update this program"), (1, "an older one made it: extract")])
def test_another_format_version_says_what_to_do(path: Path, version: int, advice: str) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = version
    with pytest.raises(StoreError, match=f"format version {version}, this program reads 2; {advice}"):
        FeatureStore(path)


def replace(path: Path, name: str, how: str, tmp_path: Path) -> None:
    """Put something in a dataset's place that does not lie in the file in one piece."""
    with h5py.File(path, "r+") as file:
        old = file[name][()]
        del file[name]
        if how == "chunked":
            file.create_dataset(name, data=old, chunks=True)
        elif how == "soft":
            file["elsewhere"] = old
            file[name] = h5py.SoftLink("/elsewhere")
        elif how == "external link":
            with h5py.File(tmp_path / "other.h5", "w") as other:
                other["x"] = old
            file[name] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
        elif how == "external storage":
            (tmp_path / "raw").write_bytes(old.tobytes())
            file.create_dataset(name, old.shape, old.dtype, external=[(str(tmp_path / "raw"), 0, old.nbytes)])
        elif how == "virtual":
            with h5py.File(tmp_path / "other.h5", "w") as other:
                other["x"] = old
            layout = h5py.VirtualLayout(old.shape, old.dtype)
            layout[...] = h5py.VirtualSource(tmp_path / "other.h5", "x", old.shape)
            file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("how", ["chunked", "soft", "external link", "external storage", "virtual", "gone"])
@pytest.mark.parametrize("name", ["features/wide/values", "clips/text"])
def test_rows_that_do_not_lie_in_the_file_in_one_piece_are_refused(path: Path, tmp_path: Path, name: str,
                                                                   how: str) -> None:
    replace(path, name, how, tmp_path)
    with pytest.raises(StoreError, match="contiguous dataset inside the file|missing or leads out of the file"):
        FeatureStore(path).column("text")


def test_a_feature_that_is_a_link_to_another_file_is_refused(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["features/away"] = h5py.ExternalLink(str(tmp_path / "none.h5"), "/x")
    with pytest.raises(StoreError, match="'away' is missing or leads out of the file"):
        FeatureStore(path)


@pytest.mark.parametrize(("name", "values"), [
    ("features/wide/values", np.zeros((8, 2, 5), np.float32)), ("features/wide/values", np.zeros((8, 2, 4), ">f4")),
    ("features/wide/offsets", np.arange(4)), ("features/wide/status", np.zeros(4, np.int64)),
    ("features/wide/times", np.zeros((7, 2), np.float32))])
def test_arrays_that_do_not_fit_together_are_damage(path: Path, name: str, values: np.ndarray) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values
    with pytest.raises(StoreError, match=f"is damaged .*{name} is .* expected"):
        FeatureStore(path)


def test_numbers_out_of_their_range_are_damage(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["features/wide/status"][0] = 9
        file["features/wide/offsets"][1] = 99
        file["features/pixels/times_kind"][0] = 3
        file["features/words/values"][0] = np.nan
        file["clips/labels/mood"][0] = 2
    store = FeatureStore(path)
    for read in (lambda: store.status("wide"), lambda: store.read("train/a", "wide"),
                 lambda: store.read("train/a", "pixels"), lambda: store.read("dev/d", "words"),
                 lambda: store.labels("mood")):
        with pytest.raises(StoreError, match="is damaged"):
            read()


def test_text_that_is_not_utf8_is_damage(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["clips/text"][0] = 0xFF
    with pytest.raises(StoreError, match="is damaged .column 'text'"):
        FeatureStore(path).column("text")


def test_a_column_of_the_wrong_length_is_damage(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["clips/turn"]
        file["clips/turn"] = np.zeros(3, np.int64)
    with pytest.raises(StoreError, match="column 'turn' has 3 rows for 4 clips"):
        FeatureStore(path).column("turn")


def test_nothing_is_kept_where_hdf5_has_no_checksums(path: Path) -> None:
    whole = path.read_bytes()
    assert b"GCOL" not in whole, "a damaged heap of values of variable length makes HDF5 search for ever"
    assert b"OHDR" in whole and b"TREE" not in whole and b"SNOD" not in whole, "the layout with checksums throughout"


def test_attributes_of_variable_length_are_not_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "text of variable length"
        file["features/wide"].attrs["extra"] = np.asarray(["a", "b"], h5py.string_dtype())
    assert "note" not in FeatureStore(path).attributes
    with h5py.File(path, "r+") as file:
        file.attrs["corpus"] = str(file.attrs["corpus"])
    with pytest.raises(StoreError, match="is damaged .its head: there is no 'corpus'"):
        FeatureStore(path)


def read_all(path: Path) -> None:
    """Everything that a store can be asked for."""
    store = FeatureStore(path)
    for feature in store.features:
        [store.cell(index, feature) for index in range(store.num_clips)]
        store.status(feature), store.digest(feature), store.recipe(feature)
    [store.column(name) for name in CLIP_COLUMNS]
    [store.labels(task.name) for task in store.corpus.tasks]
    store.failure_columns()


def outcome(path: Path) -> str:
    try:
        read_all(path)
        return "read"
    except StoreError as error:
        assert str(error).isprintable()
        return "refused"


@pytest.mark.parametrize("percent", range(0, 100, 5))
def test_a_file_cut_anywhere_is_refused(path: Path, percent: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) * percent // 100])
    assert outcome(path) == "refused"


def structure(whole: bytes) -> list[int]:
    """Places of the bytes that HDF5 reads itself: its head, and what follows the names of its structures."""
    found = set(range(64))
    for name in (b"OHDR", b"OCHK", b"FRHP", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"BTIN"):
        start = whole.find(name)
        while start >= 0:
            found |= set(range(start, min(start + 400, len(whole))))
            start = whole.find(name, start + 1)
    return sorted(found)


def test_bytes_changed_where_hdf5_keeps_its_structure_are_refused_or_do_no_harm(path: Path) -> None:
    random, whole, outcomes = np.random.default_rng(0), path.read_bytes(), []
    places = structure(whole)
    for _ in range(300):
        changed = bytearray(whole)
        for place in random.choice(places, random.integers(1, 4)).tolist():
            changed[place] ^= int(random.integers(1, 256))
        path.write_bytes(changed)
        outcomes.append(outcome(path))
    assert outcomes.count("refused") > 200 and set(outcomes) <= {"read", "refused"}


HUGE = 10**14


@pytest.mark.parametrize("name", ["features/wide/values", "features/wide/digest", "clips/clip_id", "clips/text"])
@pytest.mark.parametrize("how", ["huge", "huge and chunked", "variable", "compound", "scalar", "nothing", "compact",
                                 "reference", "group", "itself"])
def test_datasets_of_absurd_shapes_and_types_are_refused(path: Path, name: str, how: str) -> None:
    with h5py.File(path, "r+") as file:
        old = file[name]
        kind, shape = old.dtype, (HUGE, *old.shape[1:])
        del file[name]
        if how == "group":
            file.create_group(name)
        elif how == "itself":
            file[name] = file["features"]
        elif how == "compact":
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout(h5py.h5d.COMPACT)
            h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(kind), h5py.h5s.create_simple((4,)), plist)
        else:
            given = {"huge": (shape, kind), "huge and chunked": (shape, kind), "scalar": ((), kind),
                     "variable": ((4,), h5py.string_dtype()), "compound": ((4,), [("a", "f4"), ("b", "S9")]),
                     "reference": ((4,), h5py.ref_dtype), "nothing": (None, kind)}[how]
            chunks = (1 << 10, *shape[1:]) if how == "huge and chunked" else None
            data = h5py.Empty(kind) if how == "nothing" else None
            file.create_dataset(name, given[0], given[1], data=data, chunks=chunks,
                                compression="gzip" if chunks else None)
    assert outcome(path) == "refused"


def test_groups_that_hold_themselves_are_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["features/loop"] = file["features"]
        file["features/wide/again"] = file["/"]
    assert outcome(path) == "refused"
    with h5py.File(path, "r+") as file:
        del file["features/loop"]
    assert outcome(path) == "read", "what is not asked for is not followed"


@pytest.mark.parametrize("ids", [[b"", b"b", b"c", b"d"], [b"a\x1b[2J", b"b", b"c", b"d"], [b"a", b"a", b"c", b"d"],
                                 [b"a\x00b", b"b", b"c", b"d"], [b"\xff", b"b", b"c", b"d"],
                                 ["a\u202eb".encode(), b"b", b"c", b"d"]])
def test_clip_ids_that_are_none_are_damage(path: Path, ids: list[bytes]) -> None:
    with h5py.File(path, "r+") as file:
        del file["clips/clip_id"]
        file["clips/clip_id"] = np.asarray(ids, "S8")
    with pytest.raises(StoreError, match="is damaged .column 'clip_id'"):
        FeatureStore(path).place("train/a")


@pytest.mark.parametrize("name", ["a\x1b[2J", "line\nbreak", "a\u202eb", b"\xff"])
def test_features_with_names_that_a_terminal_would_obey_are_damage(path: Path, name: str | bytes) -> None:
    with h5py.File(path, "r+") as file:
        features = file["features"].id
        features.links.move(b"wide", features, name.encode() if isinstance(name, str) else name)
    with pytest.raises(StoreError, match="is damaged .*a feature is named"):
        FeatureStore(path)


def test_a_name_that_is_html_is_a_name(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.move("features/wide", "features/<script>alert(1)<|script>")
    assert FeatureStore(path).read("train/a", "<script>alert(1)<|script>").values.shape == (3, 2, 4)


@pytest.mark.parametrize(("node", "name", "value"), [
    ("/", "corpus", "[]"), ("/", "corpus", "{}"), ("/", "corpus", "not JSON"), ("/", "corpus", "[" * 100_000),
    ("/", "corpus", '{"name": 3, "tasks": []}'), ("/", "requests", "{}"), ("/", "requests", "[1]"),
    ("/", "corpus", '{"name": "x", "tasks": [{"name": ["a"], "classes": ["b"], "value_range": null}]}'),
    ("/", "format_version", 2.5), ("/", "created", None), ("features/wide", "recipe", "[]"),
    ("features/wide", "recipe", '{"a": NaN}'), ("features/wide", "recipe", None), ("features/wide", "row_shape", "x"),
    ("features/wide", "row_shape", np.asarray([2**62, 2**62])), ("features/wide", "row_shape", np.asarray([-2, -4])),
    ("features/wide", "fingerprint", None), ("features/wide", "columns", 3)])
def test_a_head_that_says_nonsense_is_a_store_error(path: Path, node: str, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        attributes = file[node].attrs
        if name in attributes:
            del attributes[name]
        if value is not None:
            attributes[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
    assert outcome(path) == "refused"


@pytest.mark.parametrize("offsets", [[0, 3, 2, 8, 8], [-1, 3, 3, 8, 8], [0, 3, 3, 8, 9], [1, 3, 3, 8, 8],
                                     [0, -3, 3, 8, 8], [0, 2**62, 3, 8, 8]])
def test_offsets_that_do_not_rise_to_the_rows_are_damage(path: Path, offsets: list[int]) -> None:
    with h5py.File(path, "r+") as file:
        file["features/wide/offsets"][:] = offsets
    with pytest.raises(StoreError, match="is damaged .offsets of wide do not fit its 8 rows"):
        FeatureStore(path).cell(0, "wide")
    with h5py.File(path, "r+") as file:
        file["features/wide/offsets"][:] = [0, 3, 3, 8, 8]
        file["clips/text_offsets"][:] = [0, 2, 1, 3, 4]
    with pytest.raises(StoreError, match="is damaged .column 'text'|offsets do not cut"):
        FeatureStore(path).column("text")


def test_zeros_anywhere_in_the_file_are_a_store_error_or_do_no_harm(path: Path) -> None:
    random = np.random.default_rng(0)
    whole = path.read_bytes()
    outcomes = set()
    for start in random.integers(0, len(whole) - 500, 100).tolist():
        path.write_bytes(whole[:start] + bytes(500) + whole[start + 500:])
        try:
            store = FeatureStore(path)
            for feature in store.features:
                [store.cell(index, feature) for index in range(store.num_clips)]
            outcomes.add("read")
        except StoreError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
