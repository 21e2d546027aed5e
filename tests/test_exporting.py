"""Exports hold what the store holds, appear whole or not at all, and pass on only what may be passed on."""

from __future__ import annotations

import csv
import json
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
import yaml
from safetensors import safe_open

from pipeline import FeatureStore
from pipeline.cli import commands, main
from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import PipelineError, StoreError, UsageError
from pipeline.exporting import FORMATS, WRITERS, Export, ExportConfig, export, huggingface, selection, tensors
from pipeline.media import FeatureSequence
from pipeline.storage.packing import FeatureData, write_store
from tests.identity_stores import make_identities
from tests.training_stores import CLASSES, MODALITIES, TASKS, make_clips, make_store

FEATURES = tuple(sorted(MODALITIES))
SIZES = {"train": 24, "dev": 12, "test": 12}
OPEN = Corpus("made-up", TASKS, licence="CC BY-NC-SA 4.0", terms_url="https://example.org/terms",
              redistribute="non-commercial", citation="Doe, 2020: \"Made up\" --- a corpus")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return FeatureStore(make_store(tmp_path_factory.mktemp("stores") / "store.h5", sizes=SIZES))


def rows_of(*numbers: float) -> FeatureSequence:
    values = np.asarray(numbers, np.float32)[:, None]
    times = np.stack([np.arange(len(values)), np.arange(1, len(values) + 1)], 1).astype(np.float32)
    return FeatureSequence(values, times)


def people_store(path: Path, corpus: Corpus = OPEN) -> FeatureStore:
    """A store with everything in it that is not passed on."""
    clip = Clip("train/anna", Path("/study/me/anna.mp4"), text="My name is Anna.", split="train", speaker="s1",
                labels={"emotion": "glad"})
    pixels = FeatureSequence(np.full((1, 2, 2, 3), 9, np.uint8), np.asarray([[0, 1]], np.float32))
    recipe = {"settings": {"model": "/study/me/bert", "cache": r"C:\Users\me\bert", "layers": ["last"]}}

    def feature(modality: str, **more: Any) -> FeatureData:
        return FeatureData(modality, (1,), {**recipe, **more}, {clip.clip_id: rows_of(1, 2)})

    return FeatureStore(write_store(path, corpus=corpus, clips=[clip], features={
        "text_bert": feature("text"), "face_identity@small": feature("face"),
        "mine": feature("audio", extractor="audio_windows"),
        "crops": FeatureData("face", (2, 2, 3), recipe, {clip.clip_id: pixels}, dtype="uint8")}))


class OnlyArrays(pickle.Unpickler):
    """Refuses every pickle that names anything but ``numpy.ndarray``."""

    def find_class(self, module: str, name: str) -> Any:
        assert (module, name) == ("numpy", "ndarray")
        return np.ndarray


def read_mmsa(folder: Path) -> dict[str, dict[str, Any]]:
    with (folder / "features.pkl").open("rb") as file:
        return dict(OnlyArrays(file).load())


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_command_knows_every_format() -> None:
    choices = next(option.type for option in commands.commands["export"].params if option.name == "format")
    assert tuple(choices.choices) == FORMATS  # type: ignore[attr-defined]


def test_npz_holds_every_feature(store: FeatureStore, tmp_path: Path) -> None:
    written = export(store, tmp_path / "out")
    assert isinstance(written, Export) and written.num_clips == 48 and written.notes == ()
    assert written.num_bytes == sum(len(content) for content in bytes_of(tmp_path / "out").values())
    assert sorted(bytes_of(tmp_path / "out")) == [
        "TERMS.txt", "audio_logmel.npz", "clips.csv", "export.json", "face_r3d18.npz", "text_bert.npz"]
    for feature in FEATURES:
        with np.load(tmp_path / "out" / f"{feature}.npz", allow_pickle=False) as found:
            assert sorted(found.files) == ["clip_ids", "offsets", "times", "values"]
            np.testing.assert_array_equal(found["values"], store.array(feature))
            np.testing.assert_array_equal(found["times"], store.times(feature))
            np.testing.assert_array_equal(found["offsets"], store.offsets(feature))
            assert found["clip_ids"].tolist() == store.column("clip_id").tolist()


