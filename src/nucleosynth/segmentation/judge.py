"""A trained judge: what prediction needs of it, and where it is loaded from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from nucleosynth.data.classes import numbered_names
from nucleosynth.encoders.weights import digest_of, fill
from nucleosynth.errors import UserError
from nucleosynth.run import Run
from nucleosynth.segmentation import pretrained
from nucleosynth.segmentation.hovernet import HoVerNet, HoVerNetSettings, in_mode
from nucleosynth.training import checkpoint
from nucleosynth.training.device import fabric_for

METHOD, STAGE = "hovernet", "judge"


@dataclass(frozen=True)
class Judge:
    """A trained network, ready to predict (see predict.py). `network` is set up by `fabric` and in evaluation mode.

    checkpoint: the digest of its weights, "" while they are in the making; class_scheme: as `Sample.class_scheme`.
    """

    network: nn.Module
    settings: HoVerNetSettings
    class_names: tuple[str, ...]
    fabric: Fabric
    checkpoint: str = ""
    class_scheme: str = ""


def load(folder: Path, fabric: Fabric | None = None) -> Judge:
    """The judge that a run folder holds.

    Raises:
        UserError: no run, a run of something else, or no checkpoint in it.
    """
    run = Run.open(folder)
    if run.record.method != METHOD:
        raise UserError(
            "not a judge", expected=f"a run of {METHOD}", got=f"a run of {run.record.method}", where=str(folder)
        )
    settings = HoVerNetSettings.model_validate(run.record.settings)
    network = HoVerNet.build(settings, len(run.record.class_names))
    path = run.checkpoint(STAGE)
    checkpoint.load(path, f"{METHOD}/{STAGE}", {"network": network})
    fabric = fabric or fabric_for()
    ready = fabric.setup_module(network).eval()
    record = run.record
    return Judge(ready, settings, record.class_names, fabric, checkpoint.fingerprint(path), record.class_scheme)


def load_released(
    path: Path, class_names: Sequence[str] = (), mode: str | None = None, fabric: Fabric | None = None
) -> Judge:
    """A judge from a file of HoVer-Net's released weights (or of others that were saved by its names).

    Its mode and number of classes are read from the file; `mode` "same" runs the weights of fast with maps as large as
    the image. class_names: of the types; "class 1", ... unless given. It works at .25 um, as released.

    Raises:
        UserError: no such file, a broken one, weights of another network, or another number of class names.
    """
    weights, classes, is_original = pretrained.released(path)
    names = tuple(class_names) or numbered_names(classes) or ("nucleus",)
    if len(names) != max(classes, 1):
        raise UserError(
            "other classes", expected=f"{max(classes, 1)} class names", got=", ".join(names), where=str(path)
        )
    settings = in_mode(HoVerNet.presets["resnet50"], mode or ("original" if is_original else "fast"))
    network = HoVerNet.build(settings, classes)
    fill(network, weights, f"HoVer-Net in mode {settings.mode}", str(path))
    fabric = fabric or fabric_for()
    return Judge(fabric.setup_module(network).eval(), settings, names, fabric, digest_of(weights))
