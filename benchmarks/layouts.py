"""Do sampled layouts keep the counts and distances of the library that they come from?

    python benchmarks/layouts.py LAYOUTS.parquet --json benchmarks/results/layouts_puma.json --picture layouts.png

A library of all regions of the table; real layouts are windows of them side by side, the halves of the spread are of
whole regions (metrics.layout). Beside the settings as they are, each transform by itself, always used.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

import numpy as np

from nucleosynth.layouts.library import Library, SamplingSettings
from nucleosynth.layouts.pattern import Pattern
from nucleosynth.layouts.picture import sheet
from nucleosynth.metrics.layout import layout_distances, within
from nucleosynth.pictures import write_png
from nucleosynth.sample import Layout

MPP = 0.25
NONE = SamplingSettings(generate=0, combine=0, affine=0, cover=0, thin=0)
PARTS = ("generate", "combine", "affine", "cover", "thin")


def windows(library: Library, side_um: float) -> tuple[list[Pattern], list[int]]:
    """Windows of all patterns side by side, and the pattern that each is from."""
    found = []
    for k, pattern in enumerate(library.patterns):
        height, width = pattern.size_um
        for top in np.arange(0, height - side_um + 1e-9, side_um):
            found += [
                (pattern.crop(top, left, side_um, side_um), k) for left in np.arange(0, width - side_um + 1e-9, side_um)
            ]
    return [window for window, _ in found], [k for _, k in found]


def layouts(patterns: list[Pattern]) -> list[Layout]:
    """In pixels."""
    return [pattern.layout(MPP) for pattern in patterns]


def main() -> None:
    """Measure and print; write JSON and a picture if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--side", type=float, default=58.0, help="of a layout, um")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--halvings", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    library = Library.read(options.table)
    real, groups = windows(library, options.side)
    cases = {"as it is": SamplingSettings(), "rotate alone": NONE}
    cases |= {f"{part} always": NONE.model_copy(update={part: 1.0}) for part in PARTS}
    results = {}
    for name, settings in cases.items():
        made = list(islice(library.sample(0, (options.side, options.side), settings), options.n))
        distances = layout_distances(
            layouts(real), layouts(made), library.class_names, groups=np.array(groups), halvings=options.halvings
        )
        judged = within(distances)
        beyond = [each for each, inside in judged.items() if not inside]
        results[name] = {
            "within": len(judged) - len(beyond),
            "of": len(judged),
            "beyond": beyond,
            "distances": distances,
        }
        print(
            f"{name}: {len(judged) - len(beyond)} of {len(judged)} within; beyond: {', '.join(beyond) or 'none'}",
            flush=True,
        )
        if name == "as it is" and options.picture:
            chosen = np.random.default_rng(0).permutation(len(real))[:16]
            write_png(options.picture, sheet([*(real[k] for k in chosen), *made[:16]]))
    for kind in judged:
        found = results["as it is"]["distances"]
        row = (found[f"{kind}.{word}"] for word in ("floor", "limit", "at_floor"))
        print(f"| {kind} | {' | '.join(f'{value:.3g}' for value in row)} |")
    if options.json:
        story = {"side_um": options.side, "n": options.n, "real": len(real), "halvings": options.halvings}
        options.json.write_text(json.dumps({**story, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