def test_npy_can_be_mapped(store: FeatureStore, tmp_path: Path) -> None:
    export(store, tmp_path / "out", ExportConfig("npy"))
    for feature in FEATURES:
        for name, expected in (("values", store.array(feature)), ("times", store.times(feature)),
                               ("offsets", store.offsets(feature))):
            found = np.load(tmp_path / "out" / feature / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            assert isinstance(found, np.memmap) and found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def test_the_clip_table_says_labels_by_name_and_why_rows_are_missing(store: FeatureStore, tmp_path: Path) -> None:
    export(store, tmp_path / "out", ExportConfig("npy"))
    table = pd.read_csv(tmp_path / "out/clips.csv", keep_default_na=False)
    assert table["clip_id"].tolist() == store.column("clip_id").tolist()
    assert table["text"].tolist() == store.column("text").tolist()
    assert table["emotion"].tolist() == [CLASSES[label] if label >= 0 else "" for label in store.labels("emotion")]
    np.testing.assert_allclose(table["arousal"].astype(float), store.labels("arousal"), rtol=1e-6)
    assert table["text_bert.status"].tolist() == store.status("text_bert").tolist()
    assert set(table["text_bert.status"]) == {"done", "empty"} and set(table["text_bert.times_kind"]) == {"measured"}


def test_parquet_gives_pandas_one_row_a_clip(store: FeatureStore, tmp_path: Path) -> None:
    export(store, tmp_path / "out", ExportConfig("parquet"))
    clips = pd.read_parquet(tmp_path / "out/clips.parquet")
    assert clips["clip_id"].tolist() == store.column("clip_id").tolist()
    assert clips["emotion"].isna().tolist() == (store.labels("emotion") < 0).tolist()
    for feature in FEATURES:
        pooled = pd.read_parquet(tmp_path / "out" / feature / "pooled.parquet")
        width = int(np.prod(store.row_shape(feature)))
        assert pooled.index.name == "clip_id" and pooled.index.tolist() == clips["clip_id"].tolist()
        assert list(pooled) == ["num_rows", *(f"f{place}" for place in range(width))]
        for clip_id, row in pooled.iterrows():
            rows = store.read(str(clip_id), feature).values.reshape(-1, width)
            assert row["num_rows"] == len(rows)
            means = rows.mean(axis=0) if len(rows) else np.full(width, np.nan)
            np.testing.assert_allclose(row.iloc[1:].astype(float), means, rtol=1e-5, atol=1e-6)


def test_pooled_columns_bear_the_names_that_a_feature_gives_them(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.h5", corpus=OPEN, clips=[Clip("a")], features={
        "faces": FeatureData("face", (1,), {}, {"a": rows_of(2, 4)}, columns=("track",)),
        "crops": FeatureData("face", (1,), {}, dtype="uint8"),
        "odd": FeatureData("face", (1,), {}, columns=("num_rows",))})
    written = export(FeatureStore(path), tmp_path / "out", ExportConfig("parquet"))
    assert pd.read_parquet(tmp_path / "out/faces/pooled.parquet").to_dict("index") == {"a": {"num_rows": 2, "track": 3}}
    assert list(pd.read_parquet(tmp_path / "out/odd/pooled.parquet")) == ["num_rows", "f0"]
    assert written.notes == ("crops is left out: the average of pixels describes nothing",)


def test_safetensors_reads_what_was_streamed(store: FeatureStore, tmp_path: Path) -> None:
    export(store, tmp_path / "out", ExportConfig("safetensors"))
    with safe_open(tmp_path / "out" / tensors.FILE_NAME, "numpy") as found:
        assert sorted(found.keys()) == sorted(f"{feature}.{part}" for feature in FEATURES
                                              for part in ("values", "times", "offsets"))
        for feature in FEATURES:
            np.testing.assert_array_equal(found.get_tensor(f"{feature}.values"), store.array(feature))
            np.testing.assert_array_equal(found.get_tensor(f"{feature}.times"), store.times(feature))
            np.testing.assert_array_equal(found.get_tensor(f"{feature}.offsets"), store.offsets(feature))
            assert json.loads(found.metadata()[f"{feature}.recipe"]) == store.recipe(feature)
        assert json.loads(found.metadata()["clip_ids"]) == store.column("clip_id").tolist()


