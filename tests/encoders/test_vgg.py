"""VGG19's maps: which they are, how images are prepared, where weights come from, and what is said without them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import vgg19
from torchvision.models.feature_extraction import create_feature_extractor

from nucleosynth.encoders import vgg
from nucleosynth.errors import UserError


@pytest.fixture(scope="module")
def published() -> torch.nn.Module:
    torch.manual_seed(0)
    return vgg19(weights=None, init_weights=False).eval()


@pytest.fixture(scope="module")
def file(published: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As torchvision's, but for the large layers that nobody asks for."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    state = {key: value for key, value in published.state_dict().items() if not key.startswith("classifier.0")}
    torch.save(state, path)
    return path


def test_its_maps_are_torchvision_s_after_five_relus(published: torch.nn.Module, file: Path) -> None:
    network = vgg.load(str(file))
    assert network is not None
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    prepared = ((images + 1) / 2 - torch.tensor(vgg.MEAN).view(3, 1, 1)) / torch.tensor(vgg.SPREAD).view(3, 1, 1)
    names = ["features.1", "features.6", "features.11", "features.20", "features.29"]
    for part in published.modules():
        if isinstance(part, torch.nn.ReLU):
            part.inplace = False
    wanted = create_feature_extractor(published, names)(prepared)
    found = network(images)
    assert [each.shape[1] for each in found] == [64, 128, 256, 512, 512]
    for name, each in zip(names, found, strict=True):
        torch.testing.assert_close(each, wanted[name])


def test_it_is_frozen_and_lets_gradients_through(file: Path) -> None:
    network = vgg.load(str(file))
    assert network is not None
    assert not any(weight.requires_grad for weight in network.parameters())
    image = torch.zeros(1, 3, 16, 16, requires_grad=True)
    network(image)[-1].sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_without_weights_it_is_off_and_said_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert vgg.load() is None
    assert "perceptual loss: off" in capsys.readouterr().err
    assert vgg.told(10.0, "imagenet") == vgg.told(0.0, "nowhere.pth") == "off"


def test_weights_in_the_cache_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / "vgg19-dcbb9e9d.pth"
    place.parent.mkdir()
    place.symlink_to(file)
    assert vgg.load() is not None
    assert vgg.told(10.0, "imagenet") == "vgg19-dcbb9e9d.pth"


def test_weights_are_known_by_a_digest_of_what_is_used(file: Path, tmp_path: Path) -> None:
    """Of no name, kind of file, or layer that the maps do not need."""
    weights = torch.load(file, weights_only=True)
    used = {key: value for key, value in weights.items() if key.startswith("features.")}
    save_file({key: value for key, value in used.items() if int(key.split(".")[1]) < 30}, tmp_path / "a.safetensors")
    torch.save(used | {"features.0.bias": used["features.0.bias"] + 1}, tmp_path / "other.pth")
    found = vgg.digest(1.0, str(file))
    assert len(found) == 16
    assert vgg.digest(1.0, str(tmp_path / "a.safetensors")) == found
    assert vgg.digest(1.0, str(tmp_path / "other.pth")) != found
    assert vgg.digest(0.0, str(file)) == ""


def test_files_that_are_not_its_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights of VGG19"):
        vgg.load(str(tmp_path / "none.pth"))
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    with pytest.raises(UserError, match="do not fit"):
        vgg.load(str(tmp_path / "part.pth"))
