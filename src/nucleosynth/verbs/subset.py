"""`nucleosynth subset`: the windows that hold a share of the labelled nuclei, as NuDiff's small labelled sets do.

Yu et al., "Diffusion-based data augmentation for nuclei image segmentation", MICCAI 2023; curation/shares.py says how
windows are chosen. A subset is a choice of windows, not of sources: parts of the same slide lie in it and outside it,
so what is to be fair by source takes whole ones instead (`nucleosynth study --fraction`).
"""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from nucleosynth import catalog
from nucleosynth.curation.shares import Choice, at_random, by_clusters, check_share, choose, cluster
from nucleosynth.data.findings import strictly
from nucleosynth.data.reader import read
from nucleosynth.data.windows import Cutting, Extent, prepared, windows
from nucleosynth.encoders import encoder as encoders
from nucleosynth.encoders.encoder import Encoder
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.progress import progress, say
from nucleosynth.run import versions, write_whole
from nucleosynth.sample import Sample
from nucleosynth.verbs.options import Data, Out
from nucleosynth.verbs.tiles import Tiles, looked_at

RECORD = "_subset.json"
"""In the folder of a store; of any other format beside the folder, after its name."""
AT_ONCE = 32
"""Windows that the encoder is given at once."""
By = Literal["clusters", "random"]


