"""How fast are tiles converted? 1000 tiles of 256^2 into each format and back into a store, with the peak memory.

Each conversion runs in a process of its own, so that its peak is its own. The tiles are drawn tissue in a plain folder
(written first, not timed), so the first row reads PNGs and writes a store, as a user's first command does.

    python benchmarks/speed_conversion.py [TILES]
"""

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from nucleosynth.catalog import CATALOG, load
from nucleosynth.data.phantom import read as drawn
from nucleosynth.formats import folder

TILES = 1000
DRAWN = 64
"""Different tiles; the rest are copies of them under other names, which cost as much to code."""
HEADINGS = ("out, tiles/s", "peak MB", "back, tiles/s", "peak MB", "MB on disk")


def main() -> None:
    """Print a table: format, tiles a second out and back, peak MB of each, MB on disk."""
    if len(sys.argv) == 4:
        convert(*sys.argv[1:])
        return
    tiles = int(sys.argv[1]) if len(sys.argv) > 1 else TILES
    with tempfile.TemporaryDirectory() as place:
        root, given = Path(place), Path(place) / "given"
        samples = list(drawn(f"tiles={min(tiles, DRAWN)}&size=256&sources=8"))
        folder.write((replace(samples[k % len(samples)], sample_id=f"tile_{k:05d}") for k in range(tiles)), given)
        print(f"{tiles} tiles of 256^2, both ways, each in a process of its own")
        print(f"{'format':<20}" + "".join(f"{heading:>15}" for heading in HEADINGS))
        print(row("store", f"folder:{given}", root, tiles, back="folder"))
        for entry in CATALOG["format"]:
            if entry.name != "store":
                print(row(entry.name, str(root / "store"), root, tiles, back="store"))


def row(name: str, data: str, root: Path, tiles: int, back: str) -> str:
    """One line of the table."""
    out = root / name
    readers = {entry.name for entry in CATALOG["data set"]}
    reader = next(each for each in (name, name.partition("-")[0], "folder") if each in readers)
    seconds, peak = measured(data, name, out)
    seconds_back, peak_back = measured(f"{reader}:{out}", back, root / f"{name}_back")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    numbers = (tiles / seconds, peak, tiles / seconds_back, peak_back, size)
    return f"{name:<20}" + "".join(f"{number:>15.0f}" for number in numbers)


def measured(data: str, to: str, out: Path) -> tuple[float, float]:
    """Seconds and peak MB of a conversion."""
    done = subprocess.run([sys.executable, __file__, data, to, str(out)], check=True, stdout=subprocess.PIPE, text=True)
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def convert(data: str, to: str, out: str) -> None:
    """Convert, and print what it took; imports and the first compilation are not timed."""
    from nucleosynth.data.reader import read

    write = load("format", to)
    next(read(data))
    began = time.perf_counter()
    write(read(data), out)
    print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
