"""`nucleosynth convert`: data of any kind into a store or another format."""

from nucleosynth import catalog
from nucleosynth.data.reader import read
from nucleosynth.progress import count_of, say
from nucleosynth.verbs.options import Data, Out


def convert(
    data: Data,
    out: Out,
    *,
    to: str = "store",
    split: str | None = None,
    classes: str | None = None,
    overwrite: bool = False,
) -> int:
    """Write data of any kind as a store or in another format.

    The output appears when all of it is written; until then, what was there before stays. Returns the number of tiles.

    Args:
        data: what to read: name:path, or the path of a store; names are in `nucleosynth list`.
        out: the folder to write.
        to: the format; names are in `nucleosynth list`.
        split: keep only this official split, or several (fold1,fold2).
        classes: read them in this class scheme: a name of `nucleosynth list`, or a TOML file.
        overwrite: replace what this program has written there.

    Raises:
        UserError: an unknown name, data that cannot be read, or an output folder that holds something else.
    """
    write = catalog.load("format", to)
    count: int = write(read(data, split, classes), out, overwrite=overwrite)
    say(f"{count_of(count, 'tile')} written to {out}")
    return count
