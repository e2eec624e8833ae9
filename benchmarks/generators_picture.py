"""One picture of several generators: a row of pairs from each store, image beside outlined image.

    python benchmarks/generators_picture.py STORE ... --out docs/generators.png [--columns 4] [--least 5]

A row shows the first pairs of its store that have at least `--least` nuclei; nothing else is chosen.
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

from nucleosynth.data.reader import read
from nucleosynth.pictures import contact_sheet, write_png

CELL_PX = 192


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--least", type=int, default=5)
    options = parser.parse_args()
    rows = []
    for store in options.stores:
        full = (sample for sample in read(store) if len(sample.classes) >= options.least)
        rows.append(contact_sheet(list(islice(full, options.columns)), options.columns, CELL_PX))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    write_png(options.out, np.concatenate(padded))


if __name__ == "__main__":
    main()
