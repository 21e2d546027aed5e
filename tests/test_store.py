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
from pipeline.packing import Cell, Failure, FeatureData, write_store
from pipeline.store import FeatureStore

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


def test_the_memory_map_equals_what_hdf5_reads(path: Path) -> None:
    store = FeatureStore(path)
    with h5py.File(path, locking=False) as file:
        for feature in store.features:
            group = file["features"][feature]
            assert (store.array(feature) == group["values"][()]).all()
            np.testing.assert_array_equal(store.times(feature), group["times"][()])
            assert store.array(feature).shape[1:] == store.row_shape(feature)
    assert isinstance(store.array("wide").base, np.memmap)
    assert store.offsets("wide").tolist() == [0, 3, 3, 8, 8]


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


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(100)])
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


@pytest.mark.parametrize(("version", "advice"), [(2, "update this program"), (0, "extract again")])
def test_another_format_version_says_what_to_do(path: Path, version: int, advice: str) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = version
    with pytest.raises(StoreError, match=f"format version {version}, this program reads 1; {advice}"):
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
    with pytest.raises(StoreError, match="column 'text' is damaged"):
        FeatureStore(path).column("text")


def test_a_column_of_the_wrong_length_is_damage(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["clips/turn"]
        file["clips/turn"] = np.zeros(3, np.int64)
    with pytest.raises(StoreError, match="column 'turn' has 3 rows for 4 clips"):
        FeatureStore(path).column("turn")


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
