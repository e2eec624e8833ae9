"""Weights from elsewhere: files as they were released go where they name, and what is left out is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch.nn import functional
from torch.testing import assert_close
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from nucleosynth.config import resolve
from nucleosynth.errors import UserError
from nucleosynth.run import Budget
from nucleosynth.sample import Sample
from nucleosynth.segmentation.fit import check, fit
from nucleosynth.segmentation.hovernet import HoVerNet, HoVerNetSettings, in_mode
from nucleosynth.segmentation.judge import load_released
from nucleosynth.segmentation.networks.published import PublishedHoVerNet
from nucleosynth.segmentation.pretrained import MEAN, SPREAD, released, start

NARROW = resolve(
    HoVerNet.presets["resnet50"],
    {"width": 8, "blocks": (1, 2, 1, 1), "dense": (8, 4), "phases": (), "mode": "same", "crop": 32, "batch": 2},
    "test",
)


def network_of(classes: int, settings: HoVerNetSettings = NARROW, seed: int = 0) -> PublishedHoVerNet:
    torch.manual_seed(seed)
    network = HoVerNet.build(settings, classes).eval()
    assert isinstance(network, PublishedHoVerNet)
    return network


def as_released(network: PublishedHoVerNet, path: Path, prefix: str = "module.") -> Path:
    """A file as the authors saved theirs: under "desc", from a parallel wrapper, the upsampling's ones among it."""
    state = {f"{prefix}{key}": value for key, value in network.state_dict().items()}
    torch.save({"desc": {**state, f"{prefix}upsample2x.unpool_mat": torch.ones(2, 2)}}, path)
    return path


