"""Where weights come from: found, fetched, refused with a reason, never executed."""

from __future__ import annotations

import hashlib
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline import weights
from pipeline.errors import WeightsError
from pipeline.networks.backbones import weights_record
from pipeline.weights import (Official, WeightsRecord, file_digest, file_record, load_state, locate, random_record,
                              seeded)
from tests.serving import Site, serving


@pytest.fixture
def cable_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"the network was touched: {arguments}")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of fetched weights."""
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path / "kept"))
    for name in ("PIPELINE_OFFLINE", "PIPELINE_WEIGHTS_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "kept"


CONTENT = b"weights"
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


def small(url: str, name: str = NAME) -> Official:
    """What a publisher serves."""
    return Official(name, "a small network", "MIT", 0.1, lambda path: path, f"{url}/{name}")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving({f"/{NAME}": CONTENT}) as found:
        yield found


def test_a_file_and_a_folder_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / weights.R3D18.name
    path.write_bytes(b"x")
    assert locate(str(path), weights.R3D18) == path == locate(str(tmp_path), weights.R3D18)


def test_a_file_that_is_not_there_is_named_with_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weight file .*none.pth .*R3D-18.*expected 'pretrained', 'random', a"):
        locate(str(tmp_path / "none.pth"), weights.R3D18)
    with pytest.raises(WeightsError, match="no weight file .*resnet18-f37072fd.pth"):
        locate(str(tmp_path), weights.RESNET18)


@pytest.mark.usefixtures("cable_cut")
def test_offline_names_the_file_its_address_and_its_place(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    with pytest.raises(WeightsError) as caught:
        locate("pretrained", weights.R3D18)
    for part in ("R3D-18", str(kept / weights.R3D18.name), weights.R3D18.url, "PIPELINE_OFFLINE", "--weights random"):
        assert part in str(caught.value)
    assert not kept.exists()


@pytest.mark.usefixtures("cable_cut")
def test_a_file_that_is_kept_needs_no_network(kept: Path) -> None:
    kept.mkdir()
    (kept / weights.R3D18.name).write_bytes(b"x")
    assert locate("pretrained", weights.R3D18) == kept / weights.R3D18.name


def test_a_published_file_is_fetched_once(kept: Path, site: Site) -> None:
    for _ in range(2):
        assert locate("pretrained", small(site.url)) == kept / NAME
    assert (kept / NAME).read_bytes() == CONTENT and len(site.asked) == 1 and list(kept.iterdir()) == [kept / NAME]


def test_a_mirror_stands_for_the_publisher(kept: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_WEIGHTS_URL", f"{site.url}/")
    assert small("https://example.org").fetch() == kept / NAME and site.asked[0]["path"] == f"/{NAME}"


def test_a_fetched_file_that_is_not_the_published_one_is_refused(kept: Path, site: Site) -> None:
    site.files[f"/{NAME}"] = b"another"
    with pytest.raises(WeightsError, match="a small network: could not fetch net-.*what came has SHA-256 .*, expected"
                                           f" {small('').digest}.*Download http.*weights fetch {NAME}"):
        locate("pretrained", small(site.url))
    assert list(kept.iterdir()) == []


def test_a_publisher_that_has_no_such_file_is_a_weights_error(kept: Path, site: Site) -> None:
    with pytest.raises(WeightsError, match="could not fetch a-00000000.pth.* 404 .*put it at .*kept/a-00000000.pth"):
        locate("pretrained", small(site.url, "a-00000000.pth"))


def test_a_folder_that_cannot_be_made_is_a_weights_error(kept: Path, site: Site) -> None:
    kept.write_text("in the way")
    with pytest.raises(WeightsError, match="could not fetch .*cannot be written"):
        locate("pretrained", small(site.url))


def test_a_file_under_a_published_name_that_is_another_is_never_called_pretrained(kept: Path) -> None:
    kept.mkdir()
    (kept / weights.RESNET18.name).write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="resnet18-f37072fd.pth is not the published file: its SHA-256 begins with"
                                           f" {NAME[4:12]}, expected f37072fd. Remove it .*--weights FOLDER"):
        weights_record("resnet18", "pretrained", weights.RESNET18)
    assert weights_record("resnet18", str(kept), weights.RESNET18).source == "file", "the user's own folder"


def test_a_package_that_lost_its_file_is_to_be_installed_again(tmp_path: Path) -> None:
    bundled = weights.Bundled("net", "a small network", "MIT", 0.0, lambda path: path, "a-package",
                              tmp_path / "net.pt", "0" * 64)
    with pytest.raises(WeightsError, match="net.pt is not there; install a-package again"):
        bundled.fetch()
    (tmp_path / "net.pt").write_bytes(b"x")
    assert bundled.fetch() == tmp_path / "net.pt" and bundled.origin == "inside a-package"
    with pytest.raises(WeightsError, match="is not the published file"):
        file_record("net", "pretrained", bundled.path, bundled.digest)


def test_a_record_holds_the_digest_and_not_the_place(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()[:32]
    assert file_record("net", str(path), path) == WeightsRecord("net", "file", "net.pth", digest)
    assert file_record("net", "pretrained", path).source == "pretrained"
    path.write_bytes(b"abcd")
    assert file_digest(path) == hashlib.sha256(b"abcd").hexdigest()[:32] == weights.sha256(path)[:32]


def test_random_records_differ_by_network_and_seed() -> None:
    assert len({random_record(*pair).digest for pair in (("a", 0), ("a", 1), ("b", 0))}) == 3
    assert random_record("a", 0) == random_record("a", 0)


def test_seeded_leaves_the_callers_random_state_and_does_not_depend_on_it() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = seeded(lambda: nn.Linear(3, 3), 0)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.weight, seeded(lambda: nn.Linear(3, 3), 0).weight)
    assert not torch.equal(first.weight, seeded(lambda: nn.Linear(3, 3), 1).weight)


def test_random_weights_are_equal_in_another_process() -> None:
    code = ("from pipeline.weights import seeded; from torch import nn;"
            "print(seeded(lambda: nn.Conv2d(3, 4, 3), 0).weight.double().sum().item())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[1])
    assert float(done.stdout) == seeded(lambda: nn.Conv2d(3, 4, 3), 0).weight.double().sum().item()


def test_a_state_comes_back_from_pth_and_safetensors(tmp_path: Path) -> None:
    source = nn.Linear(2, 3)
    torch.save(source.state_dict(), tmp_path / "a.pth")
    save_file(source.state_dict(), tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        assert torch.equal(load_state(nn.Linear(2, 3), tmp_path / name).weight, source.weight)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("torch_zip", [True, False])
def test_code_hidden_in_a_weight_file_is_refused_and_never_runs(tmp_path: Path, torch_zip: bool) -> None:
    path = tmp_path / "evil.pth"
    if torch_zip:
        torch.save({"weight": Payload(tmp_path / "owned")}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Payload(tmp_path / "owned")}, 2))
    with pytest.raises(WeightsError, match="evil.pth does not hold weights of Linear"):
        load_state(nn.Linear(2, 3), path)
    assert not (tmp_path / "owned").exists()


def test_code_hidden_in_a_weight_file_is_named_and_never_advised_to_be_run(tmp_path: Path) -> None:
    torch.save({"weight": Payload(tmp_path / "owned")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError) as caught:
        load_state(nn.Linear(2, 3), tmp_path / "evil.pth")
    assert str(caught.value) == (f"{tmp_path}/evil.pth does not hold weights of Linear (it would run posix.mkdir when"
                                 " loaded; nothing of it was run); expected the publisher's file")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut", b"\x80\x02}q\x00.", bytes(100)])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="does not hold weights of Linear .*expected the publisher's file"):
        load_state(nn.Linear(2, 3), tmp_path / name)


def test_another_networks_weights_are_refused_with_what_is_missing(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="does not hold weights of Linear .*size mismatch") as caught:
        load_state(nn.Linear(2, 3), tmp_path / "a.pth")
    assert "\n" not in str(caught.value)
    torch.save(torch.zeros(3), tmp_path / "b.pth")
    with pytest.raises(WeightsError, match="does not hold weights"):
        load_state(nn.Linear(2, 3), tmp_path / "b.pth")
