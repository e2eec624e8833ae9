"""Encoders keep their contract: the same tile, the same features; weights are files that can run no code."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import small_networks
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import save_file
from torchvision.models import resnet50

from nucleosynth import catalog
from nucleosynth.data.reader import read
from nucleosynth.encoders.encoder import Encoder, classifier, load
from nucleosynth.errors import UserError

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Of a network that has seen nothing, its normalisations made to differ and to keep its signal alive."""
    torch.manual_seed(0)
    state = resnet50(weights=None).state_dict()
    moved = {"running_mean": -0.01, "bias": 0.02}
    return {
        key: value + moved[last] if (last := key.rpartition(".")[2]) in moved else value for key, value in state.items()
    }


@pytest.fixture(scope="module")
def file(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(weights, path)
    return path


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    """Three drawn tiles of three slides."""
    return np.stack([sample.image for sample in read("phantom:tiles=3&size=96&sources=3")])


@pytest.fixture(params=[entry.name for entry in catalog.CATALOG["encoder"]])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Encoder:
    """Each encoder of the catalog, with weights that have seen nothing."""
    return load(small_networks.SPECS[request.param](tmp_path))


def test_features_are_of_each_tile_alone_and_the_same_each_time(encoder: Encoder, tiles: np.ndarray) -> None:
    features = encoder(tiles)
    assert (features.shape, features.dtype) == ((3, encoder.width), np.float32)
    assert np.isfinite(features).all()
    assert (features.std(axis=0) > 1e-3 * np.abs(features).mean()).mean() > 0.3
    assert_array_equal(encoder(tiles), features)
    assert_allclose(np.concatenate([encoder(tile[None]) for tile in tiles]), features, rtol=1e-3, atol=1e-4)
    assert encoder(tiles[:0]).shape == (0, encoder.width)
    assert encoder.name
    assert encoder.digest
    if encoder.classes:
        probabilities = classifier(encoder).probabilities(tiles)
        assert probabilities.shape == (3, encoder.classes)
        assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        assert_array_equal(classifier(encoder).classify(features), probabilities)
    else:
        with pytest.raises(UserError, match=rf"{encoder.name} knows no classes"):
            classifier(encoder)


def test_texture_is_standardised_and_tells_tissue_apart(tiles: np.ndarray) -> None:
    texture = load("texture")
    drawn = texture(np.stack([sample.image for sample in read("phantom:tiles=24")]))
    assert (texture.name, texture.digest) == ("texture-1", "embedded, no weights")
    assert np.abs(drawn.mean(axis=0)).max() < 2
    assert 0.2 < drawn.std(axis=0).mean() < 2
    glass, flipped = np.full_like(tiles[0], 244), tiles[0, :, ::-1]
    near, far, same = texture(np.stack([tiles[1], glass, flipped])) - texture(tiles[:1])
    assert np.linalg.norm(same) < np.linalg.norm(near) < np.linalg.norm(far)
    # Where there is glass alone no stain is found, and all that is left is the constants.
    assert_allclose(texture(glass[None])[0, :2], [-1.7, -2.125], atol=1e-3)


def test_texture_takes_tiles_of_any_size() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 7, 400, 3), np.uint8)
    assert np.isfinite(load("texture")(noise)).all()


def test_both_kinds_of_file_give_the_same_features(
    file: Path, weights: Weights, tiles: np.ndarray, tmp_path: Path
) -> None:
    without_classifier = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    torch.save(without_classifier, tmp_path / "weights.pth")
    one, two = load(f"resnet50:{file}"), load(f"resnet50:{tmp_path / 'weights.pth'}")
    assert_array_equal(one(tiles), two(tiles))
    assert one.digest == two.digest
    changed = weights | {"conv1.weight": weights["conv1.weight"] * 1.5}
    save_file(changed, tmp_path / "changed.safetensors")
    other = load(f"resnet50:{tmp_path / 'changed.safetensors'}")
    assert other.digest != one.digest
    assert not np.allclose(other(tiles), one(tiles))


def test_features_are_those_of_torchvision_s_own_network(file: Path, weights: Weights) -> None:
    network = resnet50(weights=None)
    network.load_state_dict(weights)
    network.fc = torch.nn.Identity()
    image = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    mean, spread = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(((image / 255 - mean) / spread).astype(np.float32)).movedim(-1, 1))
    assert_allclose(load(f"resnet50:{file}")(image), expected.numpy(), rtol=1e-3, atol=1e-4)


def test_torch_hub_s_cache_is_used_and_nothing_is_downloaded(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("a download"))
    with pytest.raises(UserError, match=r"no weights(.|\n)*resnet50-0676ba61.pth(.|\n)*put the file") as caught:
        load("resnet50")
    assert str(tmp_path / "checkpoints") in str(caught.value)
    (tmp_path / "checkpoints").mkdir()
    torch.save(weights, tmp_path / "checkpoints" / "resnet50-11ad3fa6.pth")
    assert load("resnet50").width == 2048


class Code:
    """A pickle that would run code when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code was run')",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Code()}, tmp_path / "new.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"conv1.weight": Code()}, protocol=2))
    for name in ("new", "old"):
        with pytest.raises(UserError, match=rf"not a file of weights(.|\n)*{name}.pth"):
            load(f"resnet50:{tmp_path / name}.pth")


def test_weights_that_do_not_fit_are_refused(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    broken = {
        "Missing key": {key: value for key, value in weights.items() if key != "layer1.0.conv1.weight"},
        "Unexpected key": weights | {"head.weight": torch.zeros(1)},
        "size mismatch": weights | {"conv1.weight": torch.zeros(1)},
    }
    for words, state in broken.items():
        save_file(state, path)
        with pytest.raises(UserError, match=rf"do not fit(.|\n)*{words}(.|\n)*weights.safetensors"):
            load(f"resnet50:{path}")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_broken_files_are_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    with pytest.raises(UserError, match="no such file"):
        load(f"resnet50:{path}")
    for content in (b"", b"no weights at all", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"not a file of weights(.|\n)*weights{suffix}"):
            load(f"resnet50:{path}")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="not a file of weights"):
        load(f"resnet50:{tmp_path / 'list.pth'}")


def test_unknown_encoders_and_weights_for_none_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet50'"):
        load("resnet5")
    with pytest.raises(UserError, match="texture has no weights"):
        load("texture:some.pth")
