"""Corpora come whole from a server that fails in every way, into a process that is killed at every moment."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import downloading, downloads
from pipeline.cli import main
from pipeline.datasets.ava import Ava
from pipeline.datasets.meld import Meld
from pipeline.datasets.unitalk import Unitalk
from pipeline.downloading import download, plan_download
from pipeline.downloads import Distribution
from pipeline.errors import DatasetError, FetchError, UsageError
from pipeline.transferring import staging
from pipeline.transferring.fetching import Patience
from pipeline.transferring.staging import alone, staging_folder
from pipeline.transferring.transfer import Downloaded
from tests.datasets.test_unitalk import KINDS, STARTS, VIDEOS, files_of, labels_of, times_of
from tests.distributions import make_tar, make_zip, tiny
from tests.serving import Site, serving

ROOT = Path(__file__).parent.parent
HASTY = Patience(timeout_seconds=10.0, tries=3, pause_seconds=0.01)
NOISE = hashlib.shake_256(b"clips").digest(30_000)  # does not get smaller when packed
CSV = (b"Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
       b"1,Hi.,Ross,joy,positive,0,0,1,1,\"00:00:00,000\",\"00:00:01,000\"\n")
FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


def lfs(content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n".encode()


MELD = {"MELD.Raw.tar.gz": make_tar(
    {f"MELD.Raw/{split}_sent_emo.csv": CSV for split in FOLDERS}
    | {f"MELD.Raw/{split}.tar.gz": make_tar({f"{folder}/dia0_utt0.mp4": split.encode() + NOISE})
       for split, folder in FOLDERS.items()})}
MELD_FILES = {f"{split}_sent_emo.csv": CSV for split in FOLDERS} | {
    f"{folder}/dia0_utt0.mp4": split.encode() + NOISE for split, folder in FOLDERS.items()}
RAVDESS = {"Audio_Speech_Actors_01-24.zip": make_zip({f"Actor_{actor:02d}/03.wav": b"sound" for actor in range(1, 25)})}
RAVDESS |= {f"Video_Speech_Actor_{actor:02d}.zip": make_zip({f"Actor_{actor:02d}/01.mp4": b"%d" % actor})
            for actor in range(1, 25)}
CLIPS = {f"VideoFlash/{number}.flv": b"%d" % number + NOISE[:2000] for number in range(10)}
SOUNDS = {"AudioWAV/1.wav": b"sound"}
TABLES = {"VideoDemographics.csv": b"a", "processedResults/tabulatedVotes.csv": b"b", "LICENSE.txt": b"ODbL"}
CREMAD = {"master.zip": make_zip({f"CREMA-D-master/{name}": content for name, content in (
    TABLES | {"x.R": b"code"} | {name: lfs(content) for name, content in (CLIPS | SOUNDS).items()}).items()})}
CREMAD |= CLIPS | SOUNDS
UNITALK = {f"video_list/{published}.csv": "Link\n" + "\n".join(f"https://x.org/watch?v={video}" for video in videos)
           for published, videos in VIDEOS.items()}
UNITALK |= {f"sub_categories/test_{kind}.csv": video for kind, video in KINDS.items()}
UNITALK |= {f"csv/{published}/{video}.csv": "\n".join(labels_of(video)) + "\n"
            for published, videos in VIDEOS.items() for video in videos}
TALK = {name: text.encode() for name, text in UNITALK.items()}
TALK |= {f"clips_audios/{published}/{video}.zip": make_zip({f"{video}/{video}:{number}.wav": b"" for number in STARTS})
         for published, videos in VIDEOS.items() for video in videos}
TALK |= {f"clips_videos/{published}/{video}.zip": make_zip({
    f"{video}/{video}:{number}/{time:.2f}.jpg": b"x" * 3000 for number in STARTS for time in times_of(number)})
    for published, videos in VIDEOS.items() for video in videos}


def packed_by_bzip2(published: str) -> bytes:
    return bz2.compress(gzip.decompress(make_tar({
        f"somewhere/{published}-activespeaker.csv": "".join(f"{row}\n" for row in (
            f"{published},1,0,0,1,1,NOT_SPEAKING,{published}:1", f"{published},1.04,0,0,1,1,NOT_SPEAKING,{published}:1")
        ).encode(), "somewhere/README": b"x"})))


AVA = {f"ava_activespeaker_{published}_v1.0.tar.bz2": packed_by_bzip2(published) for published in ("train", "val")}
SERVED = {"meld": MELD | {f"{split}_sent_emo.csv": CSV for split in FOLDERS}, "ravdess": RAVDESS, "cremad": CREMAD,
          "unitalk": TALK, "ava": AVA}


def distribution(name: str) -> Distribution:
    return tiny(downloads.find(name), SERVED[name])


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIPELINE_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving({f"/{name}": content for files in SERVED.values() for name, content in files.items()}) as found:
        yield found


def get(name: str, root: Path, site: Site, **options: Any) -> Downloaded:
    return download(plan_download(distribution(name), root, mirror=site.url, **options), patience=HASTY)


def contents(folder: Path) -> dict[str, bytes]:
    """Files of a corpus without the record of its download; nothing may lie beside it."""
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.name != "download.json"}


def record(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "download.json").read_text(encoding="utf-8"))
    return found


def test_meld_comes_in_the_layout_that_its_reader_knows(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "meld"
    done = get("meld", root, site)
    assert contents(root) == MELD_FILES and done.num_files == 6 and len(site.asked) == 1
    dataset = Meld(Meld.Config(root=root))
    assert all(clip.source is not None and clip.source.is_file() for clip in dataset.clips()) and not dataset.notes
    part = record(root)["parts"]["videos"]
    assert part["mirror"] == site.url and part["files"].keys() == MELD_FILES.keys()
    [came] = part["fetched"]
    assert came["url"] == f"{site.url}/MELD.Raw.tar.gz" and came["size"] == len(MELD["MELD.Raw.tar.gz"])
    assert came["digest"] == f"sha256:{hashlib.sha256(MELD['MELD.Raw.tar.gz']).hexdigest()}"
    assert came["digest_from"] == "publisher" and record(root)["terms_accepted"]


def test_parts_join_what_is_there(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "ravdess"
    get("ravdess", root, site, parts=["audio", "video-02"])
    assert len(contents(root)) == 25 and len(site.asked) == 2
    get("ravdess", root, site)
    assert len(contents(root)) == 48 and len(site.asked) == 25
    assert contents(root)["Actor_07/01.mp4"] == b"7" and contents(root)["Actor_07/03.wav"] == b"sound"
    assert len(record(root)["parts"]) == 25


def test_cremad_comes_file_by_file_by_the_digests_of_its_list(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "crema"
    get("cremad", root, site)
    assert contents(root) == TABLES | CLIPS and len(site.asked) == 1 + len(CLIPS)
    fetched = {entry["name"]: entry for entry in record(root)["parts"]["videos"]["fetched"]}
    assert fetched["VideoFlash/3.flv"]["digest"] == f"sha256:{hashlib.sha256(CLIPS['VideoFlash/3.flv']).hexdigest()}"
    assert fetched["master.zip"]["digest_from"] == "first download"
    get("cremad", root, site, parts=["audio"])
    assert contents(root) == TABLES | CLIPS | SOUNDS


def test_unitalk_comes_video_by_video_and_its_pictures_are_listed_beside_them(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "talk"
    done = get("unitalk", root, site)
    dataset = Unitalk(Unitalk.Config(root=root, sub_category="mixed"))
    clips = list(dataset.clips())
    assert dataset.notes == [] and len(clips) == 6 and all(path.is_file() for clip in clips for path in files_of(clip))
    assert done.num_files == len(contents(root))
    parts = record(root)["parts"]
    assert [*parts["pictures-train"]["files"]] == [f"clips_videos/train/{name}.files.csv" for name in VIDEOS["train"]]
    listed = (root / "clips_videos" / "train" / "one.files.csv").read_text().splitlines()
    assert listed[:2] == ["name,bytes", "one/one:1/0.00.jpg,3000"] and len(listed) == 9
    assert not list(root.rglob("*.zip")) and "video_list/val.csv" in [
        entry["name"] for entry in parts["labels"]["fetched"]]
    asked = len(site.asked)
    assert get("unitalk", root, site).num_files == 0 and len(site.asked) == asked
    (root / "clips_videos" / "val" / "4.files.csv").unlink()
    assert get("unitalk", root, site).num_files == 1 + 8
    assert [found["path"] for found in site.asked[asked:]] == ["/video_list/val.csv", "/clips_videos/val/4.zip"]
    assert len(record(root)["parts"]["pictures-test"]["files"]) == len(VIDEOS["val"])
    assert list(dataset.clips()) == clips


def test_a_list_of_videos_that_is_none_is_explained_and_not_kept(site: Site, tmp_path: Path) -> None:
    site.files["/video_list/train.csv"] = b"<html>moved</html>, see there\n"
    with pytest.raises(DatasetError, match="video_list~train.csv, row 1: .* is no id of a video"):
        get("unitalk", tmp_path / "talk", site, parts=["labels"])
    site.files["/video_list/train.csv"] = TALK["video_list/train.csv"]
    get("unitalk", tmp_path / "talk", site, parts=["lists", "labels"])
    assert sorted(contents(tmp_path / "talk")) == sorted(UNITALK)


def test_unitalk_killed_at_any_step_goes_on(site: Site, tmp_path: Path) -> None:
    root, kills = tmp_path / "talk", 0
    for moment in (3, 9, 20, 33, 47, 60):
        process = child("unitalk", root, site, kill_at=moment)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        assert not root.exists() or process.returncode == 0
        get("unitalk", root, site)
        clips = list(Unitalk(Unitalk.Config(root=root)).clips())
        assert len(clips) == 12 and all(path.is_file() for clip in clips for path in files_of(clip))
        shutil.rmtree(root)
    assert kills >= 4


def test_labels_of_ava_are_found_wherever_their_archive_holds_them(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "ava"
    get("ava", root, site)
    assert sorted(contents(root)) == [f"csv/{name}/somewhere/{name}-activespeaker.csv" for name in ("train", "val")]
    assert [clip.clip_id for clip in Ava(Ava.Config(root=root)).clips()] == ["train/train:1", "test/val:1"]


def test_what_is_complete_is_not_fetched_again_and_what_is_missing_is(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "crema"
    get("cremad", root, site)
    asked = len(site.asked)
    assert get("cremad", root, site).num_files == 0 and len(site.asked) == asked
    (root / "VideoFlash" / "7.flv").unlink()
    (root / "VideoFlash" / "8.flv").write_bytes(b"cut")
    assert get("cremad", root, site).num_files == 2
    assert [found["path"] for found in site.asked[asked:]][0] == "/master.zip" and len(site.asked) == asked + 3
    assert contents(root) == TABLES | CLIPS
    assert len(record(root)["parts"]["videos"]["fetched"]) == 1 + len(CLIPS)


def test_a_connection_that_breaks_is_taken_up_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.script += ["cut", "503", ""]
    get("meld", tmp_path / "meld", site)
    assert contents(tmp_path / "meld") == MELD_FILES
    assert site.ranges_asked() == [None, "bytes=1000-", "bytes=1000-"]


def test_what_came_before_a_failure_is_kept_for_the_next_call(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "ravdess"
    site.script += ["", "503", "503", "503"]
    with pytest.raises(FetchError, match="503"):
        get("ravdess", root, site, parts=["audio", "video-01"])
    assert not root.exists()
    get("ravdess", root, site, parts=["audio", "video-01"])
    assert len(contents(root)) == 25
    assert [found["path"].split("_")[0] for found in site.asked].count("/Audio") == 1


def test_a_wrong_byte_and_a_missing_file_are_never_installed(site: Site, tmp_path: Path) -> None:
    good = site.files["/MELD.Raw.tar.gz"]
    site.files["/MELD.Raw.tar.gz"] = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(FetchError, match="SHA-256"):
        get("meld", tmp_path / "meld", site)
    del site.files["/MELD.Raw.tar.gz"]
    with pytest.raises(FetchError, match="404"):
        get("meld", tmp_path / "meld", site)
    assert not (tmp_path / "meld").exists()
    site.files["/MELD.Raw.tar.gz"] = good
    get("meld", tmp_path / "meld", site)
    assert contents(tmp_path / "meld") == MELD_FILES


def test_another_host_is_asked_where_one_fails_and_that_is_said(site: Site, tmp_path: Path) -> None:
    with serving({f"/{name}": content for name, content in TABLES.items()}) as broken:
        real = distribution("cremad")
        index = real.parts[0].archives[0]
        object.__setattr__(index.file, "hosts", (broken.url, site.url))
        for part in real.parts:
            if part.pointers:
                object.__setattr__(part.pointers, "hosts", (broken.url, site.url))
                object.__setattr__(part.pointers.index.file, "hosts", (broken.url, site.url))
        done = download(plan_download(real, tmp_path / "crema"), patience=HASTY)
        assert len(broken.asked) < 1 + len(CLIPS)  # it is not asked for every clip
    assert contents(tmp_path / "crema") == TABLES | CLIPS
    assert len(done.notes) == 1 and broken.url in done.notes[0] and "404" in done.notes[0]


def test_a_file_without_a_published_digest_must_stay_what_it_was(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "meld"
    get("meld", root, site, parts=["annotations"])
    (root / "dev_sent_emo.csv").unlink()
    site.files["/dev_sent_emo.csv"] += b"2"
    with pytest.raises(DatasetError, match="is not the file that came on 20"):
        get("meld", root, site, parts=["annotations"])
    site.files["/dev_sent_emo.csv"] = CSV
    assert get("meld", root, site, parts=["annotations"]).num_files == 1
    assert set(contents(root)) == {f"{split}_sent_emo.csv" for split in FOLDERS}


def test_a_hostile_archive_leaves_nothing(tmp_path: Path) -> None:
    for content, message in ((make_zip({"CREMA-D-master/a.csv": b"1", "../../evil.csv": b"2"}), "leads out"),
                             (b"<html>not found</html>", "damaged or not an archive"),
                             (make_zip({"CREMA-D-master/a.csv": b"1"}), "came without VideoDemographics.csv")):
        root = tmp_path / "deep" / "crema"
        with serving({"/master.zip": content}) as site, pytest.raises(DatasetError, match=message):
            get("cremad", root, site, parts=["tables"])
        assert not root.exists() and not list(tmp_path.rglob("evil*"))
    shutil.rmtree(tmp_path / "deep")
    with serving({f"/{name}": content for name, content in CREMAD.items()}) as site:
        get("cremad", root, site, parts=["tables"])
    assert contents(root) == TABLES


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(site: Site, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000))
    with pytest.raises(DatasetError, match="needs about 0.0 GB"):
        get("meld", tmp_path / "meld", site)
    assert not site.asked


CHILD = """
import os, resource, signal, sys
from pathlib import Path
from pipeline.transferring import staging
from pipeline.transferring import transfer
from pipeline.downloading import download, plan_download
from tests.test_downloading import HASTY, distribution

