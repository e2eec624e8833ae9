"""The small CLIP of a run: its moving average, at its side, from any run that has it."""

from pathlib import Path

import pytest
import small_clips
import torch
from torch.testing import assert_close

from nucleosynth.encoders import own_clip
from nucleosynth.encoders.clip_pair import load
from nucleosynth.encoders.own_clip import OwnClipNet, OwnClipSettings, pair_of, preparation
from nucleosynth.errors import UserError
from nucleosynth.run import Run
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.ema import averaged


def small(seed: int = 0) -> OwnClipNet:
    torch.manual_seed(seed)
    return OwnClipNet(OwnClipSettings(channels=16, width=8))


@torch.no_grad()
def test_it_is_the_network_s_own_average(tmp_path: Path) -> None:
    place = small_clips.own(tmp_path / "run")
    run, other = Run.open(place), small(1)
    average = averaged(small(2), 0.9)
    modules = {"net": other, "average": average}
    said = own_clip.beside(OwnClipSettings(channels=16, width=8), 24)
    checkpoint.save(run.checkpoint("clip"), "clip/clip", modules, {}, Moment(1), said)
    pair, images = load(f"own:{place}"), torch.rand(2, 3, 24, 24) * 2 - 1
    assert (pair.name, pair.side, pair.width, pair.map_width, pair.map_side) == ("own:run", 24, 8, 16, 3)
    net: OwnClipNet = average.module  # type: ignore[assignment]
    seen, said_of, scale = net.eval()(images * 2, own_clip.Words()(["few dead", ""]).values)
    assert_close(pair.image(images).embedding, seen, rtol=1e-4, atol=1e-5)
    assert_close(pair.text(["few dead", ""]), said_of)
    assert_close(scale, torch.tensor(10.0))
    assert pair.digest == pair_of(net, 24, "x").digest != pair_of(small(1), 24, "x").digest


def test_loading_leaves_torch_s_seed_as_it_is(tmp_path: Path) -> None:
    spec = small_clips.SPECS["own"](tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load(spec)
    assert torch.equal(torch.rand(1), expected)


def test_the_scale_has_an_end() -> None:
    net = small()
    torch.nn.init.constant_(net.scale, 9.0)
    *_, scale = net(torch.zeros(1, 3, 8, 8), torch.ones(1, 2, dtype=torch.int64))
    assert_close(scale, torch.tensor(100.0))


def test_the_order_of_words_counts() -> None:
    net = small()
    with torch.no_grad():
        first, second = net.read(own_clip.Words()(["many a few b", "many b few a"]).values)
    assert (first - second).abs().mean() > 1e-3


def test_each_part_is_trained() -> None:
    net = small()
    seen, said, scale = net(torch.randn(3, 3, 32, 32), own_clip.Words()(["a", "b c", "d"]).values)
    (scale * (seen * said)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_grey_comes_to_the_middle() -> None:
    assert_close(preparation(8)(torch.full((1, 3, 8, 8), 127.5)), torch.zeros(1, 3, 8, 8), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("", "nucleosynth fit clip --data DATA"),
        ("absent", "no run there"),
        ("other", r"not a small(.|\n)*where: .*clip.safetensors(.|\n)*mend: .*nucleosynth fit clip --data DATA"),
    ],
)
def test_what_is_no_run_of_it_is_refused(
    where: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Run.open(small_clips.own(tmp_path / "other")).checkpoint("clip")
    checkpoint.save(path, "clip/clip", {"net": small()}, {}, Moment())
    with pytest.raises(UserError, match=words):
        load(f"own:{where}")