def test_safetensors_has_room_for_so_many_ids_only(store: FeatureStore, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "MOST_HEADER_BYTES", 1000)
    with pytest.raises(StoreError, match="ids of 48 clips take .* room for 1,000"):
        export(store, tmp_path / "out", ExportConfig("safetensors"))
    assert list(tmp_path.iterdir()) == []


def test_a_hugging_face_folder_holds_every_row_and_a_card(store: FeatureStore, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "FILE_BYTES", 6000)
    monkeypatch.setattr(selection, "BLOCK_BYTES", 2000)
    export(store, tmp_path / "out", ExportConfig("huggingface"))
    head, _, body = (tmp_path / "out/README.md").read_text().removeprefix("---\n").partition("\n---\n")
    card = yaml.safe_load(head)
    splits = {split["name"]: split["num_examples"] for split in card["dataset_info"]["splits"]}
    assert splits == {"train": 24, "validation": 12, "test": 12}
    assert [part["path"] for part in card["configs"][0]["data_files"]] == [
        "data/train-*", "data/validation-*", "data/test-*"]
    assert card["license"] == "other" and "made-up" in body
    files = sorted((tmp_path / "out/data").glob("train-*"))
    assert len(files) > 1 and files[-1].name == f"train-{len(files) - 1:05d}-of-{len(files):05d}.parquet"
    assert max(parquet.ParquetFile(path).num_row_groups for path in files) > 1
    rows = [row for path in files for row in parquet.read_table(path).to_pylist()]
    columns = {column["name"]: column for column in card["dataset_info"]["features"]}
    assert list(rows[0]) == list(columns)
    assert columns["emotion"]["dtype"] == {"class_label": {"names": {"0": "calm", "1": "glad", "2": "angry"}}}
    assert columns["audio_logmel"]["sequence"] == {"sequence": {"sequence": "float32", "length": 2}, "length": 4}
    assert len(rows) == 24
    for row in rows:
        label = store.labels("emotion")[store.place(row["clip_id"])]
        assert row["emotion"] == (None if label < 0 else label)
        for feature in FEATURES:
            cell = store.read(row["clip_id"], feature)
            np.testing.assert_array_equal(np.asarray(row[feature], np.float32).reshape(cell.values.shape), cell.values)
            np.testing.assert_array_equal(np.asarray(row[f"{feature}_times"]).reshape(-1, 2), cell.times)


def test_a_card_quotes_terms_and_knows_licences(tmp_path: Path) -> None:
    hostile = replace(OPEN, name="evil\n---\n# title", citation="```\n</script>\n---\nlicense: mit")
    export(people_store(tmp_path / "s.h5", hostile), tmp_path / "out", ExportConfig("huggingface", share=True))
    head, _, body = (tmp_path / "out/README.md").read_text().removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(head)["license"] == "cc-by-nc-sa-4.0"
    assert yaml.safe_load(head)["pretty_name"] == hostile.name
    assert all(line.startswith("    ") for line in body.splitlines() if "script" in line or "```" in line)


@pytest.mark.parametrize(("splits", "message"), [
    (["a b"], "split 'a b' cannot be a split of a Hugging Face dataset"),
    (["../../x"], "cannot be a split"),
    (["dev", "validation"], "splits dev and validation would both be called validation"),
])
def test_splits_that_hugging_face_cannot_name_are_refused(tmp_path: Path, splits: list[str], message: str) -> None:
    path = make_store(tmp_path / "s.h5", features=["text_bert"],
                      clips=[Clip(f"c{index}", split=split) for index, split in enumerate(splits)])
    with pytest.raises(StoreError, match=message):
        export(FeatureStore(path), tmp_path / "out", ExportConfig("huggingface"))
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


