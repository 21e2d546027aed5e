"""Published active-speaker networks: names and shapes of their files, the same answers as there, what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.cli import main
from pipeline.devices import torch_threads
from pipeline.errors import TrainingError, UsageError, WeightsError
from pipeline.runs import Checkpoint, read_json
from pipeline.speaking.published_speakers import import_speaker

BATCH_STATISTICS = ("weight", "bias", "running_mean", "running_var")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def norm(name: str, channels: int) -> dict[str, Tensor]:
    values = torch.rand(4, channels) + 0.5
    values[1:3] -= 1
    return {**{f"{name}.{part}": value for part, value in zip(BATCH_STATISTICS, values, strict=True)},
            f"{name}.num_batches_tracked": torch.tensor(3)}


def layer(name: str, *shape: int, bias: bool = False) -> dict[str, Tensor]:
    fan = max(1, int(torch.tensor(shape[1:]).prod()))
    weight = {f"{name}.weight": torch.randn(shape) * (2 / fan) ** 0.5}
    return {**weight, f"{name}.bias": torch.randn(shape[0]) * 0.1} if bias else weight


def attention(name: str, width: int) -> dict[str, Tensor]:
    return {f"{name}.self_attn.in_proj_weight": torch.randn(3 * width, width) * width ** -0.5,
            f"{name}.self_attn.in_proj_bias": torch.randn(3 * width) * 0.1,
            **layer(f"{name}.self_attn.out_proj", width, width, bias=True),
            **layer(f"{name}.linear1", 4 * width, width, bias=True),
            **layer(f"{name}.linear2", width, 4 * width, bias=True),
            **{f"{name}.{part}.{value}": torch.rand(width) for part in ("norm1", "norm2")
               for value in ("weight", "bias")}}


def pictures() -> dict[str, Tensor]:
    """What TalkNet and LoCoNet see with, under published names."""
    state = {**layer("model.visualFrontend.frontend3D.0", 64, 1, 5, 7, 7),
             **norm("model.visualFrontend.frontend3D.1", 64)}
    before = 64
    for stage, after in enumerate((64, 128, 256, 512), 1):
        name = f"model.visualFrontend.resnet.layer{stage}"
        state |= layer(f"{name}.conv1a", after, before, 3, 3)
        for part in ("conv2a", "conv1b", "conv2b"):
            state |= layer(f"{name}.{part}", after, after, 3, 3)
        for part in ("bn1a", "outbna", "bn1b", "outbnb"):
            state |= norm(f"{name}.{part}", after)
        if before != after:
            state |= layer(f"{name}.downsample", after, before, 1, 1)
        before = after
    for place in range(5):
        name = f"model.visualTCN.net.{place}.net"
        state |= {**norm(f"{name}.1", 512), **layer(f"{name}.2", 512, 1, 3), f"{name}.3.weight": torch.tensor([0.2]),
                  f"{name}.4.gamma": torch.rand(1, 512, 1), f"{name}.4.beta": torch.randn(1, 512, 1) * 0.1,
                  **layer(f"{name}.5", 512, 512, 1)}
    return {**state, **layer("model.visualConv1D.net.0", 256, 512, 5, bias=True),
            **norm("model.visualConv1D.net.1", 256),
            **layer("model.visualConv1D.net.3", 128, 256, 1, bias=True),
            **attention("model.crossA2V", 128), **attention("model.crossV2A", 128),
            **layer("lossA.FC", 2, 128, bias=True), **layer("lossV.FC", 2, 128, bias=True)}


def talknet() -> dict[str, Tensor]:
    """A file of TalkNet's layout with random weights."""
    state = {**pictures(), **layer("model.audioEncoder.conv1", 16, 1, 7, 7), **norm("model.audioEncoder.bn1", 16),
             **attention("model.selfAV", 256), **layer("lossAV.FC", 2, 256, bias=True)}
    before = 16
    for stage, (count, after) in enumerate(zip((3, 4, 6, 3), (16, 32, 64, 128), strict=True), 1):
        for place in range(count):
            name = f"model.audioEncoder.layer{stage}.{place}"
            state |= {**layer(f"{name}.conv1", after, before, 3, 3), **norm(f"{name}.bn1", after),
                      **layer(f"{name}.conv2", after, after, 3, 3), **norm(f"{name}.bn2", after),
                      **layer(f"{name}.se.fc.0", after // 8, after, bias=True),
                      **layer(f"{name}.se.fc.2", after, after // 8, bias=True)}
            if before != after:
                state |= {**layer(f"{name}.downsample.0", after, before, 1, 1), **norm(f"{name}.downsample.1", after)}
            before = after
    return state


def light_asd() -> dict[str, Tensor]:
    """A file of Light-ASD's layout with random weights."""
    state = {**layer("lossAV.FC", 2, 128, bias=True), **layer("lossV.FC", 2, 128, bias=True)}
    for side, letter in (("visualEncoder", "s"), ("audioEncoder", "m")):
        before = 1
        for stage, after in enumerate((32, 64, 128), 1):
            name = f"model.{side}.block{stage}"
            for size in (3, 5):
                one, other = (((1, size, size), (size, 1, 1)) if letter == "s" else ((size, 1), (1, size)))
                state |= {**layer(f"{name}.{letter}_{size}", after, before, *one),
                          **norm(f"{name}.bn_{letter}_{size}", after),
                          **layer(f"{name}.t_{size}", after, after, *other), **norm(f"{name}.bn_t_{size}", after)}
            state |= {**layer(f"{name}.last", after, after, *((1, 1, 1) if letter == "s" else (1, 1))),
                      **norm(f"{name}.bn_last", after)}
            before = after
    for way in ("forward", "backward"):
        state |= {f"model.GRU.gru_{way}.{part}_{inner}_l0": torch.randn(shape) * 0.1
                  for part, shape in (("weight", (384, 128)), ("bias", (384,))) for inner in ("ih", "hh")}
    return state


def batch_norm(state: Mapping[str, Tensor], name: str, values: Tensor, eps: float = 1e-3) -> Tensor:
    weight, bias, mean, var = (state[f"{name}.{part}"] for part in BATCH_STATISTICS)
    return F.batch_norm(values, mean, var, weight, bias, eps=eps)


def attended(state: Mapping[str, Tensor], name: str, answers: Tensor, asks: Tensor, num_heads: int = 8) -> Tensor:
    """A layer of a transformer for one clip, heads one by one."""
    width = answers.shape[1]
    query, key, value = (F.linear(rows, weight, bias) for rows, weight, bias in zip(
        (asks, answers, answers), state[f"{name}.self_attn.in_proj_weight"].chunk(3),
        state[f"{name}.self_attn.in_proj_bias"].chunk(3), strict=True))
    heads = [(q @ k.T / (width / num_heads) ** 0.5).softmax(1) @ v for q, k, v in zip(
        *(part.chunk(num_heads, 1) for part in (query, key, value)), strict=True)]
    found = linear(state, f"{name}.self_attn.out_proj", torch.cat(heads, 1))
    rows = F.layer_norm(answers + found, (width,), state[f"{name}.norm1.weight"], state[f"{name}.norm1.bias"])
    inner = linear(state, f"{name}.linear2", linear(state, f"{name}.linear1", rows).relu())
    return F.layer_norm(rows + inner, (width,), state[f"{name}.norm2.weight"], state[f"{name}.norm2.bias"])


def linear(state: Mapping[str, Tensor], name: str, rows: Tensor) -> Tensor:
    return F.linear(rows, state[f"{name}.weight"], state[f"{name}.bias"])


def talknet_sees(state: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
    """What the published description makes of the pictures (T, H, W) of one clip, 0 to 255: (T, 128)."""
    name = "model.visualFrontend.frontend3D"
    values = ((pixels / 255 - 0.4161) / 0.1688)[None, None]
    values = F.conv3d(values, state[f"{name}.0.weight"], stride=(1, 2, 2), padding=(2, 3, 3))
    values = F.max_pool3d(batch_norm(state, f"{name}.1", values).relu(), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    values = values[0].transpose(0, 1)                                      # (T, 64, H / 4, W / 4)
    for stage in range(1, 5):
        name, stride = f"model.visualFrontend.resnet.layer{stage}", 1 if stage == 1 else 2
        inner = F.conv2d(values, state[f"{name}.conv1a.weight"], stride=stride, padding=1)
        inner = F.conv2d(batch_norm(state, f"{name}.bn1a", inner).relu(), state[f"{name}.conv2a.weight"], padding=1)
        inner = inner + (values if stride == 1 else F.conv2d(values, state[f"{name}.downsample.weight"], stride=2))
        values = F.conv2d(batch_norm(state, f"{name}.outbna", inner).relu(), state[f"{name}.conv1b.weight"], padding=1)
        values = F.conv2d(batch_norm(state, f"{name}.bn1b", values).relu(), state[f"{name}.conv2b.weight"], padding=1)
        values = batch_norm(state, f"{name}.outbnb", values + inner).relu()
    rows = F.avg_pool2d(values, 4).flatten(1).T[None]                       # (1, 512, T)
    for place in range(5):
        name = f"model.visualTCN.net.{place}.net"
        inner = F.conv1d(batch_norm(state, f"{name}.1", rows.relu(), 1e-5), state[f"{name}.2.weight"], padding=1,
                         groups=512)
        inner = F.prelu(inner, state[f"{name}.3.weight"])
        inner = (inner - inner.mean()) / (inner.var(unbiased=False) + 1e-8) ** 0.5
        inner = state[f"{name}.4.gamma"] * inner + state[f"{name}.4.beta"]
        rows = rows + F.conv1d(inner, state[f"{name}.5.weight"])
    name = "model.visualConv1D.net"
    rows = F.conv1d(rows, state[f"{name}.0.weight"], state[f"{name}.0.bias"], padding=2)
    rows = batch_norm(state, f"{name}.1", rows, 1e-5).relu()
    return F.conv1d(rows, state[f"{name}.3.weight"], state[f"{name}.3.bias"])[0].T


def talknet_hears(state: Mapping[str, Tensor], cepstra: Tensor) -> Tensor:
    """What it makes of the cepstra (4·T, 13) of one clip: (T, 128)."""
    values = F.conv2d(cepstra.T[None, None], state["model.audioEncoder.conv1.weight"], stride=(2, 1), padding=3)
    values = batch_norm(state, "model.audioEncoder.bn1", values, 1e-5).relu()
    for stage, count in enumerate((3, 4, 6, 3), 1):
        for place in range(count):
            name, stride = f"model.audioEncoder.layer{stage}.{place}", 2 if stage in (2, 3) and place == 0 else 1
            inner = F.conv2d(values, state[f"{name}.conv1.weight"], stride=stride, padding=1).relu()
            inner = F.conv2d(batch_norm(state, f"{name}.bn1", inner, 1e-5), state[f"{name}.conv2.weight"], padding=1)
            inner = batch_norm(state, f"{name}.bn2", inner, 1e-5)
            gate = linear(state, f"{name}.se.fc.0", inner.mean((2, 3))).relu()
            inner = inner * linear(state, f"{name}.se.fc.2", gate).sigmoid()[:, :, None, None]
            if f"{name}.downsample.0.weight" in state:
                values = F.conv2d(values, state[f"{name}.downsample.0.weight"], stride=stride)
                values = batch_norm(state, f"{name}.downsample.1", values, 1e-5)
            values = (inner + values).relu()
    return values.mean(2)[0].T


def talknet_says(state: Mapping[str, Tensor], pixels: Tensor, cepstra: Tensor) -> Tensor:
    heard, seen = talknet_hears(state, cepstra), talknet_sees(state, pixels)
    heard, seen = (attended(state, "model.crossA2V", heard, seen), attended(state, "model.crossV2A", seen, heard))
    rows = torch.cat([heard, seen], 1)
    return linear(state, "lossAV.FC", attended(state, "model.selfAV", rows, rows))


def light_says(state: Mapping[str, Tensor], pixels: Tensor, cepstra: Tensor) -> Tensor:
    """Light-ASD as it is described, for one clip."""
    def block(name: str, letter: str, values: Tensor, stride: int) -> Tensor:
        steps = (1, stride, stride)
        paths = []
        for size in (3, 5):
            half = size // 2
            first, second = state[f"{name}.{letter}_{size}.weight"], state[f"{name}.t_{size}.weight"]
            path = F.conv3d(values, first, stride=steps, padding=(0, half, half)) if letter == "s" \
                else F.conv2d(values, first, padding=(half, 0))
            path = batch_norm(state, f"{name}.bn_{letter}_{size}", path).relu()
            path = F.conv3d(path, second, padding=(half, 0, 0)) if letter == "s" \
                else F.conv2d(path, second, padding=(0, half))
            paths.append(batch_norm(state, f"{name}.bn_t_{size}", path).relu())
        mixed = (F.conv3d if letter == "s" else F.conv2d)(paths[0] + paths[1], state[f"{name}.last.weight"])
        return batch_norm(state, f"{name}.bn_last", mixed).relu()
    seen, heard = ((pixels / 255 - 0.4161) / 0.1688)[None, None], cepstra.T[None, None]
    for stage in (1, 2, 3):
        seen = block(f"model.visualEncoder.block{stage}", "s", seen, 2 if stage == 1 else 1)
        heard = block(f"model.audioEncoder.block{stage}", "m", heard, 1)
        if stage < 3:
            seen = F.max_pool3d(seen, (1, 3, 3), (1, 2, 2), (0, 1, 1))
            heard = F.max_pool3d(heard, (1, 1, 3), (1, 1, 2), (0, 0, 1))
    rows = seen.amax((3, 4))[0].T + heard.mean(2)[0].T
    for way in ("forward", "backward"):
        name = f"model.GRU.gru_{way}"
        hidden, found = torch.zeros(1, 128), []
        for row in rows if way == "forward" else rows.flip(0):
            hidden = torch.gru_cell(row[None], hidden, state[f"{name}.weight_ih_l0"], state[f"{name}.weight_hh_l0"],
                                    state[f"{name}.bias_ih_l0"], state[f"{name}.bias_hh_l0"])
            found.append(hidden[0])
        rows = F.gelu(torch.stack(found if way == "forward" else found[::-1]))
    return linear(state, "lossAV.FC", rows)


@pytest.mark.parametrize(("layout", "says"), [("talknet", talknet_says), ("light-asd", light_says)])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_an_imported_network_says_what_the_published_one_says(tmp_path: Path, layout: str, says: object,
                                                              prefix: str) -> None:
    state = talknet() if layout == "talknet" else light_asd()
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "published.model")
    imported = import_speaker(tmp_path / "published.model", layout, tmp_path / "run")
    assert imported.path == tmp_path / "run" and imported.num_taken == len(state) and not imported.left_out
    checkpoint = Checkpoint.load(tmp_path / "run" / "seed0" / "best.pt")
    pixels, cepstra = torch.randint(256, (6, 112, 112)).float(), torch.randn(24, 13) * 8
    scaled = {name: (rows - checkpoint.scaler[name]["mean"]) / checkpoint.scaler[name]["sd"]
              for name, rows in (("asd_faces", pixels), ("asd_audio", cepstra.view(6, 4, 13)))}
    mask = {name: torch.ones(1, 6, dtype=torch.bool) for name in scaled}
    with torch.no_grad():
        found = checkpoint.network()({name: rows[None] for name, rows in scaled.items()}, mask)["speaking"][0]
        torch.testing.assert_close(found, says(state, pixels, cepstra), atol=1e-3, rtol=1e-3)  # type: ignore[operator]
    assert checkpoint.tasks[0].classes[1] == checkpoint.tasks[0].positive == "speaking"
    assert checkpoint.inputs["asd_faces"]["recipe"]["settings"] == {"clips": "tracks", "part": "whole"}
    plan = read_json(tmp_path / "run" / "config.json")
    assert plan["seeds"] == [0] and f"layout {layout}" in plan["notes"][0]


@pytest.mark.parametrize("layout", ["loconet", "talknce"])
def test_of_loconet_what_it_shares_with_talknet_becomes_a_start(tmp_path: Path, layout: str) -> None:
    state = {**pictures(), **layer("model.audioEncoder.features.0", 64, 1, 3, 3, bias=True),
             **layer("model.convAV.0.conv2d", 768, 256, 3, 7, bias=True), **attention("model.convAV.1", 256),
             **layer("lossAV.FC", 2, 256, bias=True)}
    torch.save({f"model.module.{name}": value for name, value in state.items()}, tmp_path / "published.model")
    imported = import_speaker(tmp_path / "published.model", layout, tmp_path / "run")
    assert imported.path == tmp_path / "run" / "start.pt" and "model.audioEncoder." in imported.left_out
    assert imported.num_taken == len(pictures())
    checkpoint = Checkpoint.load(imported.path)
    assert torch.equal(checkpoint.state["join.seen_by_heard.first.weight"], state["model.crossV2A.linear1.weight"])
    assert not any(name.startswith(("heard.", "join.over_both.", "heads.")) for name in checkpoint.state)
    with pytest.raises(TrainingError, match="does not fit the model 'active_speaker'"):
        checkpoint.network()


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_files_of_other_networks_are_refused_by_name(tmp_path: Path) -> None:
    path, state = tmp_path / "a.model", light_asd()
    torch.save(state, path)
    with pytest.raises(WeightsError, match="of the layout talknet: without .* and .* more; .*another --format"):
        import_speaker(path, "talknet", tmp_path / "run")
    torch.save({**state, "model.more.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="with unknown model.more.weight; expected the publisher's"):
        import_speaker(path, "light-asd", tmp_path / "run")
    torch.save({**state, "lossAV.FC.weight": torch.zeros(2, 256)}, path)
    with pytest.raises(WeightsError, match=r"with heads.for_speaking.weight of shape \(2, 256\)"):
        import_speaker(path, "light-asd", tmp_path / "run")
    torch.save({**state, "lossAV.FC.weight": "text"}, path)
    with pytest.raises(WeightsError, match=r"with heads.for_speaking.weight of shape \(\)"):
        import_speaker(path, "light-asd", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_hostile_files_are_refused_and_nothing_in_them_is_run(tmp_path: Path) -> None:
    torch.save({**light_asd(), "model.x": Payload(tmp_path / "made")}, tmp_path / "a.model")
    with pytest.raises(WeightsError, match="it would run .*mkdir when loaded; nothing of it was run"):
        import_speaker(tmp_path / "a.model", "light-asd", tmp_path / "run")
    (tmp_path / "b.model").write_bytes(b"PK\x03\x04 no file of torch")
    with pytest.raises(WeightsError, match="does not hold weights"):
        import_speaker(tmp_path / "b.model", "light-asd", tmp_path / "run")
    assert not (tmp_path / "made").exists() and not (tmp_path / "run").exists()


def test_what_is_not_there_or_there_already_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--format asc: expected one of talknet, light-asd, loconet, talknce"):
        import_speaker(tmp_path / "a.model", "asc", tmp_path)
    with pytest.raises(WeightsError, match="there is no file .*a.model"):
        import_speaker(tmp_path / "a.model", "talknet", tmp_path / "run")
    torch.save(light_asd(), tmp_path / "a.model")
    import_speaker(tmp_path / "a.model", "light-asd", tmp_path / "run")
    with pytest.raises(TrainingError, match="already holds a run; name another folder with --out"):
        import_speaker(tmp_path / "a.model", "light-asd", tmp_path / "run")


def test_the_command_names_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(light_asd(), tmp_path / "a.model")
    arguments = ["weights", "import", str(tmp_path / "a.model")]
    assert main([*arguments, "--format", "light-asd", "--out", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "run") and f"{len(light_asd())} weights of" in err
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    assert "--out is for --format" in capsys.readouterr().err
    torch.save(pictures(), tmp_path / "a.model")
    assert main([*arguments, "--format", "loconet", "--out", str(tmp_path / "start")]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "start" / "start.pt") and "scores nothing: train --init" in err