def as_judge(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a judge's checkpoint, its optimiser's among them."""
    state = {f"module.network.{key}": value for key, value in network.state_dict().items()}
    return {**state, "optimiser.adamw.0.step": torch.ones(1)}


@pytest.mark.parametrize("kind", ["tar", "plain", "safetensors"])
@pytest.mark.parametrize("classes", [0, 4])
@pytest.mark.parametrize("mode", ["fast", "original"])
def test_released_weights_load_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fabric: Fabric, kind: str, classes: int, mode: str
) -> None:
    settings = in_mode(NARROW, mode)
    monkeypatch.setitem(HoVerNet.presets, "resnet50", settings.model_copy(update={"mode": "fast"}))  # type: ignore
    network = network_of(classes, settings)
    if kind == "tar":
        path = as_released(network, tmp_path / "hovernet.tar")
    elif kind == "plain":
        path = tmp_path / "hovernet.pth"
        torch.save(network.state_dict(), path)
    else:
        path = tmp_path / "hovernet.safetensors"
        save_file(network.state_dict(), path)
    judge = load_released(path, fabric=fabric)
    assert judge.settings.mode == mode
    assert (judge.settings.window, judge.settings.margin) == ((270, 95) if mode == "original" else (256, 46))
    assert judge.class_names == (tuple(f"class {k}" for k in range(1, 5)) if classes else ("nucleus",))
    image = torch.randint(0, 256, (1, 3, judge.settings.window, judge.settings.window), dtype=torch.uint8)
    with torch.no_grad():
        expected, found = network(image), judge.network(image)
    assert expected.keys() == found.keys()
    for name, maps in expected.items():
        assert_close(found[name], maps)


def test_names_are_given_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fabric: Fabric) -> None:
    monkeypatch.setitem(HoVerNet.presets, "resnet50", in_mode(NARROW, "fast"))  # type: ignore[misc]
    path = as_released(network_of(2, in_mode(NARROW, "fast")), tmp_path / "hovernet.tar")
    judge = load_released(path, ("round", "long"), "same", fabric)
    assert judge.class_names == ("round", "long")
    assert judge.settings.mode == "same"
    with pytest.raises(UserError, match="other classes"):
        load_released(path, ("round",), fabric=fabric)
    with pytest.raises(UserError, match="do not fit"):
        load_released(path, mode="original", fabric=fabric)


def test_a_file_with_a_name_too_few_or_too_many_is_refused(tmp_path: Path) -> None:
    state = network_of(2).state_dict()
    fewer = {key: value for key, value in state.items() if key != "conv_bot.weight"}
    for broken, name in ((fewer, "conv_bot.weight"), ({**state, "d9.extra": torch.ones(1)}, "d9.extra")):
        save_file(broken, tmp_path / "broken.safetensors")
        with pytest.raises(UserError, match=name) as refused:
            start(network_of(2), str(tmp_path / "broken.safetensors"), "bottleneck")
        assert refused.value.where.endswith("broken.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not the weights of a HoVer-Net"):
        released(tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="do not fit"):
        start(network_of(2), str(tmp_path / "other.safetensors"), "bottleneck")


def test_weights_of_another_number_of_types_keep_all_but_the_last_layer(tmp_path: Path) -> None:
    old, new = network_of(5), network_of(3, seed=1)
    head = new.decoder["tp"].u0.conv.weight.clone()
    facts = start(new, str(as_released(old, tmp_path / "hovernet.tar")), "bottleneck")
    assert facts["kind"] == "released"
    assert facts["left"] == facts["fresh"] == ["decoder.tp.u0.conv.bias", "decoder.tp.u0.conv.weight"]
    assert_close(new.decoder["tp"].u0.conv.weight, head)
    assert_close(new.decoder["tp"].u1.conva.weight, old.decoder["tp"].u1.conva.weight)


@pytest.mark.parametrize(("theirs", "ours"), [(0, 3), (4, 0)])
@pytest.mark.parametrize("kind", ["released", "judge"])
def test_a_type_decoder_that_one_side_lacks_starts_fresh_or_is_left(
    tmp_path: Path, kind: str, theirs: int, ours: int
) -> None:
    old, new = network_of(theirs), network_of(ours, seed=1)
    before = {key: value.clone() for key, value in new.state_dict().items()}
    path = as_released(old, tmp_path / "weights.tar")
    if kind == "judge":
        path = tmp_path / "weights.safetensors"
        save_file(as_judge(old), path)
    facts = start(new, str(path), "bottleneck")
    alone = sorted(key for key in (before if ours else old.state_dict()) if key.startswith("decoder.tp."))
    told = [key for key in alone if not key.endswith("num_batches_tracked")] if ours else alone
    assert len(told) > 50
    assert (facts["fresh"], facts["left"]) == ((told, []) if ours else ([], told))
    for key, value in new.state_dict().items():
        assert_close(value, before[key] if key in alone else old.state_dict()[key])


def test_a_compact_judge_of_other_types_keeps_all_but_the_last_layer(tmp_path: Path) -> None:
    settings = HoVerNet.presets["tiny"].model_copy(update={"width": 8})
    save_file(as_judge(HoVerNet.build(settings, 3)), tmp_path / "judge.safetensors")
    for classes, fresh in ((3, []), (4, ["decoders.2.head.0.bias", "decoders.2.head.0.weight"])):
        assert (
            start(HoVerNet.build(settings, classes), str(tmp_path / "judge.safetensors"), "compact")["fresh"] == fresh
        )


def test_weights_of_another_width_are_refused_before_any_tile_is_read(tmp_path: Path) -> None:
    path = as_released(network_of(4), tmp_path / "hovernet.tar")
    check(NARROW.model_copy(update={"weights": str(path)}), Budget(steps=1), tmp_path / "run")
    wide = NARROW.model_copy(update={"weights": str(path), "width": 16})
    with pytest.raises(UserError, match="of shape") as refused:
        check(wide, Budget(steps=1), tmp_path / "run")
    assert refused.value.where == str(path)
    assert not (tmp_path / "run").exists()


def test_an_encoder_by_its_released_names(tmp_path: Path) -> None:
    old, new = network_of(2), network_of(2, seed=1)
    encoder = {
        key: value for key, value in old.state_dict().items() if key.startswith(("conv0", "d0", "d1", "d2", "d3"))
    }
    torch.save({"desc": {**encoder, "fc.weight": torch.ones(3)}}, tmp_path / "ImageNet-ResNet50-Preact_pytorch.tar")
    facts = start(new, str(tmp_path / "ImageNet-ResNet50-Preact_pytorch.tar"), "bottleneck")
    assert (facts["kind"], facts["loaded"], facts["left"]) == ("encoder", len(encoder), ["fc.weight"])
    assert all(name.startswith(("conv_bot", "decoder")) for name in facts["fresh"])
    for key, value in encoder.items():
        assert_close(new.state_dict()[key], value)
    del encoder["d1.units.1.conv2.weight"]
    torch.save(encoder, tmp_path / "less.pth")
    with pytest.raises(UserError, match=r"d1\.units\.1\.conv2\.weight"):
        start(new, str(tmp_path / "less.pth"), "bottleneck")


def torchvision_of(block: Any) -> ResNet:
    """A shallow ResNet of torchvision's with BatchNorms that have seen something."""
    torch.manual_seed(2)
    resnet = ResNet(block, [1, 2, 1, 1]).eval()
    for layer in resnet.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias)
            layer.running_mean = torch.randn(layer.num_features)
            layer.running_var = torch.rand(layer.num_features) + 0.5
    return resnet


