"""EmoryNLP: the published form, names and scenes, and how it is kept apart from MELD."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import Dataset
from pipeline.datasets.emorynlp import EmoryNlp
from pipeline.errors import DatasetError, StoreError
from pipeline.joined import JoinedStores
from pipeline.label_maps import shipped_maps
from pipeline.storage.packing import write_store
from pipeline.store import FeatureStore
from tests.datasets.test_meld import row, touch, write_csv

HEADER = ("Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode", "Start_Time", "End_Time")


def emory_row(scene: int, utterance: int, **changes: str) -> tuple[str, ...]:
    values = dict(zip(HEADER, ("Oh, yeah!", "['Monica Geller']", "Joyful", str(scene), str(utterance), "1", "2",
                               "00:00:02.877", "00:00:07.548")))
    return tuple((values | changes).values())


def emory_tree(name: str, root: Path) -> Dataset:
    """Three splits of two scenes each."""
    for split, file_name in EmoryNlp.annotations.items():
        write_csv(root / file_name, [emory_row(1, 1), emory_row(1, 2, Emotion="Scared"), emory_row(2, 1)], HEADER)
        touch(root / f"emorynlp_{split}_splits", "sea1_ep2_sc1_utt1.mp4", "sea1_ep2_sc1_utt2.mp4",
              "sea1_ep2_sc2_utt1.mp4")
    return EmoryNlp(EmoryNlp.Config(root=root))


def read(root: Path, *rows: tuple[str, ...], **settings: object) -> EmoryNlp:
    write_csv(root / "emorynlp_dev_final.csv", rows, HEADER)
    return EmoryNlp(EmoryNlp.Config(root=root, splits=("dev",), **settings))  # type: ignore[arg-type]


def test_a_row_of_the_published_form_is_read(tmp_path: Path) -> None:
    clip, = read(tmp_path, emory_row(6, 3, Utterance="No. No.")).clips()
    assert (clip.clip_id, clip.dialogue, clip.group, clip.turn) == ("dev/sea1_ep2_sc6_utt3", "dev/sea1_ep2_sc6",
                                                                    "dev/sea1_ep2_sc6", 3)
    assert (clip.text, clip.speaker, dict(clip.labels)) == ("No. No.", "Monica", {"emotion": "joyful"})


def test_names_are_those_of_meld_unless_asked_otherwise(tmp_path: Path) -> None:
    rows = [emory_row(1, 1), emory_row(1, 2, Speaker="['#ALL#']"), emory_row(1, 3, Speaker="['Carol Willick']"),
            emory_row(1, 4, Speaker="['Joey Tribbiani', 'Chandler Bing']")]
    assert [clip.speaker for clip in read(tmp_path, *rows).clips()] == ["Monica", "All", "Carol Willick",
                                                                        "Chandler and Joey"]
    published = read(tmp_path, *rows[:2], speakers="as_published")
    assert [clip.speaker for clip in published.clips()] == ["Monica Geller", "#ALL#"]


def test_ids_that_come_again_are_told_apart(tmp_path: Path) -> None:
    reader = read(tmp_path, emory_row(1, 1), emory_row(1, 1), emory_row(1, 1), emory_row(1, 2))
    assert [clip.clip_id for clip in reader.clips()] == [f"dev/sea1_ep2_sc1_utt{number}" for number in
                                                         ("1", "1_2", "1_3", "2")]
    assert reader.notes[0] == "dev: 2 rows with ids that another row has, told apart by a number"


def test_spans_are_times_in_the_episode(tmp_path: Path) -> None:
    spans = read(tmp_path, emory_row(1, 1)).recorded_spans()
    assert spans == {"dev/sea1_ep2_sc1_utt1": ("season 1, episode 2", 2.877, 7.548)}


def test_scenes_that_meld_has_too_are_left_out(tmp_path: Path) -> None:
    write_csv(tmp_path / "meld" / "train_sent_emo.csv", [
        row(0, 0, Season="1", Episode="2", StartTime="00:00:07,000", EndTime="00:00:09,000"),
        row(0, 1, Season="1", Episode="3", StartTime="00:01:00,000", EndTime="00:01:09,000")])
    rows = [emory_row(1, 1), emory_row(1, 2, Start_Time="00:00:01.0", End_Time="00:00:02.0"),
            emory_row(2, 1, Start_Time="00:01:00.0", End_Time="00:01:02.0"),
            emory_row(1, 1, Episode="3", Start_Time="00:01:01.0", End_Time="00:01:02.0"), emory_row(1, 1, Episode="4")]
    reader = read(tmp_path, *rows, apart_from=tmp_path / "meld")
    assert [clip.clip_id for clip in reader.clips()] == ["dev/sea1_ep2_sc2_utt1", "dev/sea1_ep4_sc1_utt1"]
    assert reader.notes[0] == "dev: 2 of 4 scenes, with 3 of 5 clips, are left out because MELD has them too"


def test_a_folder_without_melds_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none of train_sent_emo.csv, .* in .*expected the folder of MELD's CSVs"):
        list(read(tmp_path, emory_row(1, 1), apart_from=tmp_path).clips())


def test_a_store_of_it_is_never_learnt_from_beside_one_of_meld(tmp_path: Path) -> None:
    from pipeline.datasets.meld import Meld
    write_csv(tmp_path / "dev_sent_emo.csv", [row(0, 0)])
    stores = []
    for reader in (Meld(Meld.Config(root=tmp_path, splits=("dev",))), read(tmp_path, emory_row(1, 1))):
        path = tmp_path / f"{reader.corpus.name}.h5"
        write_store(path, corpus=reader.corpus, clips=tuple(reader.clips()), features={})
        stores.append(FeatureStore(path))
    with pytest.raises(StoreError, match="task 'emotion' has classes neutral, surprise.* and neutral, joyful"):
        JoinedStores(stores)


def test_its_classes_are_those_that_the_shipped_maps_know() -> None:
    assert set(shipped_maps()["emorynlp:meld"].answers) == set(EmoryNlp().corpus.task("emotion").classes)


def test_published_counts_are_those_of_the_paper() -> None:
    assert np.sum([split.num_clips for split in EmoryNlp.published.values()]) == 9489
