"""`nucleosynth subset`: the windows that hold a share of the labelled nuclei, as NuDiff's small labelled sets do.

Yu et al., "Diffusion-based data augmentation for nuclei image segmentation", MICCAI 2023; curation/shares.py says how
windows are chosen. A subset is a choice of windows, not of sources: parts of the same slide lie in it and outside it,
so what is to be fair by source takes whole ones instead (`nucleosynth study --fraction`).
"""

import json
import shlex
from collections.abc import Iterator
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from tyro.conf import Positional

from nucleosynth import catalog
from nucleosynth.curation.shares import Windows, at_random, by_clusters, check_share, choose, cluster
from nucleosynth.data.findings import strictly
from nucleosynth.data.reader import read
from nucleosynth.data.windows import Cutting, prepared, windows
from nucleosynth.encoders import encoder as encoders
from nucleosynth.encoders.encoder import Encoder
from nucleosynth.errors import unknown_name
from nucleosynth.progress import progress, say
from nucleosynth.run import versions, write_whole
from nucleosynth.sample import Sample
from nucleosynth.verbs.tiles import Tiles, looked_at

RECORD = "_subset.json"
"""In the folder of a store; of any other format beside the folder, after its name."""
AT_ONCE = 32
"""Windows that the encoder is given at once."""
By = Literal["clusters", "random"]


def subset(
    data: Positional[str],
    out: Positional[Path],
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
    pixel of it. The share is met within 1 % of itself where single windows are small enough steps; else the nearest is
    taken, and said. It is a choice of windows, not of sources: for what must be fair by slide or patient, `study
    --fraction` takes whole sources. The record (what was asked and reached, and how) is _subset.json in the store, or
    OUT_subset.json beside another format's folder; it is returned as well.

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
        UserError: as `tiles`; a share that is none, data without nuclei, or an encoder without its weights.
    """
    if by not in get_args(By):
        raise unknown_name("way to choose", by, get_args(By), "--by")
    check_share(nuclei)
    cutting = Cutting(size, max(size // 2, 1) if stride is None else stride, mpp, source_mpp)
    write = catalog.load("format", to)
    encode = encoders.load(encoder) if by == "clusters" else None
    grouped = {"clusters": clusters, "encoder": encoder} if encode else {}
    options = {
        "nuclei": nuclei,
        "by": by,
        "seed": seed,
        **grouped,
        "size": size,
        "stride": cutting.stride,
        "split": split,
    }
    options |= {"classes": classes, "mpp": mpp, "source_mpp": source_mpp, "to": to}
    found: dict[str, Any] = {}
    write(_chosen(partial(read, data, split, classes), cutting, encode, options, found), out, overwrite=overwrite)
    record = {"asked": nuclei, "data": data, **options, **found}
    record |= {"encoder": encode and {"name": encode.name, "digest": encode.digest}}
    record |= {"command": _command(data, out, options), "versions": versions()}
    path = out / RECORD if to == "store" else out.with_name(out.name + RECORD)
    write_whole(path, json.dumps(record, indent=1))
    _tell(record, path)
    return record


class _Look(NamedTuple):
    """What was seen of all windows: the nuclei of each, numbered over all tiles; features (n width), if an encoder was
    given; and with which window each tile begins, and where the last one ends."""

    nuclei: list[NDArray[np.intp]]
    features: NDArray[np.float32] | None
    begins: list[int]


def _chosen(
    tiles: Tiles, cutting: Cutting, encode: Encoder | None, options: dict[str, Any], found: dict[str, Any]
) -> Iterator[Sample]:
    """The chosen windows; what was reached, and how, is in `found` before the first one comes."""
    look = _look(tiles, cutting, encode)
    if look.features is None:
        order = at_random(len(look.nuclei), options["seed"])
    else:
        clusters = cluster(look.features, options["clusters"], options["seed"])
        found["clusters"] = len(np.unique(clusters.cluster))
        order = by_clusters(clusters)
    choice = choose(order, look.nuclei, options["nuclei"])
    found |= {"reached": choice.reached, "met": choice.met(options["nuclei"])}
    found |= {"nuclei": choice.nuclei, "nuclei_of": len(np.unique(np.concatenate(look.nuclei)))}
    found |= {"windows": len(choice.windows), "windows_of": len(order)}
    found |= {"fraction": choice.fraction, "singles": choice.singles}
    yield from _cut(tiles, cutting, look.begins, choice.windows)


def _look(tiles: Tiles, cutting: Cutting, encode: Encoder | None) -> _Look:
    extent = looked_at(tiles, cutting)
    nuclei: list[NDArray[np.intp]] = []
    features: list[NDArray[np.float32]] = []
    begins, before = [0], 0
    with progress("look at windows", extent.windows) as report:
        for sample in tiles(note=strictly):
            tile = prepared(sample, cutting)
            remaining = windows(tile, cutting)
            while some := list(islice(remaining, AT_ONCE)):
                nuclei += [window.ids - 1 + before for window in some]
                if encode:
                    features.append(encode(np.stack([window.sample.image for window in some])))
                report(len(nuclei))
            begins.append(len(nuclei))
            before += len(tile.classes)
    return _Look(nuclei, np.concatenate(features) if encode else None, begins)


def _cut(tiles: Tiles, cutting: Cutting, begins: list[int], chosen: Windows) -> Iterator[Sample]:
    """The windows with these numbers, in order; the tiles are read once more."""
    with progress("write windows", len(chosen)) as report:
        for sample, (begin, end) in zip(tiles(), pairwise(begins), strict=True):
            wanted = set(chosen[(begin <= chosen) & (chosen < end)].tolist())
            cut = windows(prepared(sample, cutting), cutting) if wanted else iter(())
            for number, window in enumerate(cut, start=begin):
                if number in wanted:
                    report(int(np.searchsorted(chosen, number)) + 1)
                    yield window.sample


def _command(data: str, out: Path, options: dict[str, Any]) -> str:
    given = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items() if value is not None]
    return shlex.join(["nucleosynth", "subset", data, str(out), *(word for pair in given for word in pair)])


def _tell(record: dict[str, Any], path: Path) -> None:
    of = f"{record['nuclei']} of {record['nuclei_of']} nuclei in {record['windows']} of {record['windows_of']} windows"
    say(f"{of}: a share of {record['reached']:.4f}, asked {record['asked']:g}; record: {path}")
    if not record["met"]:
        say("windows are too few, or too full, to come within 1 % of the share: this is the nearest")