def test_a_feature_and_a_column_cannot_have_one_name(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.h5", corpus=OPEN, clips=[Clip("a")],
                       features={"speaker": FeatureData("audio", (1,), {}, {"a": rows_of(1)})})
    with pytest.raises(StoreError, match="two columns of the dataset would be called 'speaker'"):
        export(FeatureStore(path), tmp_path / "out", ExportConfig("huggingface"))
    path = write_store(tmp_path / "t.h5", corpus=Corpus("x", (Task("split", ("a", "b")),)), clips=[Clip("a")],
                       features={"mine": FeatureData("audio", (1,), {}, {"a": rows_of(1)})})
    with pytest.raises(StoreError, match="a task named 'split', as another column"):
        export(FeatureStore(path), tmp_path / "out")


def test_mmsa_reads_its_own_keys(store: FeatureStore, tmp_path: Path) -> None:
    written = export(store, tmp_path / "out", ExportConfig("mmsa", task="emotion"))
    content = read_mmsa(tmp_path / "out")
    assert list(content) == ["train", "valid", "test"]
    assert any("without a label of emotion" in note for note in written.notes)
    for split, part in content.items():
        number = len(part["id"])
        assert {"raw_text", "id", "text", "audio", "vision", "audio_lengths", "vision_lengths", "annotations",
                "classification_labels", "regression_labels"} <= set(part)
        assert all(len(values) == number for values in part.values())
        for name, feature in (("text", "text_bert"), ("audio", "audio_logmel"), ("vision", "face_r3d18")):
            assert part[name].shape == (number, 5, np.prod(store.row_shape(feature))) and part[name].dtype == np.float32
            assert part[name].flags.writeable
            for row, clip_id in enumerate(part["id"]):
                rows = store.read(clip_id, feature).values.reshape(-1, part[name].shape[2])
                np.testing.assert_array_equal(part[name][row, :len(rows)], rows)
                assert not part[name][row, len(rows):].any()
                assert part[f"{name}_lengths"][row] == max(1, len(rows))
                assert part[f"{name}_present"][row] == bool(len(rows))
        places = [store.place(clip_id) for clip_id in part["id"]]
        assert {store.column("split")[place] for place in places} == {"dev" if split == "valid" else split}
        assert part["classification_labels"].tolist() == store.labels("emotion")[places].tolist()
        assert part["annotations"] == [CLASSES[label] for label in part["classification_labels"]]
        assert part["raw_text"] == store.column("text")[places].tolist()


def test_mmsa_gets_values_of_a_regression_and_half_the_bytes(store: FeatureStore, tmp_path: Path) -> None:
    export(store, tmp_path / "out", ExportConfig("mmsa", task="arousal", float16=True, share=True,
                                                 i_have_permission="Doe"))
    part = read_mmsa(tmp_path / "out")["train"]
    assert "classification_labels" not in part and part["text"].dtype == np.float16 and set(part["raw_text"]) == {""}
    np.testing.assert_array_equal(part["regression_labels"], store.labels("arousal")[:24])


def test_mmsa_cuts_what_is_far_longer_than_the_rest(tmp_path: Path) -> None:
    clips = [Clip(f"c{index}", split=("train", "train", "dev", "test")[index % 4], labels={"emotion": "glad"})
             for index in range(80)]
    lengths = [60 if index == 2 else 2 + index % 2 for index in range(80)]
    path = write_store(tmp_path / "s.h5", corpus=OPEN, clips=clips, features={
        name: FeatureData(modality, (1,), {}, {clip.clip_id: rows_of(*range(1, length + 1))
                                               for clip, length in zip(clips, lengths, strict=True)})
        for name, modality in (("words", "text"), ("sound", "audio"), ("picture", "video"))})
    written = export(FeatureStore(path), tmp_path / "out", ExportConfig("mmsa", task="emotion"))
    part = read_mmsa(tmp_path / "out")["valid"]
    assert part["audio"].shape == (20, 4, 1)    # train has as many clips of 2 rows as of 3: 2.5 + 3 · 0.5
    assert part["audio"][0, :, 0].tolist() == [1, 2, 3, 4] and part["audio_lengths"][:2] == [4, 2]
    assert any("1 clips are cut" in note for note in written.notes)


