"""`nucleosynth compare`: how far synthetic tiles lie from real ones, by every distance between two populations.

Both sides are cut into windows of one size at one resolution, since features know both. Beside each score stand its
interval and its real-versus-real floor (metrics/resampling.py), and whose features it is of. Nuclei of the labels are
compared class by class: their sizes, shapes and spacing, and how many there are.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from json import dumps
from math import isnan
from pathlib import Path
from typing import Any

from nucleosynth.data.reader import read
from nucleosynth.encoders import encoder as encoders
from nucleosynth.encoders.encoder import Encoder
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.metrics.counts import class_counts, count_distances
from nucleosynth.metrics.distribution import HELD, MEASURES, compared, title, work
from nucleosynth.metrics.overlap import check_names
from nucleosynth.metrics.resampling import Estimate
from nucleosynth.metrics.shapes import ALL, DENSITY, FEATURES, shape_distances
from nucleosynth.progress import progress
from nucleosynth.run import write_whole
from nucleosynth.verbs.compare_tables import show
from nucleosynth.verbs.compare_windows import (
    OF_LABELS,
    OF_NUCLEI,
    Seen,
    Tiles,
    chosen_windows,
    cutting_for,
    look,
    other_classes,
)
from nucleosynth.verbs.options import Real, Synthetic

USUAL = ("fd", "fd_infinity", "kid", "prdc")


def compare(
    real: Real,
    synthetic: Synthetic,
    *,
    metrics: Sequence[str] = (),
    encoder: str = "texture",
    n: int | None = None,
    seed: int = 0,
    size: int | None = None,
    mpp: float | None = None,
    source_mpp: float | None = None,
    split: str | None = None,
    classes: str | None = None,
    without_background: bool = False,
    draws: int = 100,
    json: Path | None = None,
) -> dict[str, Any]:
    """Measure how far synthetic tiles lie from real ones.

    Returns what is written as JSON. "scores": by title (FID, FD-texture-1, KID-texture-1, precision-texture-1, FSD),
    each with value, low and high (a 95 % interval of the score at as many images, by name), interval ("delete-half"),
    holds (the share of such intervals that held their score in simulation, metrics/resampling.py), floor (one half of
    the real windows against the other, mean), floor_high (what one halving in forty exceeds), at_floor (the same halves
    against as many synthetic windows), real and synthetic (numbers of windows), encoder and digest; null where there
    are too few windows. "shapes": by "all" and class, then by feature, and "counts": by "mix", "all" and class:
    distance and floor (between halves of the real windows, mean). "windows": how many there are of each side. "drawn":
    what was drawn as a whole for intervals and floors, the sources of a side if there are at least 6, else its tiles,
    else windows. "side_px", "mpp", and what was asked. FID, KID and IS are of Inception with the published weights;
    with any others the title names the encoder.

    Args:
        real: the real tiles: name:path, or the path of a store; names are in `nucleosynth list`.
        synthetic: the tiles to compare with them.
        metrics: given once for each: fd, fd_infinity, kid, prdc (precision, recall, density, coverage), is (Inception
            Score, of an encoder that knows classes), fsd (class proportions of the labels), shapes (size, shape and
            spacing of nuclei by class), counts (of nuclei by class); the first four unless any is given.
        encoder: what windows look like: texture (embedded, no weights), inception[:FILE], clip:FOLDER,
            clip:MODEL:FILE, timm:ARCHITECTURE:FILE, torchvision:ARCHITECTURE[:FILE], resnet50[:FILE], onnx:FILE; the
            word download in the place of [:FILE] fetches the published weights, which nothing else does.
        n: windows of each side, drawn by the seed; all of them unless given.
        seed: of all that is drawn.
        size: side of a window in px; unless given, the largest that every tile can hold, 256 at most.
        mpp: micrometres per pixel that both are brought to; unless given, the coarsest of all tiles.
        source_mpp: micrometres per pixel of tiles that state none.
        split: keep only this official split of the real tiles.
        classes: the class scheme to read both in: a name of the catalog or a TOML file.
        without_background: leave the background out of fsd's proportions.
        draws: halves that give an interval its width; 0 for no intervals.
        json: write the result to this file.

    Raises:
        UserError: data that cannot be read, an unknown metric, an encoder without its weights or without classes, tiles
            of unknown resolution beside known ones or for shapes, too few windows, or, where labels are compared, class
            names that differ or that are taken.
    """
    _check_numbers(n, seed, draws)
    metrics = tuple(dict.fromkeys(metrics or USUAL))
    _check_metrics(metrics)
    encode = encoders.load(encoder)
    if "is" in metrics:
        encoders.classifier(encode)
    sides: tuple[Tiles, Tiles] = (partial(read, real, split, classes), partial(read, synthetic, None, classes))
    cutting = cutting_for(sides, (real, synthetic), size, mpp, source_mpp)
    if "shapes" in metrics and cutting.mpp is None:
        raise _no_resolution(f"{real} and {synthetic}")
    looks = [
        look(tiles, cutting, encode, chosen_windows(tiles, cutting, n, (seed, k), metrics, data), metrics, data)
        for k, (tiles, data) in enumerate(zip(sides, (real, synthetic), strict=True))
    ]
    _check_classes(looks, metrics)
    found = _compared(looks, metrics, not without_background, seed, draws)
    result = {
        "scores": {title(name, encode.name): _entry(name, each, encode) for name, each in found.items()},
        "shapes": _shapes(looks, seed) if "shapes" in metrics else {},
        "counts": _counts(looks, seed) if "counts" in metrics else {},
        "windows": {"real": looks[0].windows, "synthetic": looks[1].windows},
        "side_px": cutting.size,
        "mpp": cutting.mpp,
        "drawn": {"real": looks[0].drawn, "synthetic": looks[1].drawn},
        "background": not without_background,
        "seed": seed,
        "draws": draws,
        "real": real,
        "synthetic": synthetic,
        "split": split,
    }
    if json:
        write_whole(json, dumps(result, indent=1))
    show(result, encode)
    return result


def _check_numbers(n: int | None, seed: int, draws: int) -> None:
    for name, value, least in (("n", n, 2), ("seed", seed, 0), ("draws", draws, 0)):
        if value is not None and value < least:
            raise UserError(f"no {name}", expected=f"{least} or more", got=str(value), where=f"--{name}")


def _check_metrics(metrics: Sequence[str]) -> None:
    for name in metrics:
        if name not in MEASURES and name not in OF_NUCLEI:
            raise unknown_name("measure", name, (*MEASURES, *OF_NUCLEI), "--metrics")


def _check_classes(looks: Sequence[Seen], metrics: Sequence[str]) -> None:
    of_labels = [name for name in metrics if name in OF_LABELS]
    class_names = {each.class_names for each in looks}
    if of_labels and len(class_names) > 1:
        raise other_classes(class_names, of_labels, "both")
    if set(metrics) & set(OF_NUCLEI):
        check_names(looks[0].class_names, ("mix", ALL))


def _no_resolution(where: str) -> UserError:
    return UserError(
        "tiles of unknown resolution",
        expected="micrometres per pixel, for shapes",
        got="none",
        where=where,
        mend="say what it is with --source-mpp (about 0.25 at 40x, 0.5 at 20x)",
    )


def _compared(
    looks: Sequence[Seen], metrics: Sequence[str], background: bool, seed: int, draws: int
) -> dict[str, Estimate]:
    real, synthetic = looks
    measures = [name for name in metrics if name in MEASURES]
    found: dict[str, Estimate] = {}
    done = 0
    with progress("compare", work(measures, draws)) as report:

        def tick() -> None:
            nonlocal done
            done += 1
            report(done)

        for name in measures:
            of = MEASURES[name].of
            of_rows = "foreground" if of == "proportions" and not background else of
            found |= compared(
                real.rows[of_rows],
                synthetic.rows[of_rows],
                (name,),
                real_groups=real.groups,
                synthetic_groups=synthetic.groups,
                draws=draws,
                seed=seed,
                tick=tick,
            )
    return found


def _shapes(looks: Sequence[Seen], seed: int) -> dict[str, dict[str, dict[str, float | None]]]:
    """Class -> feature -> distance and floor."""
    real, synthetic = looks
    found = shape_distances(real.nuclei, synthetic.nuclei, real.class_names, groups=real.groups, seed=seed)
    return {
        name: {feature: _beside(found, f"{name}.{feature}") for feature in (*FEATURES, DENSITY)}
        for name in (ALL, *real.class_names)
    }


def _counts(looks: Sequence[Seen], seed: int) -> dict[str, dict[str, float | None]]:
    """ "mix", "all" and class -> distance and floor."""
    real = looks[0]
    names = real.class_names
    rows = [class_counts([each.classes for each in side.nuclei], len(names)) for side in looks]
    found = count_distances(rows[0], rows[1], names, groups=real.groups, seed=seed)
    return {name: _beside(found, name) for name in ("mix", ALL, *names)}


def _beside(found: dict[str, float], name: str) -> dict[str, float | None]:
    return {"distance": _defined(found[name]), "floor": _defined(found[f"{name}.floor"])}


def _defined(value: float) -> float | None:
    return None if isnan(value) else value


def _entry(name: str, found: Estimate, encode: Encoder) -> dict[str, Any]:
    """The numbers of a score, how its interval was made, and whose they are; what is not defined is None."""
    numbers = {key: _defined(value) for key, value in asdict(found).items()}
    with_interval, of_labels = numbers["low"] is not None, name in OF_LABELS
    return numbers | {
        "interval": "delete-half" if with_interval else None,
        "holds": HELD[name] if with_interval else None,
        "encoder": None if of_labels else encode.name,
        "digest": None if of_labels else encode.digest,
    }
