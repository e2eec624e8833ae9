"""The training tiles in the run folder, for methods that generate from real labels or layouts.

tiles/    a store of the tiles at the method's resolution
"""

from collections.abc import Sequence

from nucleosynth.data import store
from nucleosynth.run import Run
from nucleosynth.sample import Sample

FOLDER = "tiles"


def keep(run: Run, tiles: Sequence[Sample]) -> None:
    """Put the tiles into the run folder; a resumed run has them already."""
    if not (run.resume and (run.folder / FOLDER).exists()):
        store.write(tiles, run.folder / FOLDER, overwrite=True)


def kept(run: Run) -> list[Sample]:
    """The tiles of a run.

    Raises:
        UserError: they are not there, or not whole.
    """
    return list(store.read(str(run.folder / FOLDER)))