@pytest.mark.parametrize(("config", "message"), [
    (ExportConfig("mmsa"), "MMSA learns one task, and .* has emotion, arousal; choose one with --task"),
    (ExportConfig("mmsa", task="mood"), "no task 'mood'"),
    (ExportConfig("mmsa", task="emotion", splits=("train", "dev")), "no clip of test has a label of emotion"),
    (ExportConfig("mmsa", task="emotion", features=("text_bert", "face_r3d18")), "gives no audio"),
    (ExportConfig("npz", task="emotion"), "--task is for --format mmsa"),
    (ExportConfig("npz", features=("text_bart",)), "no feature 'text_bart'"),
    (ExportConfig("npz", splits=("train", "tset")), "no clip of split 'tset', only of dev, test, train"),
    (ExportConfig("npx"), "no format named 'npx'; did you mean 'np"),
    (ExportConfig("npz", i_have_permission="Ann"), "--i-have-permission is for --share"),
    (ExportConfig("npz", share=True, i_have_permission=" "), "--i-have-permission is empty"),
    (ExportConfig("npz", share=True), r"the terms of made-up \(unknown\) do not allow"),
])
def test_what_cannot_be_is_explained(store: FeatureStore, tmp_path: Path, config: ExportConfig, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        export(store, tmp_path / "out", config)
    assert list(tmp_path.iterdir()) == []


def test_mmsa_takes_one_feature_a_modality_and_needs_labels(tmp_path: Path) -> None:
    features = {"one": FeatureData("text", (1,), {}, {"a": rows_of(1)}),
                "two": FeatureData("text", (1,), {}, {"a": rows_of(1)}),
                "pose": FeatureData("pose", (1,), {}, {"a": rows_of(1)})}
    store = FeatureStore(write_store(tmp_path / "s.h5", corpus=OPEN, clips=[Clip("a")], features=features))
    with pytest.raises(UsageError, match="one and two would both be MMSA's text"):
        export(store, tmp_path / "out", ExportConfig("mmsa", task="emotion", features=("one", "two")))
    with pytest.raises(UsageError, match="pose is of modality 'pose'; MMSA reads text, audio and video"):
        export(store, tmp_path / "out", ExportConfig("mmsa", task="emotion", features=("pose",)))
    bare = FeatureStore(write_store(tmp_path / "t.h5", corpus=Corpus("bare"), clips=[Clip("a")], features=features))
    with pytest.raises(StoreError, match="has no labels; MMSA reads labelled clips only"):
        export(bare, tmp_path / "out", ExportConfig("mmsa"))


def test_a_store_with_nothing_in_it_is_an_error(tmp_path: Path) -> None:
    bare = write_store(tmp_path / "s.h5", corpus=OPEN, clips=[], features={})
    with pytest.raises(StoreError, match="has no feature to export; add one"):
        export(FeatureStore(bare), tmp_path / "out")
    bare = write_store(tmp_path / "t.h5", corpus=OPEN, clips=[], features={"mine": FeatureData("text", (1,), {})})
    with pytest.raises(StoreError, match="has no clips"):
        export(FeatureStore(bare), tmp_path / "out")


@pytest.mark.parametrize("format", WRITERS)
def test_small_blocks_and_a_second_time_give_the_same_bytes(store: FeatureStore, tmp_path: Path, format: str,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    config = ExportConfig(format, task="emotion" if format == "mmsa" else None)
    reports: list[tuple[int, int]] = []
    export(store, tmp_path / "one", config, progress=lambda done, total: reports.append((done, total)))
    assert reports[-1][0] == reports[-1][1] > 0
    export(store, tmp_path / "again", config)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "again")
    if format not in ("parquet", "huggingface"):    # their row groups are the blocks
        monkeypatch.setattr(selection, "BLOCK_BYTES", 1)
        export(store, tmp_path / "blocks", config)
        assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "blocks")


def test_some_splits_and_features_are_cut_out(tmp_path: Path) -> None:
    clips = make_clips(SIZES)
    mixed = [clips[(7 * index) % len(clips)] for index in range(len(clips))]
    store = FeatureStore(make_store(tmp_path / "s.h5", clips=mixed))
    export(store, tmp_path / "out", ExportConfig(splits=("dev", "test"), features=("text_bert",)))
    assert not (tmp_path / "out/face_r3d18.npz").exists()
    with np.load(tmp_path / "out/text_bert.npz") as found:
        ids, offsets = found["clip_ids"].tolist(), found["offsets"]
        assert ids == [clip.clip_id for clip in mixed if clip.split != "train"]
        for index, clip_id in enumerate(ids):
            cell = store.read(clip_id, "text_bert")
            np.testing.assert_array_equal(found["values"][offsets[index]:offsets[index + 1]], cell.values)
            np.testing.assert_array_equal(found["times"][offsets[index]:offsets[index + 1]], cell.times)
    assert json.loads((tmp_path / "out/export.json").read_text())["splits"] == {"dev": 12, "test": 12}


