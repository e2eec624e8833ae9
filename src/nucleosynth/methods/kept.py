"""The training tiles in the run folder, for methods that generate from real labels or layouts.

tiles/    a store of the tiles at the method's resolution
"""

from collections.abc import Sequence

from nucleosynth.data import store
from nucleosynth.data.crops import Crops
from nucleosynth.errors import UserError
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


def kept_windows(tiles: Sequence[Sample], size: tuple[int, int], usual: tuple[int, int], border: int = 0) -> Crops:
    """Squares to cut conditions of `size` (h w) px from, with a border around them.

    Windows no larger than the `usual` ones, which are those of the training, come from all tiles, smaller ones
    mirrored; larger ones from the tiles that are as large, without their border.

    Raises:
        UserError: no tile is as large as such a window.
    """
    side = max(size)
    if side > max(usual):
        large = [tile for tile in tiles if min(tile.size) >= side]
        if not large:
            most = max(*usual, *(min(tile.size) for tile in tiles))
            raise UserError(
                "no training tile is as large",
                expected=f"a size of at most {most} px, at the method's resolution",
                got=f"{side} px",
                where="--size",
                mend=f"ask for {most} px, or give labels or points of such a size where the method takes them",
            )
        tiles = large
    return Crops(tiles, side + 2 * border)
