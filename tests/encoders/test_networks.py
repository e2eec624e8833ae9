"""Each kind of network gives what its own library gives, takes files of its kind alone, and says what is missing."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import small_networks
import timm
import torch
from numpy.testing import assert_allclose
from PIL import Image
from safetensors.torch import load_file, save_file
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import resnet18

from nucleosynth.encoders import inception
from nucleosynth.encoders.encoder import classifier, load
from nucleosynth.errors import UserError

TILES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))


def normalised(images: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(((images / 255 - mean) / spread).astype(np.float32)).movedim(-1, 1)


@torch.inference_mode()
def test_timm_s_own_model_gives_the_same_features_and_classes(tmp_path: Path) -> None:
    encoder = load(small_networks.resnet_10t(tmp_path))
    model = timm.create_model("resnet10t", pretrained=False, num_classes=4).eval()
    model.load_state_dict(load_file(tmp_path / "r.safetensors"))
    images = np.random.default_rng(0).integers(0, 256, (2, 176, 176, 3), np.uint8)
    given = normalised(images, *IMAGENET)
    expected = model.forward_head(model.forward_features(given), pre_logits=True)
    assert (encoder.name, encoder.width, encoder.classes) == ("timm:resnet10t", 512, 4)
    assert_allclose(encoder(images), expected, rtol=1e-3, atol=1e-5)
    assert_allclose(classifier(encoder).probabilities(images), model(given).softmax(dim=1), rtol=1e-3)


@torch.inference_mode()
def test_torchvision_s_own_model_gives_the_same_classes(tmp_path: Path) -> None:
    encoder = load(small_networks.resnet_18(tmp_path))
    model = resnet18(num_classes=5).eval()
    model.load_state_dict(torch.load(tmp_path / "resnet18.pth", weights_only=True))
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    assert (encoder.name, encoder.width, encoder.classes) == ("torchvision:resnet18", 512, 5)
    expected = model(normalised(images, *IMAGENET)).softmax(dim=1)
    assert_allclose(classifier(encoder).probabilities(images), expected, rtol=1e-3)


def test_a_file_without_a_last_layer_gives_features_alone_and_the_same(tmp_path: Path) -> None:
    whole = load(small_networks.resnet_10t(tmp_path))
    weights = load_file(tmp_path / "r.safetensors")
    save_file({key: value for key, value in weights.items() if not key.startswith("fc.")}, tmp_path / "b.safetensors")
    body = load(f"timm:resnet10t:{tmp_path / 'b.safetensors'}")
    assert (body.classes, body.digest) == (0, whole.digest)
    assert_allclose(body(TILES), whole(TILES))


def test_resnet50_is_torchvision_s(tmp_path: Path) -> None:
    alias = load(small_networks.resnet_50(tmp_path))
    named = load(f"torchvision:resnet50:{tmp_path / 'resnet50.safetensors'}")
    assert (alias.name, alias.digest) == ("resnet50", named.digest)
    assert_allclose(alias(TILES), named(TILES))


@torch.inference_mode()
def test_open_clip_s_own_model_gives_the_same_embedding(tmp_path: Path) -> None:
    encoder = load(small_networks.clip(tmp_path))
    expected = small_networks.clip_model().encode_image(
        normalised(TILES, np.array(small_networks.CLIP_MEAN), np.array(small_networks.CLIP_SPREAD))
    )
    assert (encoder.name, encoder.width) == ("clip:tiny-clip", 12)
    assert_allclose(encoder(TILES), expected, rtol=1e-3, atol=1e-5)


@torch.inference_mode()
def test_clip_shrinks_as_open_clip_s_own_preparation(tmp_path: Path) -> None:
    encoder = load(small_networks.clip(tmp_path))
    smooth = np.asarray(Image.fromarray(TILES[0]).resize((90, 90), Image.Resampling.BICUBIC))
    prepare = open_clip.image_transform(
        32, is_train=False, mean=small_networks.CLIP_MEAN, std=small_networks.CLIP_SPREAD
    )
    expected = small_networks.clip_model().encode_image(prepare(Image.fromarray(smooth))[None])
    assert_allclose(encoder(smooth[None]), expected, atol=0.02)


def test_a_clip_by_name_takes_a_file_of_both_towers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = load(small_networks.clip(tmp_path))
    monkeypatch.setattr(open_clip, "list_models", lambda: ["tiny"])
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: small_networks.CLIP_SETTINGS)
    encoder = load(f"clip:tiny:{tmp_path / 'tiny-clip' / 'open_clip_model.safetensors'}")
    assert (encoder.name, encoder.digest) == ("clip:tiny", folder.digest)
    with pytest.raises(UserError, match=r"no weights for clip:tiny(.|\n)*clip:tiny:FILE(.|\n)*--encoder texture"):
        load("clip:tiny")


def test_a_clip_that_is_not_there_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("nucleosynth.encoders.hub.try_to_load_from_cache", lambda name, _: asked.append(name))
    for name in ("clip:owner/model", "clip:hf-hub:owner/model"):
        with pytest.raises(UserError, match=r"no weights for clip:owner/model(.|\n)*hf download owner/model"):
            load(name)
    assert set(asked) == {"owner/model"}
    with pytest.raises(UserError, match="did you mean 'ViT-B-32'"):
        load("clip:ViT-B-3")
    with pytest.raises(UserError, match=r"no weights for clip:runs/a/b(.|\n)*no such folder"):
        load("clip:runs/a/b")
    with pytest.raises(UserError, match=r"open_clip_config.json(.|\n)*no such file"):
        load(f"clip:{tmp_path}")


def test_a_model_of_the_hub_is_found_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_networks.clip(tmp_path)

    def cached(_: str, file: str) -> str | None:
        path = tmp_path / "tiny-clip" / file
        return str(path) if path.is_file() else None

    monkeypatch.setattr("nucleosynth.encoders.hub.try_to_load_from_cache", cached)
    assert load("clip:owner/model").name == "clip:owner/model"


@pytest.mark.parametrize("broken", ["", "{}", '{"model_cfg": 3}', '{"model_cfg": {"embed_dim": 2, "vision_cfg": 1}}'])
def test_broken_settings_of_a_clip_are_named(broken: str, tmp_path: Path) -> None:
    spec = small_networks.clip(tmp_path)
    (tmp_path / "tiny-clip" / "open_clip_config.json").write_text(broken)
    with pytest.raises(UserError, match=r"not the settings of a CLIP(.|\n)*open_clip_config.json"):
        load(spec)
    unknown = {"model_cfg": {"embed_dim": 12, "vision_cfg": {"wings": 2}}}
    (tmp_path / "tiny-clip" / "open_clip_config.json").write_text(json.dumps(unknown))
    with pytest.raises(UserError, match=r"not a CLIP that open_clip can make(.|\n)*wings"):
        load(spec)


@torch.inference_mode()
def test_inception_is_torch_fidelity_s_and_named_after_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_networks.inception(tmp_path)
    encoder = load(spec)
    assert encoder.name == f"inception({encoder.digest})"
    assert (encoder.width, encoder.classes) == (2048, 1008)
    path = str(tmp_path / "inception.pth")
    network = FeatureExtractorInceptionV3("released", ["2048", "logits_unbiased"], path)
    pooled, logits = network(torch.from_numpy(TILES).movedim(-1, 1))
    assert_allclose(encoder(TILES), pooled, rtol=1e-4, atol=1e-5)
    assert_allclose(classifier(encoder).probabilities(TILES), logits.softmax(dim=1), rtol=1e-3)
    monkeypatch.setattr(inception, "sha256", lambda _: type("Found", (), {"hexdigest": lambda _: "6726825d00"})())
    assert load(spec).name == "inception"


def test_inception_is_looked_for_and_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("a download"))
    words = r"no weights for inception(.|\n)*checkpoints/weights-inception-2015-12-05-6726825d.pth(.|\n)*texture"
    with pytest.raises(UserError, match=words):
        load("inception")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"do not fit(.|\n)*torch-fidelity's Inception-v3(.|\n)*other.pth"):
        load(f"inception:{tmp_path / 'other.pth'}")


@pytest.mark.parametrize(("batch", "side"), [("n", "s"), ("n", 16), (2, 16)])
def test_an_onnx_network_gets_what_its_file_says(batch: int | str, side: int | str, tmp_path: Path) -> None:
    encoder = load(f"onnx:{small_networks.onnx_file(tmp_path / 'means.onnx', batch, side)}")
    images = TILES[:, :16, :16]
    scaled = images / 255
    expected = np.concatenate([scaled.mean(axis=(1, 2)), (scaled**2).mean(axis=(1, 2))], axis=1)
    assert (encoder.name, encoder.width, encoder.classes) == ("onnx:means", 6, 0)
    assert_allclose(encoder(images), expected, rtol=1e-5)
    (tmp_path / "means.onnx.json").write_text(json.dumps(small_networks.NORMALISATION | {"mean": [1, 0, 0]}))
    moved = load(f"onnx:{tmp_path / 'means.onnx'}")
    assert_allclose(moved(images)[:, :3], expected[:, :3] - [1, 0, 0], rtol=1e-4)


def test_what_an_onnx_network_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "means.onnx"
    with pytest.raises(UserError, match=r"no weights for onnx:FILE(.|\n)*none was given"):
        load("onnx")
    with pytest.raises(UserError, match=r"no such file: .*means.onnx,(.|\n)*--encoder texture"):
        load(f"onnx:{path}")
    small_networks.onnx_file(path)
    beside = path.with_name("means.onnx.json")
    for said in ("", "[]", "{}", '{"mean": [0, 0, 0], "std": [1, 1, 1]}', '{"mean": [0], "std": [1], "side": 8}'):
        beside.write_text(said)
        with pytest.raises(UserError, match=r"how tiles come to the network(.|\n)*means.onnx.json"):
            load(f"onnx:{path}")
    beside.unlink()
    with pytest.raises(UserError, match=r"no such file: .*means.onnx.json"):
        load(f"onnx:{path}")
    small_networks.onnx_file(path)
    path.write_bytes(b"no network")
    with pytest.raises(UserError, match=r"not a network that onnxruntime can run(.|\n)*means.onnx"):
        load(f"onnx:{path}")


def test_an_onnx_network_that_gives_no_features_is_refused(tmp_path: Path) -> None:
    path = small_networks.onnx_file(tmp_path / "squares.onnx", output="squares")
    with pytest.raises(UserError, match=r"not a network of features(.|\n)*an output float32 \(1, 3, 16, 16\)"):
        load(f"onnx:{path}")


def test_weights_and_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    spec = small_networks.resnet_10t(tmp_path)
    weights = load_file(tmp_path / "r.safetensors")
    for value, words in ((torch.nan, "weights that are not finite"), (3e38, "features that are not finite")):
        save_file(
            weights | {"conv1.0.weight": torch.full_like(weights["conv1.0.weight"], value)}, tmp_path / "r.safetensors"
        )
        with pytest.raises(UserError, match=words):
            load(spec)


def test_unknown_architectures_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        load("torchvision:resnet1")
    with pytest.raises(UserError, match="did you mean 'resnet10t'"):
        load("timm:resnet10")
    with pytest.raises(UserError, match=r"no weights for timm:resnet10t(.|\n)*timm:resnet10t:FILE"):
        load("timm:resnet10t")
    with pytest.raises(UserError, match="ends in a linear layer"):
        load(f"torchvision:squeezenet1_0:{small_networks.resnet_18(tmp_path).rpartition(':')[2]}")
    with pytest.raises(UserError, match=r"do not fit(.|\n)*torchvision's resnet34"):
        load(f"torchvision:resnet34:{tmp_path / 'resnet18.pth'}")
