"""`nucleosynth layouts fit` and `layouts sample`: the points of training tiles, and new layouts made from them."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nucleosynth import config
from nucleosynth.data.reader import read
from nucleosynth.data.splits import TRAIN, is_held_out
from nucleosynth.errors import UserError
from nucleosynth.layouts import table
from nucleosynth.layouts.library import Library, SamplingSettings
from nucleosynth.layouts.picture import sheet
from nucleosynth.pictures import write_png
from nucleosynth.progress import count_of, say
from nucleosynth.sample import Sample
from nucleosynth.verbs.fit import assignments
from nucleosynth.verbs.options import Data

LibraryFile = Annotated[Positional[Path], arg(metavar="LIBRARY")]
SHOWN = 32
"""Layouts in the picture."""


def fit(
    data: Data,
    *,
    out: Path,
    split: str | None = None,
    classes: str | None = None,
    mpp: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Gather the points of training tiles in a library, one layout for each tile; returns `out`.

    Tiles of a test or validation split are refused.

    Args:
        data: labelled tiles (name:path, or the path of a store), or a table of layouts (a .parquet file).
        out: the library, a table of layouts (.parquet).
        split: use only this split, or several (fold1,fold2); by default "train", or all tiles where none has a split.
        classes: read the tiles in this class scheme: a name of `nucleosynth list`, or a TOML file.
        mpp: micrometres per pixel of tiles that state none.
        overwrite: replace a file that is there.

    Raises:
        UserError: data that cannot be read, held-out tiles, splits none of which is called train while none is asked
            for, no nucleus, or a file that is there already.
    """
    _check_out(out, overwrite)
    if table.is_table(data):
        if split or classes:
            got = " and ".join(name for name, value in (("--split", split), ("--classes", classes)) if value)
            raise UserError(
                "a table of layouts has neither splits nor schemes",
                expected="labelled tiles",
                got=got,
                where=data,
                mend=f"leave out {got}, or give the tiles that the table was made of",
            )
        library = Library.read(Path(data))
    else:
        library = Library.of(_training(data, split, classes), mpp)
    library.write(out)
    nuclei = sum(len(pattern.classes) for pattern in library.patterns)
    sources = len({pattern.source for pattern in library.patterns})
    say(f"{count_of(len(library.patterns), 'layout')} of {nuclei} nuclei, {count_of(sources, 'source')}, in {out}")
    return out


def sample(
    library: LibraryFile,
    *,
    out: Path,
    n: int = 64,
    size: int = 256,
    mpp: float = 0.25,
    seed: int = 0,
    set: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Make new layouts from a library by random transforms, with a picture of them beside the table; returns `out`.

    Layout k depends on the seed and k alone. The table is what `generate --points` takes; what was done to each layout
    stands in it, and in the provenance of the tiles that are made for it.

    Args:
        library: a table of real layouts, as `layouts fit` writes it.
        out: the layouts, a table (.parquet).
        n: how many.
        size: side of a layout, px.
        mpp: micrometres per pixel of that size.
        seed: of all randomness.
        set: change how often a transform is used, as generate=0.5 (also combine, affine, cover, thin).
        overwrite: replace a file that is there.

    Raises:
        UserError: no library, a number that is none, or a file that is there already.
    """
    _check_out(out, overwrite)
    for name, value in (("--n", n), ("--size", size), ("--mpp", mpp)):
        if not value > 0:
            raise UserError(
                f"{name} is too small",
                expected="above 0",
                got=str(value),
                where="nucleosynth layouts sample",
                mend=f"give a number above 0, or leave {name} out",
            )
    settings = config.resolve(SamplingSettings(), assignments(set), "--set")
    made = list(islice(Library.read(library).sample(seed, (size * mpp, size * mpp), settings), n))
    table.write(out, made)
    picture = out.with_suffix(".png")
    write_png(picture, sheet(made[:SHOWN]))
    nuclei = sum(len(pattern.classes) for pattern in made)
    say(f"{count_of(n, 'layout')} of {nuclei} nuclei in {out}; picture: {picture}")
    return out


def _training(data: str, split: str | None, classes: str | None) -> list[Sample]:
    """The tiles of the split; unless one is asked for those of "train", or all where there are no splits.

    Raises:
        UserError: splits of other names, any of which may be held out.
    """
    tiles = list(read(data, split, classes))
    there = sorted({tile.split for tile in tiles} - {""})
    if split is not None or not there:
        return tiles
    if TRAIN not in there:
        likely = [name for name in there if not is_held_out(name)]
        raise UserError(
            "which splits to make the library of is not said",
            expected=f"a split {TRAIN!r}, or --split with those to train on",
            got=", ".join(map(repr, there)),
            where=data,
            mend=f"name them, as in --split {likely[0]}; leave out what tests are made on"
            if likely
            else "give training tiles, for these are of test or validation splits",
        )
    tiles = [tile for tile in tiles if tile.split == TRAIN]
    say(f"{data}: a library of its split {TRAIN!r}, {count_of(len(tiles), 'tile')}")
    return tiles


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix != table.SUFFIX:
        raise UserError(
            "not a table's name",
            expected=f"a file *{table.SUFFIX}",
            got=str(out),
            where="--out",
            mend=f"end the name in {table.SUFFIX}",
        )
    if out.exists() and not overwrite:
        raise UserError(
            "the file is there already",
            expected="a new file, or --overwrite",
            got=str(out),
            where="--out",
            mend="give another name, or --overwrite to replace it",
        )
