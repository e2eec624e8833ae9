"""Weights are tensors by name, whichever file they came from, and a file of them can run no code."""

from http.client import IncompleteRead
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors.torch import save_file
from torch import nn

from nucleosynth.encoders.encoder import load
from nucleosynth.encoders.weights import digest_of, download, fill, read_weights
from nucleosynth.errors import UserError

URL = "https://weights.example/w-0123abcd.safetensors"
TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


@pytest.mark.parametrize("wrapper", ["", "state_dict", "desc", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrapped_and_prefixed_tensors_are_the_same(wrapper: str, prefix: str, tmp_path: Path) -> None:
    named = {prefix + key: value for key, value in TENSORS.items()}
    torch.save({wrapper: named, "epoch": 3} if wrapper else named, tmp_path / "weights.tar")
    found = read_weights(tmp_path / "weights.tar")
    assert list(found) == list(TENSORS)
    for key, value in TENSORS.items():
        assert_array_equal(found[key], value)


def test_the_digest_is_of_the_tensors_alone(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "weights.safetensors")
    torch.save(TENSORS | {"n.num_batches_tracked": torch.tensor(7)}, tmp_path / "weights.pth")
    digests = {digest_of(read_weights(tmp_path / name)) for name in ("weights.safetensors", "weights.pth")}
    assert digests == {digest_of(dict(reversed(TENSORS.items())))}
    assert digest_of(TENSORS | {"a.bias": torch.zeros(2)}) not in digests
    assert digest_of({"b.weight": TENSORS["a.weight"], "a.bias": TENSORS["a.bias"]}) not in digests


@pytest.mark.parametrize("content", [{}, {"a": 1}, {"state_dict": {"a": "b"}}, torch.zeros(2), {1: torch.zeros(1)}])
def test_what_is_not_tensors_by_name_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"not a file of weights(.|\n)*weights.pth(.|\n)*take another"):
        read_weights(tmp_path / "weights.pth", "take another")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file(.|\n)*there.pth(.|\n)*put it there"):
        read_weights(tmp_path / "there.pth", "put it there")


def test_a_network_takes_exactly_its_own_finite_weights() -> None:
    network = nn.ModuleDict({"a": nn.Linear(3, 2)})
    fill(network, TENSORS, "a line", "here")
    assert_array_equal(network["a"](torch.eye(3)).detach(), TENSORS["a.weight"].T + 1)
    for weights, words in (
        ({"a.bias": TENSORS["a.bias"]}, "Missing key"),
        (TENSORS | {"b": torch.zeros(1)}, "Unexpected key"),
        (TENSORS | {"a.bias": torch.zeros(3)}, "size mismatch"),
        (TENSORS | {"a.bias": torch.tensor([1.0, torch.nan])}, "not finite(.|\n)*a.bias"),
    ):
        with pytest.raises(UserError, match=rf"{words}(.|\n)*here"):
            fill(network, weights, "a line", "here")


def test_a_download_is_into_the_cache_and_only_where_the_file_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def fetch(url: str, place: str, hash_prefix: str, **_: bool) -> None:
        asked.append((url, hash_prefix))
        save_file(TENSORS, place)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for _ in range(2):
        assert download(URL, "0123abcd") == tmp_path / "hub" / "checkpoints" / "w-0123abcd.safetensors"
    assert asked == [(URL, "0123abcd")]


def test_a_download_of_another_hash_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    save_file(TENSORS, tmp_path / "w-0123abcd.safetensors")
    with pytest.raises(UserError, match=r"the download failed(.|\n)*invalid hash value"):
        download((tmp_path / "w-0123abcd.safetensors").as_uri(), "0123abcd")
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("error", [URLError("no route"), OSError("disk full"), IncompleteRead(b"")])
def test_a_download_that_fails_names_url_and_place(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(UserError, match="the download failed") as caught:
        download(URL, "0123abcd")
    assert caught.value.expected.startswith(URL)
    assert caught.value.where == str(tmp_path / "checkpoints" / "w-0123abcd.safetensors")


def test_published_weights_are_downloaded_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def fetch(url: str, _: str, hash_prefix: str, **__: bool) -> None:
        asked.append((url.rpartition("/")[2], hash_prefix))
        raise URLError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for spec in ("inception:download", "resnet50:download", "torchvision:resnet18:download"):
        with pytest.raises(UserError, match="the download failed"):
            load(spec)
    files = ("weights-inception-2015-12-05-6726825d.pth", "resnet50-0676ba61.pth", "resnet18-f37072fd.pth")
    assert asked == [(file, file[-12:-4]) for file in files]