@pytest.mark.parametrize(("units", "block"), [("bottleneck", Bottleneck), ("basic", BasicBlock)])
def test_torchvision_s_units_do_what_they_did(tmp_path: Path, units: Any, block: Any) -> None:
    resnet = torchvision_of(block)
    torch.save(resnet.state_dict(), tmp_path / "resnet.pth")
    network = PublishedHoVerNet(0, unit=units, blocks=(1, 2, 1, 1), dense=(1, 1)).eval()
    facts = start(network, str(tmp_path / "resnet.pth"), units)
    assert facts["kind"] == "torchvision"
    mine = [name for name in facts["fresh"] if not name.startswith(("conv_bot", "decoder"))]
    assert mine
    assert all("preact/bn" in name or "blk_bna" in name for name in mine)
    image = torch.rand(1, 3, 24, 24)
    mean, spread = (torch.tensor(each)[:, None, None] for each in (MEAN, SPREAD))
    last = 3 if units == "bottleneck" else 2
    with torch.no_grad():
        stem = resnet.bn1(functional.conv2d((image - mean) / spread, resnet.conv1.weight, padding=3)).relu()
        assert_close(network.conv0(image)[..., 3:-3, 3:-3], stem[..., 3:-3, 3:-3], atol=1e-4, rtol=1e-4)
        x = torch.rand(1, network.d1.units[1].conv1.in_channels, 16, 16)
        there = resnet.layer2[1]
        norm = getattr(there, f"bn{last}")
        shift = norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()
        layers = list(network.d1.units[1])[2:]  # without the BatchNorm of the sum
        here = torch.nn.Sequential(*layers)(x) + shift[:, None, None]
        branch = x
        for k in range(1, last + 1):
            branch = getattr(there, f"bn{k}")(getattr(there, f"conv{k}")(branch))
            branch = branch.relu() if k < last else branch
        assert_close(here, branch, atol=1e-4, rtol=1e-4)


def test_torchvision_s_other_network_is_refused(tmp_path: Path) -> None:
    torch.save(torchvision_of(BasicBlock).state_dict(), tmp_path / "basic.pth")
    torch.save(torchvision_of(Bottleneck).state_dict(), tmp_path / "bottleneck.pth")
    for units, wrong in (("bottleneck", "basic"), ("basic", "bottleneck")):
        with pytest.raises(UserError, match="do not fit"):
            start(network_of(0), str(tmp_path / f"{wrong}.pth"), units)


def test_imagenet_s_file_is_looked_for_and_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="no ImageNet weights") as refused:
        start(network_of(0), "imagenet", "bottleneck")
    assert str(tmp_path / "checkpoints" / "resnet50-0676ba61.pth") in refused.value.expected
    with pytest.raises(UserError, match="for this network"):
        start(network_of(0), "imagenet", "compact")
    (tmp_path / "checkpoints").mkdir()
    torch.save(torchvision_of(Bottleneck).state_dict(), tmp_path / "checkpoints" / "resnet50-0676ba61.pth")
    network = PublishedHoVerNet(0, blocks=(1, 2, 1, 1), dense=(1, 1))
    assert start(network, "imagenet", "bottleneck")["file"].endswith("resnet50-0676ba61.pth")


def test_imagenet_s_file_is_downloaded_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def fetch(url: str, place: str, hash_prefix: str, **_: bool) -> None:
        asked.append((url.rpartition("/")[2], hash_prefix))
        torch.save(torchvision_of(Bottleneck).state_dict(), place)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for _ in range(2):
        network = PublishedHoVerNet(0, blocks=(1, 2, 1, 1), dense=(1, 1))
        assert start(network, "imagenet:download", "bottleneck")["file"].endswith("resnet50-0676ba61.pth")
    assert asked == [("resnet50-0676ba61.pth", "0676ba61")]
    with pytest.raises(UserError, match="no ImageNet weights"):
        start(network, "imagenet:upload", "bottleneck")


def test_a_run_says_what_it_started_from(discs: Callable[..., Sample], fabric: Fabric, tmp_path: Path) -> None:
    def train(name: str, weights: Path, **more: Any) -> dict[str, torch.Tensor]:
        settings = NARROW.model_copy(update={"weights": str(weights), "learning_rate": 1e-12, "margin": 32})
        made = {"settings": settings, "folder": tmp_path / name, "budget": Budget(steps=1), "seed": 0, "fabric": fabric}
        return fit([discs(0, mpp=0.25)], **made, **more).network.state_dict()

    path = as_released(network_of(2), tmp_path / "hovernet.tar")
    state = train("judge", path)
    facts = json.loads((tmp_path / "judge" / "facts.json").read_text())["weights"]
    assert (facts["kind"], facts["left"], facts["fresh"]) == ("released", [], [])
    assert len(facts["digest"]) == 16
    assert_close(state["conv0./.weight"], network_of(2).state_dict()["conv0./.weight"])
    path.unlink()
    train("judge", path, resume=True)  # the checkpoint has them
    with pytest.raises(UserError, match="no weights"):
        train("other", path)
    assert not (tmp_path / "other" / "run.json").exists()
