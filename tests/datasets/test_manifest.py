"""The manifest: what each column means, how labels become tasks, and every way a CSV can be wrong."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipeline.clip import Clip, Task
from pipeline.datasets.manifest import Manifest
from pipeline.errors import DatasetError, UsageError


def manifest(folder: Path, text: str | bytes, *, name: str = "clips.csv", root: Path | None = None,
             splits: tuple[str, ...] = (), allow_outside: bool = False) -> Manifest:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Manifest(Manifest.Config(root=root, splits=splits, manifest=path, allow_outside=allow_outside))


def clips(folder: Path, text: str | bytes) -> list[Clip]:
    return list(manifest(folder, text).clips())


def tasks(folder: Path, text: str) -> tuple[Task, ...]:
    return manifest(folder, text).corpus.tasks


def test_every_column_comes_to_its_place(tmp_path: Path) -> None:
    reader = manifest(tmp_path, "path,id,start,end,text,speaker,dialogue,turn,split,group,emotion\n"
                                "a/b.mp4,one,1.5,3,\" Oh, no \",Ann,d1,4,dev,g1,joy\n")
    assert list(reader.clips()) == [
        Clip("dev/one", tmp_path / "a" / "b.mp4", 1.5, 3.0, " Oh, no ", "Ann", "d1", 4, "dev", "g1",
             {"emotion": "joy"})]
    assert (reader.corpus.name, reader.corpus.redistribute) == ("manifest", "no")
    assert reader.corpus.licence == "the user's own"


def test_a_path_alone_is_enough(tmp_path: Path) -> None:
    clip, = clips(tmp_path, "path\nspeech/talk.v2.mp4\n")
    assert clip == Clip("all/speech/talk.v2", tmp_path / "speech" / "talk.v2.mp4")


def test_a_group_is_the_dialogue_where_none_is_given(tmp_path: Path) -> None:
    found = clips(tmp_path, "path,dialogue,group\na.wav,d1,\nb.wav,d1,g\nc.wav,,\n")
    assert [clip.group for clip in found] == ["d1", "g", ""]


def test_an_empty_path_with_text_is_a_clip_of_text_alone(tmp_path: Path) -> None:
    found = clips(tmp_path, "path,text,id\n,Hello,\n,Bye,last\n")
    assert [(clip.clip_id, clip.source, clip.text) for clip in found] == [
        ("all/row2", None, "Hello"), ("all/last", None, "Bye")]


def test_blank_rows_are_passed_over_and_counted(tmp_path: Path) -> None:
    assert [clip.clip_id for clip in clips(tmp_path, "path,text\n,Hi\n,\t\n,Bye\n ,\n")] == ["all/row2", "all/row4"]


@pytest.mark.parametrize("text", [
    b"\xef\xbb\xbfpath,start,valence\r\na.mp4,0.5,0.25\r\n", b"path;start;valence\na.mp4;0,5;0,25\n",
    b"path\tstart\tvalence\ra.mp4\t0.5\t0.25\r", b'"path","start","valence"\n"a.mp4","0.5","0.25"\n\n,,\n'],
    ids=["comma, with a byte order mark", "semicolon, with decimal commas", "tab", "quoted, with blank rows"])
def test_what_spreadsheets_write_is_read(tmp_path: Path, text: bytes) -> None:
    clip, = clips(tmp_path, text)
    assert (clip.clip_id, clip.start_seconds, clip.labels) == ("all/a", 0.5, {"valence": 0.25})


@pytest.mark.parametrize(("column", "task"), [
    ("mood\nsad\njoy\nsad\n", Task("mood", ("joy", "sad"))),
    ("grade\n10\n9\n1\n", Task("grade", ("1", "9", "10"))),
    ("valence\n0.5\n3\n-1\n", Task("valence", value_range=(-1.0, 3.0))),
    ("level\n1.0\n2.0\n1.0\n", Task("level", ("1.0", "2.0"))),
    ("size\n0.5\nbig\n0.5\n", Task("size", ("0.5", "big"))),
    ("level:regression\n1\n2\n4\n", Task("level", value_range=(1.0, 4.0))),
    ("valence:regression:1:5\n2\n3.5\n4\n", Task("valence", value_range=(1.0, 5.0))),
    ("dose:class\n0.5\n10.5\n2.5\n", Task("dose", ("0.5", "2.5", "10.5"))),
], ids=lambda value: value.split("\n")[0] if isinstance(value, str) else "")
def test_a_label_column_becomes_the_task_that_its_values_or_header_say(tmp_path: Path, column: str, task: Task) -> None:
    header, *values = column.splitlines()
    rows = "".join(f"{place}.wav,{value}\n" for place, value in enumerate(values))
    assert tasks(tmp_path, f"path,{header}\n{rows}") == (task,)


def test_an_empty_label_is_missing(tmp_path: Path) -> None:
    found = clips(tmp_path, "path,mood,valence\na.wav,,0.5\nb.wav,joy,\n")
    assert [dict(clip.labels) for clip in found] == [{"valence": 0.5}, {"mood": "joy"}]


def test_a_column_without_labels_is_no_task_and_noted(tmp_path: Path) -> None:
    reader = manifest(tmp_path, "path,mood\na.wav,\n")
    assert reader.corpus.tasks == () and len(list(reader.clips())) == 1
    assert "column 'mood' is empty and gives no task" in reader.notes


def test_a_column_that_is_hardly_a_label_is_noted_and_can_be_ignored(tmp_path: Path) -> None:
    rows = "".join(f"{place}.wav,http://{place}\n" for place in range(30))
    reader = manifest(tmp_path, f"path,url\n{rows}")
    list(reader.clips())
    assert any("'url' has 30 classes in 30 labels; if it is no label, write url:ignore" in note
               for note in reader.notes)
    assert tasks(tmp_path, f"path,url:ignore\n{rows}") == ()


def test_classes_do_not_depend_on_the_splits_asked_for(tmp_path: Path) -> None:
    text = "path,split,mood\na.wav,train,joy\nb.wav,test,sad\n"
    part = manifest(tmp_path, text, splits=("train",))
    assert [clip.clip_id for clip in part.clips()] == ["train/a"]
    assert part.corpus == manifest(tmp_path, text).corpus


def test_a_split_that_no_row_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split of the manifest named 'tran'; did you mean 'train'"):
        list(manifest(tmp_path, "path,split\na.wav,train\n", splits=("tran",)).clips())


def test_files_that_do_not_exist_are_counted_and_still_given(tmp_path: Path) -> None:
    (tmp_path / "here.wav").touch()
    reader = manifest(tmp_path, "path,text\nhere.wav,\ngone.wav,\n,Hi\n")
    assert len(list(reader.clips())) == 3
    assert reader.notes == [f"1 of 3 clips have no media file: {tmp_path / 'gone.wav'} (row 3)"]


def test_equal_ids_in_two_splits_are_two_clips(tmp_path: Path) -> None:
    found = clips(tmp_path, "path,id,split\na.wav,x,train\nb.wav,x,test\n")
    assert [clip.clip_id for clip in found] == ["train/x", "test/x"]


def test_stretches_of_one_file_with_ids_are_clips(tmp_path: Path) -> None:
    found = clips(tmp_path, "path,id,start,end\ntalk.wav,a,0,2\ntalk.wav,b,2,\n")
    assert [(clip.start_seconds, clip.stop_seconds) for clip in found] == [(0.0, 2.0), (2.0, None)]


def test_absolute_paths_are_the_users_own(tmp_path: Path) -> None:
    inside, outside = tmp_path / "home" / "clips" / "a.wav", tmp_path / "else" / "b.wav"
    inside.parent.mkdir(parents=True)
    found = clips(tmp_path / "home", f"path\n{inside}\n{outside}\n")
    assert [(clip.clip_id, clip.source) for clip in found] == [("all/clips/a", inside), ("all/b", outside)]


def test_links_directly_under_the_root_are_the_users_own(tmp_path: Path) -> None:
    home, far = tmp_path / "home", tmp_path / "far"
    home.mkdir()
    (far / "deep").mkdir(parents=True)
    (far / "deep" / "a.wav").touch()
    (home / "videos").symlink_to(far)
    (home / "b.wav").symlink_to(far / "deep" / "a.wav")
    found = clips(home, "path\nvideos/deep/a.wav\nb.wav\n")
    assert [clip.clip_id for clip in found] == ["all/videos/deep/a", "all/b"]
    assert all(clip.source and clip.source.is_file() for clip in found)


@pytest.mark.parametrize("path", ["../far/a.wav", "clips/../../far/a.wav", "clips/link/a.wav", "videos/link/a.wav"])
def test_a_relative_path_that_leaves_the_root_needs_permission(tmp_path: Path, path: str) -> None:
    home = tmp_path / "home"
    for folder in ("home/clips", "far", "videos"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "far" / "a.wav").touch()
    (home / "clips" / "link").symlink_to(tmp_path / "far")
    (home / "videos").symlink_to(tmp_path / "videos")
    (tmp_path / "videos" / "link").symlink_to(tmp_path / "far")
    with pytest.raises(DatasetError, match=r"clips.csv, row 2: path '.*' leaves .*--allow-outside"):
        clips(home, f"path\n{path}\n")
    clip, = manifest(home, f"path\n{path}\n", allow_outside=True).clips()
    assert clip.source is not None and clip.source.is_file()


def test_a_file_outside_is_called_by_its_name(tmp_path: Path) -> None:
    clip, = manifest(tmp_path, "path\n../far/a.wav\n", allow_outside=True).clips()
    assert (clip.clip_id, clip.source) == ("all/a", tmp_path / "../far/a.wav")


def test_dots_that_stay_inside_are_fine(tmp_path: Path) -> None:
    clip, = clips(tmp_path, "path\n./x/../a.wav\n")
    assert (clip.clip_id, clip.source) == ("all/a", tmp_path / "a.wav")


def test_a_root_of_its_own_replaces_the_folder_of_the_csv(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    clip, = manifest(tmp_path, "path\na.wav\n", root=tmp_path / "media").clips()
    assert clip.source == tmp_path / "media" / "a.wav"


def test_the_csv_may_lie_in_the_folder_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clip, = manifest(Path(), "path\nsub/a.wav\n").clips()
    assert (clip.clip_id, clip.source) == ("all/sub/a", Path("sub/a.wav"))


def test_no_manifest_says_what_to_give() -> None:
    reader = Manifest()
    with pytest.raises(UsageError, match="--dataset manifest needs --manifest FILE"):
        list(reader.clips())
    with pytest.raises(UsageError, match="--dataset manifest needs --manifest FILE"):
        print(reader.corpus)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no manifest .*gone.csv; expected a CSV with a column 'path'"):
        list(Manifest(Manifest.Config(manifest=tmp_path / "gone.csv")).clips())
    with pytest.raises(DatasetError, match="is a folder; expected a CSV file"):
        list(Manifest(Manifest.Config(manifest=tmp_path)).clips())


@pytest.mark.parametrize(("text", "message"), [
    (b"", "is empty; expected a header and at least one row"),
    (b"path,text\n", "is empty; expected a header and at least one row"),
    (b"file,text\na.wav,Hi\n", "has no column 'path'; its columns are: file, text"),
    (b"path,Text\na.wav,Hi\n", "has a column 'Text'; expected it to be written 'text'"),
    (b",path\n0,a.wav\n", "column 1 has no name"),
    (b"path,mood,mood\na.wav,a,b\n", "has two columns named 'mood'"),
    (b"path,mood,mood:class\na.wav,a,b\n", "has two columns for the task 'mood'"),
    (b"path,mood:clas\na.wav,a\n", "column 'mood:clas'; expected mood:class"),
    (b"path,mood:class:1:2\na.wav,1\n", "column 'mood:class:1:2'; expected mood:class"),
    (b"path,v:regression:1\na.wav,1\n", "column 'v:regression:1'; expected v:class"),
    (b"path,v:regression:low:5\na.wav,1\n", "column 'v:regression:low:5'; expected v:class"),
    (b"path,v:regression:5:1\na.wav,1\n", "the least value first"),
    (b"path,a/b\na.wav,1\n", "column 'a/b' cannot name a task"),
    (b"path,text:class\na.wav,1\n", "column 'text:class' cannot name a task"),
    (b"path,text\na.wav,Hi\nb.wav\n", "row 3 has 1 cells, its header 2"),
    (b"path,text\na.wav,Oh, no\n", "row 2 has 3 cells, its header 2; a cell that holds ',' stands in quotes"),
    (b'path,text\na.wav,Hi\nb.wav,"Oh\nc.wav,Hi\n', "after row 2: unexpected end of data"),
    (b"path,text\na.wav,H\x00i\n", "line 2: a NUL character"),
    (b"path,text\na.wav,Hi\nb.wav,caf\xe9\n", "line 3: byte 0xe9 is not UTF-8; save the file as CSV UTF-8"),
    (b"path,text,id\n,,x\n", "row 2: neither a path nor a text"),
    (b"path,start\na.wav,soon\n", "row 2: start is 'soon'; expected a number from 0"),
    (b"path,start\na.wav,-1\n", "row 2: start is '-1'; expected a number from 0"),
    (b"path,end\na.wav,nan\n", "row 2: end is 'nan'; expected a number from 0"),
    (b"path,end\na.wav,inf\n", "row 2: end is 'inf'; expected a number from 0"),
    (b"path,start,end\na.wav,2,1\n", "row 2: clip all/a: the span 2.0.1.0 s is empty"),
    (b"path,end\na.wav,0\n", "row 2: clip all/a: the span 0.0.0.0 s is empty"),
    (b"path,turn\na.wav,1.5\n", "row 2: turn is 1.5; expected a whole number"),
    (b"path,turn\na.wav,-1\n", "row 2: turn is '-1'; expected a number from 0"),
    (b"path,split\na.wav,train\nb.wav,\n", "row 3: split is ''; expected a name such as train, dev or test"),
    (b"path,split\na.wav,a/b\n", "row 2: split is 'a/b'; expected a name"),
    (b"path,id\na.wav,x\x07y\n", "row 2: id is .x.x07y.; expected at most 500 characters and no control characters"),
    (b'path,text\n"a\nb.wav",Hi\n', r"row 2: path is 'a\\nb.wav'; expected the path of a file"),
    (b"path\n.\n", "row 2: path is '.'; expected the path of a file"),
    (b"path\n..\n", "row 2: path is '..'; expected the path of a file"),
    (b"path,id\na.wav,x\nb.wav,y\nc.wav,x\n", "rows 2 and 4 are both 'all/x'; expected each id once"),
    (b"path\na.wav\nb.wav\na.wav\n", "rows 2 and 4 are both 'a' by their paths; expected an id of its own"),
    (b"path\na.wav\na.mp4\n", "rows 2 and 3 are both 'a' by their paths"),
    (b"path,split\na.wav,train\na.wav,test\n", "rows 2 and 3 are both 'a' by their paths"),
    (b"path,id\na.wav,\nb.wav,a\n", "rows 2 and 3 are both 'all/a'"),
    (b"path,v\na.wav,0.5\nb.wav,nan\n", "row 3: v is 'nan'; expected a number, or an empty cell"),
    (b"path,v\na.wav,0.5\nb.wav,inf\n", "row 3: v is 'inf'; expected a number, or an empty cell"),
    (b"path,v:regression\na.wav,1\nb.wav,high\n", "row 3: v is 'high'; expected a number, or an empty cell"),
    (b"path,v:regression:1:5\na.wav,1\nb.wav,6\n", "row 3: v is '6'; expected a number from 1 to 5"),
])
def test_a_csv_that_makes_no_sense_is_one_clear_error(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        clips(tmp_path, text)
    assert "clips.csv" in str(caught.value)


def test_clips_travel_to_workers(tmp_path: Path) -> None:
    found = clips(tmp_path, "path,mood,v\na.wav,joy,0.5\n")
    assert pickle.loads(pickle.dumps(found)) == found


def test_real_videos_are_found(shared_data: Path, tmp_path: Path) -> None:
    videos = sorted((shared_data / "video").glob("*.*"))
    reader = manifest(tmp_path, "path\n" + "".join(f"{video}\n" for video in videos))
    assert [clip.clip_id for clip in reader.clips()] == [f"all/{video.stem}" for video in videos]
    assert len(videos) > 3 and reader.notes == []