@pytest.mark.parametrize("format", ["npz", "parquet", "safetensors", "huggingface"])
def test_float16_halves_the_numbers(store: FeatureStore, tmp_path: Path, format: str) -> None:
    export(store, tmp_path / "out", ExportConfig(format, float16=True))
    half = store.array("text_bert").astype(np.float16)
    if format == "npz":
        found = np.load(tmp_path / "out/text_bert.npz")["values"]
    elif format == "safetensors":
        with safe_open(tmp_path / "out" / tensors.FILE_NAME, "numpy") as file:
            found = file.get_tensor("text_bert.values")
            assert file.get_tensor("text_bert.times").dtype == np.float32
    elif format == "huggingface":
        tables = [parquet.read_table(tmp_path / f"out/data/{name}-00000-of-00001.parquet")["text_bert"]
                  for name in ("train", "validation", "test")]
        found = np.asarray([row for table in tables for clip in table.to_pylist() for row in clip], np.float16)
        assert all(str(table.type.value_type.value_type) == "halffloat" for table in tables)
        assert "float16" in (tmp_path / "out/README.md").read_text()
    else:
        found = pd.read_parquet(tmp_path / "out/text_bert/pooled.parquet")["f0"].to_numpy()
        half = np.asarray([store.cell(place, "text_bert").values[:, 0].mean() if length else np.nan for place, length
                           in enumerate(np.diff(store.offsets("text_bert")))], np.float16)
        np.testing.assert_allclose(found, half, rtol=1e-3)      # sums in another order may round elsewhere
        half = found
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, half)


def test_numbers_that_float16_cannot_hold_are_counted_and_refused(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.h5", corpus=OPEN, clips=[Clip("a")], features={
        "loud": FeatureData("audio", (1,), {}, {"a": rows_of(65504, 70000, -1e6)}),
        "quiet": FeatureData("audio", (1,), {}, {"a": rows_of(65504)})})
    with pytest.raises(StoreError, match="2 numbers of loud are larger than float16 holds"):
        export(FeatureStore(path), tmp_path / "out", ExportConfig(float16=True))
    export(FeatureStore(path), tmp_path / "out", ExportConfig(float16=True, features=("quiet",)))
    assert np.load(tmp_path / "out/quiet.npz")["values"].tolist() == [[65504]]


@pytest.mark.parametrize("format", ["npz", "npy", "parquet", "safetensors", "huggingface"])
def test_what_is_shared_names_and_shows_nobody(tmp_path: Path, format: str) -> None:
    store = people_store(tmp_path / "s.h5")
    written = export(store, tmp_path / "shared", ExportConfig(format, share=True))
    assert written.rows == {"text_bert": 2}
    assert [note.split(" is left out")[0] for note in written.notes] == ["crops", "face_identity@small", "mine"]
    content = b"".join(bytes_of(tmp_path / "shared").values())
    for secret in (b"Anna.", b"/study", b"anna.mp4", b"Users"):
        assert secret not in content
    assert b"train/anna" in content
    record = json.loads((tmp_path / "shared/export.json").read_text())
    assert record["share"] and record["features"]["text_bert"]["recipe"]["settings"] == {
        "model": "bert", "cache": "bert", "layers": ["last"]}
    terms = (tmp_path / "shared/TERMS.txt").read_text()
    assert "non-commercial use only" in terms and "https://example.org/terms" in terms and "Doe, 2020" in terms
    own = export(store, tmp_path / "own", ExportConfig(format))
    assert len(own.rows) == (3 if format == "parquet" else 4) and b"Anna." in b"".join(
        bytes_of(tmp_path / "own").values())


