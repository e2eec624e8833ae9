"""How much memory does PanNuke take? A whole fold of made-up arrays, float64 as published, larger than many memories.

The arrays are sparse (holes in a file cost no disk), 2656 tiles: 4.2 GB of images and 8.4 GB of masks, and empty. They
are read in a process of its own, whose peak is printed.

    python benchmarks/memory_pannuke.py [TILES]
"""

import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TILES = 2656
READ = """
import resource, sys, time
from nucleosynth.data.reader import read
began = time.perf_counter()
tiles = sum(1 for _ in read("pannuke:" + sys.argv[1]))
seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{tiles} tiles, {tiles / seconds:.0f} a second, peak {peak:.0f} MB")
"""


def main() -> None:
    """Print tiles, tiles a second, and the peak."""
    tiles = int(sys.argv[1]) if len(sys.argv) > 1 else TILES
    with tempfile.TemporaryDirectory() as place:
        fold = Path(place) / "Fold 1"
        sparse(fold / "images" / "fold1" / "images.npy", (tiles, 256, 256, 3))
        sparse(fold / "masks" / "fold1" / "masks.npy", (tiles, 256, 256, 6))
        np.save(fold / "images" / "fold1" / "types.npy", np.array(["Breast"] * tiles))
        subprocess.run([sys.executable, "-c", READ, place], check=True, stderr=subprocess.DEVNULL)


def sparse(path: Path, shape: tuple[int, ...]) -> None:
    """A float64 array of zeros that takes no room on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + 8 * math.prod(shape))


if __name__ == "__main__":
    main()