name, root, url, kill_at, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
moment = 0
def dying(function):
    def called(*arguments, **options):
        global moment
        moment += 1
        if moment == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return called
for module, names in ((os, ("replace", "fsync")), (transfer, ("unpack", "pointers")), (staging.shutil, ("rmtree",))):
    for function in names:
        setattr(module, function, dying(getattr(module, function)))
download(plan_download(distribution(name), Path(root), mirror=url), patience=HASTY)
"""


def child(name: str, root: Path, site: Site, *, kill_at: int = 0, limit: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, name, str(root), site.url, str(kill_at), str(limit)],
                            cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_a_process_killed_at_any_step_goes_on_and_never_shows_half_a_corpus(site: Site, tmp_path: Path) -> None:
    root, kills = tmp_path / "meld", 0
    for moment in range(1, 60, 2):
        process = child("meld", root, site, kill_at=moment)
        process.communicate()
        if process.returncode == 0:
            break
        kills += 1
        assert process.returncode == -signal.SIGKILL
        if root.exists():  # it appears whole or not at all
            assert {path.name for path in root.rglob("*") if path.is_file()} >= {Path(name).name for name in MELD_FILES}
        get("meld", root, site)
        assert contents(root) == MELD_FILES
        shutil.rmtree(root)
    assert 6 <= kills < 25


def test_parts_that_join_survive_a_kill_at_any_step(site: Site, tmp_path: Path) -> None:
    root, kills = tmp_path / "crema", 0
    for moment in (2, 5, 12, 24, 28, 30, 32, 34, 36, 38):
        get("cremad", root, site, parts=["tables"])
        process = child("cremad", root, site, kill_at=moment)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        get("cremad", root, site)
        assert contents(root) == TABLES | CLIPS
        shutil.rmtree(root)
    assert kills >= 6


def test_a_process_killed_while_it_waits_for_bytes_resumes_by_range(site: Site, tmp_path: Path) -> None:
    site.script += ["cut", "silent"]
    process = child("meld", tmp_path / "meld", site)
    while len(site.asked) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    get("meld", tmp_path / "meld", site)
    assert contents(tmp_path / "meld") == MELD_FILES and site.ranges_asked()[-1] == "bytes=1000-"


@pytest.mark.parametrize("limit", [20_000, 100_000])  # bytes: not enough for the archive, enough for it but no clip
def test_a_full_disk_is_explained_and_what_is_there_goes_on(site: Site, tmp_path: Path, limit: int) -> None:
    root = tmp_path / "meld"
    big = make_tar({"MELD.Raw/train.tar.gz": make_tar({"train_splits/1.mp4": bytes(200_000)})} | {
        f"MELD.Raw/{folder}/1.mp4": NOISE for folder in ("dev_splits_complete", "output_repeated_splits_test")})
    site.files["/MELD.Raw.tar.gz"] = big if limit > len(big) else MELD["MELD.Raw.tar.gz"]
    code = CHILD.replace("distribution(name)", "tiny(find('meld'), {'MELD.Raw.tar.gz': urlopen(url +"
                                               " '/MELD.Raw.tar.gz').read()})")
    code = "from urllib.request import urlopen\nfrom pipeline.downloads import find\n" \
           "from tests.distributions import tiny\n" + code
    done = subprocess.run([sys.executable, "-c", code, "meld", str(root), site.url, "0", str(limit)], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode and "File too large" in done.stderr, done.stderr
    assert not root.exists()
    plan = plan_download(tiny(downloads.find("meld"), {"MELD.Raw.tar.gz": site.files["/MELD.Raw.tar.gz"]}), root,
                         mirror=site.url)
    assert download(plan, patience=HASTY).num_files in (3, 6)
    assert [path.name for path in tmp_path.iterdir()] == ["meld"]


def test_two_downloads_into_one_folder_do_not_mix(site: Site, tmp_path: Path) -> None:
    with alone(tmp_path / "meld"), pytest.raises(DatasetError, match="another download into .* is at work"):
        get("meld", tmp_path / "meld", site)
    get("meld", tmp_path / "meld", site)
    assert contents(tmp_path / "meld") == MELD_FILES


def test_unfinished_parts_stay_apart_from_finished_ones(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "crema"
    del site.files["/VideoFlash/9.flv"]
    with pytest.raises(FetchError, match=r"VideoFlash/9\.flv.*404"):
        get("cremad", root, site)
    get("cremad", root, site, parts=["tables"])
    assert {path.name for path in root.iterdir()} == {"download.json", "VideoDemographics.csv", "processedResults",
                                                      "LICENSE.txt"}
    site.files["/VideoFlash/9.flv"] = CLIPS["VideoFlash/9.flv"]
    get("cremad", root, site)
    assert contents(root) == TABLES | CLIPS


def test_a_folder_filled_by_hand_is_left_alone(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "meld"
    root.mkdir()
    get("meld", root, site)  # an empty one is as good as none
    (root / "download.json").unlink()
    with pytest.raises(DatasetError, match="put there by hand"):
        plan_download(distribution("meld"), root)
    (root / "download.json").write_text('{"parts": {"videos": 3}}')
    with pytest.raises(DatasetError, match="is not what `download` writes"):
        plan_download(distribution("meld"), root)
    with pytest.raises(DatasetError, match="is a file"):
        plan_download(distribution("meld"), root / "train_sent_emo.csv")


def test_a_folder_that_is_a_disk_of_its_own_is_worked_in(site: Site, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "meld"
    root.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda self: self == root)
    assert staging_folder(root).parent == root
    get("meld", root, site)
    assert contents(root) == MELD_FILES


def test_a_folder_that_cannot_be_written_is_explained(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be written"):
        with alone(tmp_path / "file" / "meld"):
            pass


def test_unknown_names_are_explained() -> None:
    with pytest.raises(UsageError, match="did you mean 'videos'"):
        plan_download(distribution("meld"), parts=["video"])
    with pytest.raises(UsageError, match="did you mean 'meld'"):
        downloads.find("medl")


@pytest.mark.parametrize("name", downloads.names())
def test_every_distribution_says_what_a_user_must_know(name: str) -> None:
    found = downloads.find(name)
    assert found.corpus.name == name and found.about and found.corpus.licence
    assert found.corpus.terms_url.startswith("https://") and bool(found.ask) != bool(found.parts)
    assert found.ask or any(part.default for part in found.parts)
    for part in found.parts:
        files = [*part.files, *(archive.file for archive in part.archives)]
        files += [of.index for of in part.per_video]
        assert part.expected and (files or part.pointers)
        for file in files:
            assert all(host.startswith("https://") and not host.endswith("/") for host in file.hosts) and file.hosts
            kind, _, digest = file.digest.partition(":")
            assert len(digest) == {"": 0, "md5": 32, "sha256": 64}[kind] and bool(file.size) == bool(file.digest)


@pytest.fixture
def command_line(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    found = {name: distribution(name) for name in SERVED}
    monkeypatch.setattr(downloads, "find", found.__getitem__)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_shows_the_terms_and_refuses_without_consent(site: Site, command_line: Path,
                                                                 capsys: pytest.CaptureFixture[str],
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # no terminal: an answer that nobody gave does not count
    assert main(["download", "--dataset", "ravdess", "--mirror", site.url]) == 2
    shown = capsys.readouterr()
    assert "CC BY-NC-SA 4.0" in shown.err and "https://zenodo.org/records/1188976" in shown.err
    assert "Livingstone" in shown.err and "--accept-terms" in shown.err and site.url in shown.err
    assert not shown.out and not site.asked and not list(command_line.iterdir())


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_a_terminal_is_asked(site: Site, command_line: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int,
                             capsys: pytest.CaptureFixture[str]) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert main(["download", "--dataset", "meld", "--mirror", site.url]) == code
    assert (command_line / "data" / "MELD.Raw").exists() == (code == 0)
    assert ("not accepted; nothing was fetched" in capsys.readouterr().err) == (code == 2)


def test_the_command_ends_with_the_folder_and_what_comes_next(site: Site, command_line: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    words = ["download", "--dataset", "meld", "--root", "here/meld", "--mirror", site.url, "--accept-terms"]
    for said in ("6 files, ", "all there already, nothing was fetched"):
        assert main(words) == 0
        shown = capsys.readouterr()
        assert shown.out == "here/meld\n" and said in shown.err
        assert "python -m pipeline extract --dataset meld --root here/meld" in shown.err
    assert len(site.asked) == 1
    assert main(["download", "--dataset", "cremad", "--mirror", site.url, "--accept-terms"]) == 0
    assert capsys.readouterr().out == "data/CREMA-D\n"


def test_the_command_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "--list"]) == 0
    shown = capsys.readouterr().out
    for word in ("meld", "10.9 GB", "video-01 to 24", "13.4 GB", "CC BY-NC-SA 4.0", "https://sail.usc.edu/iemocap/",
                 "https://github.com/CheyneyComputerScience/CREMA-D", "only with --parts"):
        assert word in shown
    assert main(["download"]) == 2 and "--list" in capsys.readouterr().err


def test_a_corpus_that_must_be_asked_for_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "--dataset", "iemocap"]) == 1
    assert "ask for it at https://sail.usc.edu/iemocap/" in capsys.readouterr().err


def test_nothing_is_fetched_when_offline(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    with pytest.raises(FetchError, match="PIPELINE_OFFLINE"):
        get("meld", tmp_path / "meld", site)
    assert not site.asked
    folder = staging_folder(tmp_path / "meld")
    (folder / "MELD.Raw.tar.gz").write_bytes(MELD["MELD.Raw.tar.gz"])  # where the message says to put it
    get("meld", tmp_path / "meld", site)
    assert contents(tmp_path / "meld") == MELD_FILES and not site.asked


def test_the_docs_tell_the_sizes_that_are_known() -> None:
    text = (ROOT / "docs" / "download.md").read_text(encoding="utf-8")
    for name in downloads.names():
        found = downloads.find(name)
        assert name in text and found.corpus.terms_url in text and str(found.root) in text
        for part in found.parts:
            assert f"`{part.name}`" in text or f"`{part.name.partition('-')[0]}-01`" in text
    assert staging.RECORD in text