def test_a_private_feature_that_is_asked_for_by_name_is_refused(tmp_path: Path) -> None:
    store = people_store(tmp_path / "s.h5")
    for name, kind in (("crops", "pixels"), ("face_identity@small", "identities"), ("mine", "waveforms")):
        with pytest.raises(UsageError, match=f"passes on no {kind}, and {name} holds them"):
            export(store, tmp_path / "out", ExportConfig(share=True, features=(name,)))


def test_a_permission_is_written_into_what_is_shared(tmp_path: Path) -> None:
    store = people_store(tmp_path / "s.h5", replace(OPEN, redistribute="no"))
    with pytest.raises(UsageError, match="--i-have-permission 'WHO, WHEN, FOR WHAT'"):
        export(store, tmp_path / "out", ExportConfig(share=True))
    export(store, tmp_path / "out", ExportConfig(share=True, i_have_permission="Prof. Doe, 1 May, course"))
    assert json.loads((tmp_path / "out/export.json").read_text())["permission"] == "Prof. Doe, 1 May, course"
    assert "Prof. Doe, 1 May, course" in (tmp_path / "out/TERMS.txt").read_text()


def test_the_record_says_what_was_exported(store: FeatureStore, tmp_path: Path) -> None:
    export(store, tmp_path / "out")
    record = json.loads((tmp_path / "out/export.json").read_text())
    assert record["format"] == "npz" and record["store"]["name"] == "store.h5" and record["clips"] == 48
    assert record["corpus"]["redistribute"] == "no" and record["corpus"]["tasks"][0]["classes"] == list(CLASSES)
    for feature, found in record["features"].items():
        assert found["digest"] == store.digest(feature) and found["recipe"] == store.recipe(feature)
        assert found["rows"] == len(store.array(feature)) and found["dtype"] == "float32"


