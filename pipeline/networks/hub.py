"""Models of the Hugging Face hub as folders of files: listed, fetched at one revision, checked, recorded.

``HF_ENDPOINT`` names a mirror. The files are fetched by :mod:`pipeline.transferring.fetching`, so that they are resumed
and checked as all others are, and nothing but the files is ever asked for: no counters, no telemetry.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import FetchError, WeightsError
from pipeline.storage.durable import replacing
from pipeline.transferring.fetching import difference, fetch, offline
from pipeline.weights import TRY_OUT, Progress, Published, sha256

RECORD = "fetched.json"  # in a fetched folder: where it is from, its revision, the SHA-256 of each file
NAME = r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
             "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spm.model", "spiece.model")
INDEX = "model.safetensors.index.json"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")  # how encoders of sound and pictures want them
NEEDED = rf"model(-\d+-of-\d+)?\.safetensors|{'|'.join(map(re.escape, (INDEX, *TOKENIZER, *PREPROCESSORS)))}" \
         r"|config\.json"


@dataclass(frozen=True)
class HubFile:
    """One file of a model.

    Args:
        name: in the model's folder.
        size: bytes.
        digest: SHA-256; empty where the hub does not state one (small text files).
    """

    name: str
    size: int
    digest: str = ""


@dataclass(frozen=True)
class HubModel(Published):
    """A model of the hub; its folder is whole when ``config.json``, which comes last, is in it.

    Args:
        model: its name there, ``"bert-base-uncased"`` or ``"owner/model"``.
        revision: a commit, or a branch.
        pinned: its files at that revision, where they are known beforehand.
        owner: the extractor that it is for, as messages name it.
    """

    model: str
    revision: str = "main"
    pinned: tuple[HubFile, ...] = ()
    owner: str = "text_bert"

    @property
    def origin(self) -> str:
        return f"{_endpoint()}/{self.model}"

    def files(self) -> tuple[Path, ...]:
        return files_of(self.path)

    def stated(self) -> Mapping[str, str]:
        return {file.name: file.digest for file in self.pinned}

    def expected(self) -> Mapping[str, str]:
        return {**self.record().get("files", {}), **self.stated()}

    def record(self) -> dict[str, Any]:
        """What :meth:`fetch` wrote: ``repository``, ``revision``, ``files`` (SHA-256 by name); empty without it.

        Raises:
            WeightsError: the record is not what was written.
        """
        path = self.path / RECORD
        if not path.is_file():
            return {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            files = {str(name): str(digest) for name, digest in found["files"].items()}
            return {"repository": str(found["repository"]), "revision": str(found["revision"]), "files": files}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"{path} is not the record of a fetched model ({error!r}); remove the folder and run"
                               f" `python -m pipeline weights fetch {self.name}`") from error

    def fetch(self, progress: Progress | None = None) -> Path:
        if self.files():
            return self.path
        if not re.fullmatch(NAME, self.model):
            raise WeightsError(f"{self.owner}.model={self.model} is neither a folder nor a name on the Hugging Face"
                               " hub; expected for instance bert-base-uncased or owner/model")
        advice = (f"Fetch it on a machine with a network (`python -m pipeline weights fetch --model {self.model}`) and"
                  f" put the folder at {self.path}, or give a folder with --set {self.owner}.model=FOLDER, {TRY_OUT}")
        if offline():
            raise WeightsError(f"{self.owner}.model={self.model}: {self.path} is not there and PIPELINE_OFFLINE forbids"
                               f" fetching it. {advice}")
        try:
            self._fetch(progress or (lambda done, total: None))
        except (FetchError, OSError) as error:
            raise WeightsError(f"{self.owner}.model={self.model}: could not fetch it: {error}. {advice}") from error
        return self.path

    def _fetch(self, progress: Progress) -> None:
        token = "" if self.pinned else _token()
        revision, files = (self.revision, self.pinned) if self.pinned else self._listing(token)
        done, total = 0, sum(file.size for file in files)
        for file in files:
            def report(here: int, _total: int, before: int = done) -> None:
                progress(before + here, total)

            path = self._unfinished if file.name == "config.json" else self.path / file.name
            if path.is_file() and difference(path, digest=file.digest, size=file.size):
                path.unlink()  # of another revision; no whole model stood here
            fetch(f"{_endpoint()}/{self.model}/resolve/{revision}/{file.name}", path, digest=file.digest,
                  size=file.size, progress=report, token=token)
            done += file.size
            progress(done, total)
        self._finish(revision, [file.name for file in files])

    @property
    def _unfinished(self) -> Path:
        return self.path / "config.json.fetched"

    def _finish(self, revision: str, names: Sequence[str]) -> None:
        """Write the record and give the config its name: from here on the folder counts as whole."""
        digests = {name: sha256(self._unfinished if name == "config.json" else self.path / name)
                   for name in sorted(names)}
        with replacing(self.path / RECORD) as file:
            file.write(json.dumps({"repository": self.origin, "revision": revision, "files": digests},
                                  indent=1).encode())
        os.replace(self._unfinished, self.path / "config.json")

    def _listing(self, token: str) -> tuple[str, tuple[HubFile, ...]]:
        """The commit that the revision stands for, and the files of it that are needed."""
        url = f"{_endpoint()}/api/models/{self.model}/revision/{self.revision}?blobs=true"
        with tempfile.TemporaryDirectory() as folder:
            text = fetch(url, Path(folder) / "listing.json", token=token).read_bytes()
        try:
            found = json.loads(text)
            commit = str(found["sha"])
            offered = tuple(HubFile(str(file["rfilename"]), int(file["size"]), str((file.get("lfs") or {})
                            .get("sha256", ""))) for file in found["siblings"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FetchError(f"{url} does not answer as the hub does ({error!r}); look at HF_ENDPOINT") from error
        files = needed(offered)
        names = {file.name for file in files}
        if not re.fullmatch("[0-9a-f]{40}", commit) or not names & {"model.safetensors", INDEX} \
                or "config.json" not in names:
            raise FetchError(f"{self.origin} offers no config.json with model.safetensors; weights that are pickles are"
                             " not fetched")
        return commit, files


def needed(offered: Sequence[HubFile]) -> tuple[HubFile, ...]:
    """Of a model's files those that the encoder and its tokenizer are loaded from; whole rather than cut weights."""
    found = [file for file in offered if re.fullmatch(NEEDED, file.name)]
    if any(file.name == "model.safetensors" for file in found):
        found = [file for file in found if not re.fullmatch(rf"model-.*|{re.escape(INDEX)}", file.name)]
    return tuple(found)