def subset(
    data: Data,
    out: Out,
    *,
    nuclei: float,
    by: By = "clusters",
    seed: int = 0,
    size: int = 256,
    stride: int | None = None,
    clusters: int = 6,
    encoder: str = "texture",
    split: str | None = None,
    classes: str | None = None,
    mpp: float | None = None,
    source_mpp: float | None = None,
    to: str = "store",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the windows that hold a share of the labelled nuclei, with their labels.

    Windows are cut as `tiles` cuts them; a nucleus counts once however many of them show it, and as soon as one shows a
    pixel of it. The share is one of all nuclei of the tiles that have masks. It is met within 1 % of itself where
    single windows are small enough steps; else the nearest is taken, and said. It is a choice of windows, not of
    sources: for what must be fair by slide or patient, `study --fraction` takes whole sources. The record (what was
    asked and reached, and how) is _subset.json in the store, or OUT_subset.json beside another format's folder; it is
    returned as well.

    Args:
        data: what to read: name:path, or the path of a store; names are in `nucleosynth list`.
        out: the folder to write.
        nuclei: the share of the nuclei, above 0, at most 1.
        by: clusters: in each cluster of windows that look alike, those nearest its centre; random: drawn.
        seed: of the clusters' beginnings, or of what is drawn.
        size: side of a window, in px.
        stride: px from one window to the next, half of `size` unless given; the last row and column lie at the border.
        clusters: how many.
        encoder: what windows look like, for clusters: a name of the catalog, or resnet50:FILE.
        split: keep only this official split.
        classes: the class scheme to read the data in: a name of the catalog or a TOML file.
        mpp: micrometres per pixel that every tile is brought to first; unless given, tiles stay as they are.
        source_mpp: micrometres per pixel of tiles that state none.
        to: the format; names are in `nucleosynth list`.
        overwrite: replace what this program has written there.

    Raises:
        UserError: as `tiles`; a share or a seed that is none, data without nuclei that have masks, or an encoder
            without its weights.
    """
    stride = max(size // 2, 1) if stride is None else stride
    grouped = by == "clusters"
    asked = Asked(
        data=data,
        out=out,
        nuclei=nuclei,
        by=by,
        seed=seed,
        clusters=clusters if grouped else None,
        encoder=encoder if grouped else None,
        size=size,
        stride=stride,
        split=split,
        classes=classes,
        mpp=mpp,
        source_mpp=source_mpp,
        to=to,
    )
    cutting = Cutting(size, stride, mpp, source_mpp)
    write = catalog.load("format", to)
    encode = encoders.load(encoder) if grouped else None
    tiles = partial(read, data, split, classes)
    # Windows are looked at once, when the format asks for the first one: by then the output folder is known to be free.
    chosen = cache(partial(_choose, tiles, cutting, encode, asked))
    write(_cut(tiles, cutting, chosen), out, overwrite=overwrite)
    record = _record(asked, chosen(), encode)
    path = out / RECORD if to == "store" else out.with_name(out.name + RECORD)
    write_whole(path, json.dumps(record, indent=1))
    _tell(record, path)
    return record


@dataclass(frozen=True)
class Asked:
    """What a subset is asked for, named as on the command line; what does not apply, or is not given, is None.

    Raises:
        UserError: an unknown way to choose, a share that is none, or a seed below 0.
    """

    data: str
    out: Path
    nuclei: float
    by: By
    seed: int
    clusters: int | None
    encoder: str | None
    size: int
    stride: int
    split: str | None
    classes: str | None
    mpp: float | None
    source_mpp: float | None
    to: str

    def __post_init__(self) -> None:
        if self.by not in get_args(By):
            raise unknown_name("way to choose", self.by, get_args(By), "--by")
        check_share(self.nuclei)
        for name, least in (("seed", 0), ("clusters", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(
                    f"no {name}",
                    expected=f"{least} or a larger whole number",
                    got=str(value),
                    where=f"--{name}",
                    mend="give another",
                )

    def options(self) -> dict[str, Any]:
        """What was asked beside data and out: {option: value}."""
        return {name: value for name, value in vars(self).items() if name not in ("data", "out")}

    def command(self) -> str:
        """The command line that asks for this."""
        given = [
            (f"--{name.replace('_', '-')}", str(value)) for name, value in self.options().items() if value is not None
        ]
        words = (word for pair in given for word in pair)
        return shlex.join(["nucleosynth", "subset", self.data, str(self.out), *words])


@dataclass(frozen=True)
class Chosen:
    """Which windows were chosen, of how many, in how many clusters; `begins`: with which window each tile begins, and
    where the last one ends; how many nuclei all tiles have, and how many of them no window shows."""

    choice: Choice
    begins: tuple[int, ...]
    clusters: int | None
    nuclei_of: int
    nowhere_shown: int


class _Look(NamedTuple):
    """What was seen of all windows: the nuclei of each, numbered over all tiles; features (n width), if an encoder was
    given; `begins`, as in Chosen; and how many nuclei all tiles have."""

    nuclei: list[NDArray[np.intp]]
    features: NDArray[np.float32] | None
    begins: tuple[int, ...]
    total: int


def _choose(tiles: Tiles, cutting: Cutting, encode: Encoder | None, asked: Asked) -> Chosen:
    look = _look(tiles, cutting, encode, asked.data)
    number = None
    if look.features is None or asked.clusters is None:
        order = at_random(len(look.nuclei), asked.seed)
    else:
        clusters = cluster(look.features, asked.clusters, asked.seed)
        number = len(np.unique(clusters.cluster))
        order = by_clusters(clusters)
    choice = choose(order, look.nuclei, asked.nuclei, look.total)
    shown = len(np.unique(np.concatenate(look.nuclei)))
    return Chosen(choice, look.begins, number, look.total, look.total - shown)


def _look(tiles: Tiles, cutting: Cutting, encode: Encoder | None, data: str) -> _Look:
    extent = looked_at(tiles, cutting)
    _check_masks(extent, data)
    nuclei: list[NDArray[np.intp]] = []
    features: list[NDArray[np.float32]] = []
    begins, total = [0], 0
    with progress("look at windows", extent.windows) as report:
        for sample in tiles(note=strictly):
            tile = prepared(sample, cutting)
            remaining = windows(tile, cutting)
            while some := list(islice(remaining, AT_ONCE)):
                nuclei += [window.ids - 1 + total for window in some]
                if encode:
                    features.append(encode(np.stack([window.sample.image for window in some])))
                report(len(nuclei))
            begins.append(len(nuclei))
            total += len(tile.classes)
    return _Look(nuclei, np.concatenate(features) if encode else None, tuple(begins), total)


def _check_masks(extent: Extent, data: str) -> None:
    """Refuse data without masks; say what points do not count for."""
    if not extent.nuclei:
        raise UserError(
            "nothing is labelled by masks" if extent.points else "nothing is labelled",
            expected="tiles with nuclei, each with a mask",
            got=f"{extent.points} points alone" if extent.points else "none",
            where=data,
            mend="take data with masks, which a share is counted by"
            if extent.points
            else "check the data and the split",
        )
    if extent.points:
        say(f"{extent.points} points of tiles that are labelled by points alone do not count")


def _cut(tiles: Tiles, cutting: Cutting, choosing: Callable[[], Chosen]) -> Iterator[Sample]:
    """The chosen windows, in order; the tiles are read once more."""
    found = choosing()
    chosen = found.choice.windows
    with progress("write windows", len(chosen)) as report:
        for sample, (begin, end) in zip(tiles(), pairwise(found.begins), strict=True):
            wanted = set(chosen[(begin <= chosen) & (chosen < end)].tolist())
            cut = windows(prepared(sample, cutting), cutting) if wanted else iter(())
            for number, window in enumerate(cut, start=begin):
                if number in wanted:
                    report(int(np.searchsorted(chosen, number)) + 1)
                    yield window.sample


def _record(asked: Asked, chosen: Chosen, encode: Encoder | None) -> dict[str, Any]:
    """What was asked, what was reached and how, JSON-able; `nuclei` are those of the chosen windows."""
    choice = chosen.choice
    return {
        "asked": asked.nuclei,
        "data": asked.data,
        **asked.options(),
        "clusters": chosen.clusters,
        "encoder": encode and {"name": encode.name, "digest": encode.digest},
        "reached": choice.reached,
        "met": choice.met(asked.nuclei),
        "nuclei": choice.nuclei,
        "nuclei_of": chosen.nuclei_of,
        "nowhere_shown": chosen.nowhere_shown,
        "windows": len(choice.windows),
        "windows_of": chosen.begins[-1],
        "fraction": choice.fraction,
        "singles": choice.singles,
        "command": asked.command(),
        "versions": versions(),
    }


def _tell(record: dict[str, Any], path: Path) -> None:
    of = f"{record['nuclei']} of {record['nuclei_of']} nuclei in {record['windows']} of {record['windows_of']} windows"
    say(f"{of}: a share of {record['reached']:.4f}, asked {record['asked']:g}; record: {path}")
    if record["nowhere_shown"]:
        say(f"{record['nowhere_shown']} of the nuclei are in no window: take a smaller --stride to show them")
    if not record["met"]:
        say("windows are too few, or too full, to come within 1 % of the share: this is the nearest")