def test_a_folder_with_something_in_it_stays_as_it_is(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    export(store, tmp_path / "empty")
    before = bytes_of(tmp_path / "empty")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("empty", "file", "link"):
        with pytest.raises(StoreError, match=f"{name} is there already; an export is a new folder"):
            export(store, tmp_path / name, ExportConfig("npy"))
    assert bytes_of(tmp_path / "empty") == before and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("format", WRITERS)
def test_a_killed_export_leaves_nothing_under_its_name(store: FeatureStore, tmp_path: Path, format: str) -> None:
    task = "emotion" if format == "mmsa" else None
    script = (f"import os, signal; from pathlib import Path; from pipeline.store import FeatureStore;"
              f"from pipeline.exporting import ExportConfig, export;"
              f"export(FeatureStore({str(store.path)!r}), Path({str(tmp_path / 'out')!r}),"
              f" ExportConfig({format!r}, task={task!r}),"
              f" progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))")
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    export(store, tmp_path / "out", ExportConfig(format, task=task))
    assert (tmp_path / "out/export.json").exists()


@pytest.mark.parametrize("format", WRITERS)
def test_a_full_disk_is_one_clear_line(store: FeatureStore, tmp_path: Path, format: str) -> None:
    arguments = ["export", str(store.path), "--format", format, "--out", str(tmp_path / "out"),
                 *(["--task", "emotion"] if format == "mmsa" else [])]
    script = ("import resource, sys; from pipeline.cli import main; import pipeline.exporting;"
              f"resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)); sys.exit(main({arguments!r}))")
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "", done.stderr
    assert done.stderr.startswith(f"Error: cannot write {tmp_path / 'out'}: ") and "free space" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_clear_line(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write .*file/out"):
        export(store, tmp_path / "file" / "out")


@pytest.mark.parametrize("format", WRITERS)
def test_hostile_names_stay_inside_the_export(tmp_path: Path, format: str) -> None:
    names = ("../../up", "/etc/passwd", 'a,"b",c', "=cmd|' /C calc'!A0", "@x", "<script>")
    clips = [Clip(f"{split}/{name}" if index else name, text=f"-{name}\nsecond \"line\"", speaker=name, split=split,
                  labels={"emotion": "glad"}) for split in SIZES for index, name in enumerate(names) if index]
    store = FeatureStore(make_store(tmp_path / "in/s.h5", clips=clips))
    export(store, tmp_path / "in/out", ExportConfig(format, task="emotion" if format == "mmsa" else None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["out", "s.h5"]
    if (tmp_path / "in/out/clips.csv").exists():
        with (tmp_path / "in/out/clips.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["clip_id"] for row in rows] == [clip.clip_id for clip in clips]
        assert [row["text"] for row in rows] == [clip.text for clip in clips]


def test_file_names_that_are_not_utf_8_are_written_readably(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.h5", corpus=OPEN, clips=[Clip("a", Path("clip\udcff.mp4"))],
                       features={"mine": FeatureData("audio", (1,), {}, {"a": rows_of(1)})})
    for format in ("npz", "parquet", "huggingface"):
        export(FeatureStore(path), tmp_path / format, ExportConfig(format))
    assert "clip\\udcff.mp4" in (tmp_path / "npz/clips.csv").read_text()


@pytest.mark.parametrize("name", ["my feature", "a\\b", "C:x", "*"])
def test_a_feature_that_cannot_name_a_file_is_refused(tmp_path: Path, name: str) -> None:
    path = write_store(tmp_path / "s.h5", corpus=OPEN, clips=[Clip("a")], features={
        name: FeatureData("audio", (1,), {}), "whole": FeatureData("audio", (1,), {}, {"a": rows_of(1)})})
    with pytest.raises(StoreError, match="cannot be the name of a file"):
        export(FeatureStore(path), tmp_path / "out")


def test_rows_without_numbers_are_refused(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.h5", corpus=OPEN, clips=[Clip("a")], features={
        "none": FeatureData("audio", (0,), {})})
    with pytest.raises(StoreError, match=r"rows of shape \(0,\), which hold no numbers"):
        export(FeatureStore(path), tmp_path / "out")


@pytest.mark.parametrize("format", ["parquet", "huggingface"])
def test_without_pyarrow_the_message_says_how_to_get_it(store: FeatureStore, tmp_path: Path, format: str,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match="needs pyarrow, .* python -m pip install 'pyarrow>=15'"):
        export(store, tmp_path / "out", ExportConfig(format))
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_and_says_where(store: FeatureStore, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new/out"
    arguments = ["export", str(store.path), "--out", str(out)]
    assert main([*arguments, "--format", "npy", "--features", "text_bert", "--splits", "dev,test", "--float16"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n" and "24 clips" in captured.err and "text_bert" in captured.err
    assert np.load(out / "text_bert/values.npy").dtype == np.float16
    assert main([*arguments, "--format", "npz"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main([*arguments[:2], "--out", str(tmp_path / "m"), "--format", "mmsa", "--task", "emotion"]) == 0
    assert "16 clips" not in capsys.readouterr().out and len(read_mmsa(tmp_path / "m")["train"]["id"]) == 22
    assert main([*arguments[:2], "--out", str(tmp_path / "s"), "--format", "npz", "--share"]) == 2
    assert "do not allow" in capsys.readouterr().err and not (tmp_path / "s").exists()


def test_shards_that_are_not_packed_are_exported_too(tmp_path: Path) -> None:
    clips = make_clips(SIZES)
    whole = make_store(tmp_path / "whole.h5", clips=clips, features=["text_bert"])
    make_store(tmp_path / "part.h5.shards/1.h5", clips=clips, features=["text_bert"])
    for name in ("whole", "part"):
        assert main(["export", str(tmp_path / f"{name}.h5"), "--format", "npz", "--out", str(tmp_path / name)]) == 0
    assert not (tmp_path / "part.h5").exists() and whole.exists()
    assert bytes_of(tmp_path / "part")["text_bert.npz"] == bytes_of(tmp_path / "whole")["text_bert.npz"]


def test_an_export_of_identities_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    store = FeatureStore(make_identities(tmp_path / "people.h5", [["anna", "ben"], ["anna"]]))
    for features, mode in ((("face_identity", "faces"), 0o600), (("faces",), 0o644)):
        out = tmp_path / features[0]
        export(store, out, ExportConfig(format="npz", features=features))
        assert {path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()} == {mode}
    assert (tmp_path / "face_identity").stat().st_mode & 0o777 == 0o700