def files_of(folder: Path) -> tuple[Path, ...]:
    """The files of a model in its folder, sorted; none where config or weights are missing."""
    if not (folder / "config.json").is_file() or not weight_files(folder):
        return ()
    return tuple(sorted(file for file in folder.iterdir() if file.is_file()
                        and re.fullmatch(rf"{NEEDED}|{re.escape(RECORD)}|.*\.safetensors|pytorch_model\.bin",
                                         file.name)))


def model_folder(model: str, choice: str, published: HubModel, *,
                 holds: str = "config.json and weights") -> Path | None:
    """Where a model of the hub, or a folder's, lies; None for random weights without a folder.

    Args:
        model: its name on the hub, or a folder.
        choice: ``"pretrained"``, ``"random"``, or a folder that holds the model's folder or is it.
        published: the model on the hub, fetched where it is asked for and not here.
        holds: what the folder should hold, for messages.

    Raises:
        WeightsError: there is no such folder, or it cannot be fetched.
    """
    if Path(model).is_dir():
        return Path(model)
    if choice == "random":
        return None
    if choice == "pretrained":
        return published.fetch()
    for candidate in (Path(choice) / published.name, Path(choice) / Path(model).name, Path(choice)):
        if (candidate / "config.json").is_file():
            return candidate
    raise WeightsError(f"no model in {choice}; expected {holds} in it or in {Path(choice) / Path(model).name}")


def weight_files(folder: Path) -> list[Path]:
    """The weights in a model's folder, sorted."""
    return sorted(file for pattern in ("*.safetensors", "pytorch_model.bin") for file in folder.glob(pattern))


def keep_hub_offline() -> None:
    """Where the user forbids the network, have transformers and huggingface_hub, not yet imported, forbid it too."""
    if offline():
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
            os.environ[name] = "1"


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def _token() -> str:
    """The user's token for models that are not for all, if there is one."""
    from huggingface_hub import get_token
    return get_token() or ""
