"""`nucleosynth compare`: how far synthetic tiles lie from real ones, by every distance between two populations.

Both sides are cut into windows of one size at one resolution, since features know both. Beside each score stand its
interval and its real-versus-real floor (metrics/resampling.py), and whose features it is of.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from json import dumps
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nucleosynth.data.reader import read
from nucleosynth.data.tiles import size_at
from nucleosynth.data.windows import Cutting, measure, prepared, windows
from nucleosynth.encoders import encoder as encoders
from nucleosynth.encoders.encoder import Encoder
from nucleosynth.errors import UserError
from nucleosynth.metrics.distribution import ENOUGH, MEASURES, check_names, compared, title, work
from nucleosynth.metrics.proportions import class_proportions
from nucleosynth.metrics.resampling import Estimate
from nucleosynth.progress import count_of, progress, say
from nucleosynth.run import write_whole
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.verbs.options import Real, Synthetic

USUAL = ("fd", "fd_infinity", "kid", "prdc")
LARGEST_PX = 256
AT_ONCE = 32
"""Windows that the encoder is given at once."""
UNITS = 6
"""Sources, or else tiles, that a side must have for them to be drawn as a whole."""
Tiles = Callable[[], Iterator[Sample]]


@dataclass(frozen=True)
class _Side:
    """What is known of the windows of one side: rows by what they are of, and what is drawn together."""

    rows: dict[str, NDArray[Any]]
    class_names: tuple[str, ...]
    drawn: str
    groups: NDArray[Any] | None


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

    Returns what is written as JSON. "scores": by title (FID, FD-texture-1, KD-texture-1, precision-texture-1, FSD ...),
    each with value, low and high (95 % interval of the score at as many images), floor (one half of the real windows
    against the other, mean), floor_high (what one halving in forty exceeds), at_floor (the same halves against as many
    synthetic windows), real and synthetic (numbers of windows), encoder and digest; null where there are too few
    windows. "drawn": what was drawn as a whole for intervals, the sources of a side if there are at least 6, else its
    tiles, else windows. "side_px", "mpp", and what was asked. FID, KID and IS are of Inception with the published
    weights; with any others the title names the encoder.

    Args:
        real: the real tiles: name:path, or the path of a store; names are in `nucleosynth list`.
        synthetic: the tiles to compare with them.
        metrics: given once for each: fd, fd_infinity, kid, prdc (precision, recall, density, coverage), is (Inception
            Score, of an encoder that knows classes), fsd (class proportions of the labels); the first four unless any
            is given.
        encoder: what windows look like: texture (embedded, no weights), inception[:FILE], clip:FOLDER,
            clip:MODEL:FILE, timm:ARCHITECTURE:FILE, torchvision:ARCHITECTURE[:FILE], resnet50[:FILE], onnx:FILE.
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
            of unknown resolution beside known ones, too few windows, or class names that differ (fsd).
    """
    _check_numbers(n, seed, draws)
    metrics = tuple(metrics) or USUAL
    check_names(metrics, "--metrics")
    encode = encoders.load(encoder)
    if "is" in metrics:
        encoders.classifier(encode)
    sides: tuple[Tiles, Tiles] = (partial(read, real, split, classes), partial(read, synthetic, None, classes))
    cutting = _cutting(sides, (real, synthetic), size, mpp, source_mpp)
    looks = [
        _look(tiles, cutting, encode, _chosen(tiles, cutting, n, (seed, k), metrics, data), metrics, data)
        for k, (tiles, data) in enumerate(zip(sides, (real, synthetic), strict=True))
    ]
    found = _compared(looks, metrics, not without_background, seed, draws)
    result = {
        "scores": {title(name, encode.name): _entry(name, each, encode) for name, each in found.items()},
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
    _print(result, encode)
    return result


def _check_numbers(n: int | None, seed: int, draws: int) -> None:
    for name, value, least in (("n", n, 2), ("seed", seed, 0), ("draws", draws, 0)):
        if value is not None and value < least:
            raise UserError(f"no {name}", expected=f"{least} or more", got=str(value), where=f"--{name}")


def _cutting(
    sides: tuple[Tiles, Tiles], names: tuple[str, str], size: int | None, mpp: float | None, source_mpp: float | None
) -> Cutting:
    """Windows that both sides can be cut into."""
    tiles = [(sample.size, sample.mpp or source_mpp) for side in sides for sample in side()]
    known = [each for _, each in tiles if each is not None]
    if known and len(known) < len(tiles):
        raise UserError(
            "tiles of unknown resolution beside known ones",
            expected="micrometres per pixel of every tile, or of none",
            got=f"{len(tiles) - len(known)} of {len(tiles)} tiles state none",
            where=" and ".join(names),
            mend="say what it is with --source-mpp (about 0.25 at 40x, 0.5 at 20x)",
        )
    wanted = mpp or (max(known) if known else None)
    if wanted is not None and known:
        tiles = [(size_at(extent, each or wanted, wanted), wanted) for extent, each in tiles]
    if size is None:
        size = min(LARGEST_PX, *(min(extent) for extent, _ in tiles))
    return Cutting(size, size, wanted, source_mpp)


def _chosen(
    tiles: Tiles, cutting: Cutting, n: int | None, keys: tuple[int, int], metrics: Sequence[str], data: str
) -> NDArray[np.intp]:
    """The numbers of the windows to look at, ascending."""
    total = measure(tiles(), cutting).windows
    least = max(MEASURES[name].least for name in metrics)
    if min(total, n or total) < least:
        raise UserError(
            "too few windows",
            expected=f"at least {least} for {', '.join(metrics)}",
            got=f"{count_of(min(total, n or total), 'window')} of {cutting.size} px",
            where=data,
            mend="give more tiles, a smaller --size, or other --metrics",
        )
    if n is not None and n > total:
        say(f"{data}: there are {total} windows, and all are taken")
    return np.sort(generator_of(*keys).permutation(total)[:n])


def _look(
    tiles: Tiles, cutting: Cutting, encode: Encoder, chosen: NDArray[np.intp], metrics: Sequence[str], data: str
) -> _Side:
    """The chosen windows, encoded batch by batch; no more of them than a batch are in memory."""
    kinds = {MEASURES[name].of for name in metrics}
    features: list[NDArray[np.float32]] = []
    labels: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    sources, names, class_names = [], [], set()
    wanted = _wanted(tiles, cutting, chosen)
    with progress(f"encode {data}", len(chosen)) as report:
        while some := list(islice(wanted, AT_ONCE)):
            if kinds - {"proportions"}:
                features.append(encode(np.stack([window.image for _, window in some])))
            if "proportions" in kinds:
                labels += [_proportions(window, data) for _, window in some]
            sources += [window.source for _, window in some]
            names += [name for name, _ in some]
            class_names |= {window.class_names for _, window in some}
            report(len(names))
    rows: dict[str, NDArray[Any]] = {}
    if features:
        rows["features"] = np.concatenate(features)
    if "probabilities" in kinds:
        rows["probabilities"] = encoders.classifier(encode).classify(rows["features"])
    if labels:
        if len(class_names) > 1:
            raise _other_classes(class_names, data)
        rows["proportions"], rows["foreground"] = (np.array(part) for part in zip(*labels, strict=True))
    return _Side(rows, class_names.pop(), *_units(sources, names))


def _wanted(tiles: Tiles, cutting: Cutting, chosen: NDArray[np.intp]) -> Iterator[tuple[str, Sample]]:
    """The chosen windows, each with the name of its tile."""
    keep, k = set(chosen.tolist()), 0
    for sample in tiles():
        for window in windows(prepared(sample, cutting), cutting):
            if k in keep:
                yield sample.sample_id, window.sample
            k += 1


def _proportions(window: Sample, data: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per cent in each class, with the background and without."""
    if window.labelled_as == "points":
        raise UserError(
            "no masks to measure",
            expected="nuclei with masks, for fsd",
            got="points alone",
            where=data,
            mend="leave fsd",
        )
    given = (window.instances, window.classes, len(window.class_names))
    return class_proportions(*given, background=True), class_proportions(*given, background=False)


def _units(sources: list[str], tiles: list[str]) -> tuple[str, NDArray[Any] | None]:
    """What is drawn as a whole: the largest unit of which there are enough."""
    for name, units in (("sources", sources), ("tiles", tiles)):
        if len(set(units)) >= UNITS:
            return name, np.unique(units, return_inverse=True)[1]
    return "windows", None


def _compared(
    looks: list[_Side], metrics: Sequence[str], background: bool, seed: int, draws: int
) -> dict[str, Estimate]:
    real, synthetic = looks
    if "fsd" in metrics and real.class_names != synthetic.class_names:
        raise _other_classes({real.class_names, synthetic.class_names}, "both")
    found: dict[str, Estimate] = {}
    done = 0
    with progress("compare", work(metrics, draws)) as report:

        def tick() -> None:
            nonlocal done
            done += 1
            report(done)

        for name in metrics:
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


def _other_classes(found: set[tuple[str, ...]], where: str) -> UserError:
    return UserError(
        "other classes",
        expected="the same class names on all tiles, for fsd",
        got="; ".join(sorted(", ".join(names) for names in found)),
        where=where,
        mend="read both in one scheme with --classes, or leave fsd out of --metrics",
    )


def _entry(name: str, found: Estimate, encode: Encoder) -> dict[str, Any]:
    """The numbers of a score, and whose they are; what is not defined is None."""
    numbers = {key: None if isnan(value) else value for key, value in asdict(found).items()}
    of_labels = name == "fsd"
    return numbers | {
        "encoder": None if of_labels else encode.name,
        "digest": None if of_labels else encode.digest,
    }


def _print(result: dict[str, Any], encode: Encoder) -> None:
    scores = result["scores"]
    first = next(iter(scores.values()))
    at = f" at {result['mpp']:g} um per px" if result["mpp"] else ""
    table = Table(
        title=f"{first['real']} real and {first['synthetic']} synthetic windows of {result['side_px']} px{at}",
        title_justify="left",
        box=None,
    )
    table.add_column("", no_wrap=True)
    for name in ("score", "95 % interval", "at half", "real half", "up to"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, each in scores.items():
        interval = "" if each["low"] is None else f"{_short(each['low'])} .. {_short(each['high'])}"
        numbers = (_short(each[key]) for key in ("at_floor", "floor", "floor_high"))
        table.add_row(name, _short(each["value"]), interval, *numbers)
    Console(highlight=False, markup=False).print(table)
    drawn = result["drawn"]
    say("at half: half of the real windows against as many synthetic ones; real half: against the other half, mean")
    say(f"encoder: {encode.name}, weights: {encode.digest}")
    say(f"intervals draw whole {drawn['real']} of the real side, whole {drawn['synthetic']} of the synthetic one")
    if "windows" in drawn.values():
        say("windows of one tile are alike: where single ones are drawn, intervals and floors come out too small")
    biased, instead = (title(name, encode.name) for name in ("fd", "kid"))
    if first["real"] < ENOUGH and biased in scores:
        say(f"below {ENOUGH} real images {biased} is biased upwards: read the kernel distance ({instead})")


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"
