"""Tables of tiles: arms, what they are trained on, what synthetic tiles look like, and the published rows."""

from collections.abc import Iterable, Sequence
from typing import Any

from nucleosynth.report import published as papers
from nucleosynth.report.copies import chances_of
from nucleosynth.report.csv_table import JUDGE, Table
from nucleosynth.report.distances import distances as all_distances
from nucleosynth.report.plots import makers_of
from nucleosynth.report.results import Colour, Results


def arms(results: Results) -> Table:
    """A row for each arm."""
    columns = {
        "arm": "its name",
        "label": "as the report calls it",
        "reference": "the arm that it is compared with; empty: none",
        "classic": "windows are varied by the conventional augmentation",
        "maker": "where its synthetic tiles come from; empty: it has none",
        "ratio": "synthetic area for each real one, asked; empty: all of a store, or no synthetic tiles",
        "compute_of": "the maker whose compute, of fitting and of making all pairs, buys further steps on real tiles",
    }
    return Table(
        "arms", columns, [tuple(getattr(arm, _OF_ARM.get(name, name)) for name in columns) for arm in results.arms]
    )


_OF_ARM = {"arm": "name"}


def parts(results: Results) -> Table:
    """Three rows for each fold and fraction."""
    columns = {
        "fold": "of the data",
        "fraction": "of the labelled nuclei, asked",
        "reached": "share of the available training nuclei that is used",
        "set": "available: all training tiles of the fold; training: those used; test",
        "tiles": "how many",
        "nuclei": "how many",
        "area_mm2": "of tissue",
        "sources": "where they come from, semicolons between",
    }
    rows = [
        (part.fold, part.fraction, part.reached, name, tiles.tiles, tiles.nuclei, tiles.area_mm2, tiles.sources)
        for part in results.parts
        for name, tiles in (("available", part.available), ("training", part.training), ("test", part.test))
    ]
    return Table("parts", columns, rows)


def makers(results: Results) -> Table:
    """A row for each maker, fold and fraction."""
    columns = {
        "maker": "its name in arms.csv",
        "label": "as the report calls it",
        "fold": "of the data",
        "fraction": "of the labelled nuclei, asked",
        "tiles": "synthetic tiles that were made",
        "nuclei": "in them",
        "area_mm2": "of them",
        "fit_seconds": "training of the generator; empty: a store",
        "make_seconds": "making of the tiles",
        "diversity": "difference of images of one layout, as a share of that of different real tiles",
        "windows_synthetic": "that were measured",
        "windows_training": "that they were measured against",
        "windows_test": "that are the floor",
        "side_px": "of a window",
        "mpp": "of a window, µm per px",
        "contrast": "mean haematoxylin of nuclei above their surroundings, optical density",
        "contrast_real": "the same of training windows",
        "encoder": "what distances are measured by, with the digest of its weights",
        "compared": "windows that were looked for in all training tiles",
        **{name: f"{meaning}, see distance of copies" for name, meaning in _COPIES.items()},
        "p_nearer_corrected": "Holm's, over both tests of all makers, folds and fractions",
        "p_closest_corrected": "likewise",
    }
    rows = []
    for maker in results.makers:
        tiles, seen = maker.synthetic, maker.evidence
        made = (maker.name, maker.label, maker.fold, maker.fraction, tiles.tiles, tiles.nuclei, tiles.area_mm2)
        windows = tuple(seen.windows.get(name) for name in ("synthetic", "training", "test"))
        looks = (seen.side_px, seen.mpp, seen.contrast, seen.contrast_real, seen.encoder, seen.compared)
        copies = tuple(seen.copies.get(name) for name in _COPIES)
        rows.append(
            (
                *made,
                maker.fit_seconds,
                maker.make_seconds,
                maker.diversity,
                *windows,
                *looks,
                *copies,
                *chances_of(maker, results),
            )
        )
    return Table("makers", columns, rows)


_COPIES = {
    "distance": "median of 1 - correlation with the nearest training crop",
    "held_out_distance": "the same of test windows",
    "share_closer": "share nearer than any test window",
    "p_nearer": "chance that all are so near",
    "p_closest": "chance that so many are nearer",
}


def classes(results: Results) -> Table:
    """A row for each set of tiles and class."""
    columns = {
        "fold": "of the data",
        "fraction": "of the labelled nuclei, asked",
        "set": "training, test, or the name of a maker",
        "class": "of nuclei",
        "nuclei": "how many",
        "share": "of all nuclei of known class of the set",
    }
    rows: list[Sequence[Any]] = []
    for part in results.parts:
        sets = [("training", part.training), ("test", part.test)]
        sets += [(maker.name, maker.synthetic) for maker in makers_of(results, part)]
        for name, tiles in sets:
            total = sum(tiles.classes.values())
            rows += [
                (part.fold, part.fraction, name, kind, nuclei, nuclei / total if total else None)
                for kind, nuclei in tiles.classes.items()
            ]
    return Table("classes", columns, rows)


def distances(results: Results) -> Table:
    """A row for each maker, fold, fraction and distance."""
    columns = {
        "maker": "its name in arms.csv",
        "fraction": JUDGE["fraction"],
        "fold": 'of the data; "mean": over all folds',
        "metric": "with its encoder; FSD in per cent squared, background among the classes",
        "value": "synthetic against training windows",
        "low": "of the 95 % interval",
        "high": "of the 95 % interval",
        "floor": "test against training windows",
        "better": "lower or higher",
    }
    rows = [
        (d.maker, d.fraction, d.fold, e.metric, e.value, e.low, e.high, e.floor, e.better)
        for d in all_distances(results)
        for e in (d.estimate,)
    ]
    return Table("distances", columns, rows)


def consistency(results: Results) -> Table:
    """A row for each maker, fold, fraction and score of the witness."""
    columns = {
        "maker": "its name in arms.csv",
        "fold": "of the data",
        "fraction": JUDGE["fraction"],
        "metric": "between what the witness, a network that judges nothing, sees in windows and their labels",
        "seed": "of the witness, no judge's",
        "steps": "that it was trained for, on the real training tiles alone",
        "windows_synthetic": "that it was shown",
        "windows_test": "that it was shown",
        **{
            side + end: f"{meaning}{tail}"
            for side, meaning in _AGREEMENT.items()
            for end, tail in (("", ""), ("_low", ": lower end of the 95 % interval"), ("_high", ": upper end"))
        },
    }
    rows = [
        (
            *(maker.name, maker.fold, maker.fraction, each.metric, found.seed, found.steps),
            *(found.windows.get(name) for name in ("synthetic", "test")),
            *(value for side in _AGREEMENT for value in getattr(each, side).model_dump().values()),
        )
        for maker in results.makers
        if (found := maker.evidence.consistency)
        for each in found.scores
    ]
    return Table("consistency", columns, rows)


_AGREEMENT = {
    "synthetic": "of synthetic windows",
    "real": "of test windows",
    "share": "synthetic as a share of test",
}


def colours(results: Results) -> Table:
    """A row for each tissue and set of tiles."""
    columns = {
        "tissue": "as the data name it",
        "of": '"real", or the label of a maker',
        "tiles": "how many",
        "red": "mean, 0..255",
        "green": "mean, 0..255",
        "blue": "mean, 0..255",
        "haematoxylin": "mean optical density",
        "eosin": "mean optical density",
        "rgb_difference": "length of the difference to real tiles of the tissue, 0..442",
        "haematoxylin_difference": "less that of real tiles",
        "eosin_difference": "less that of real tiles",
    }
    rows = [
        (
            c.tissue,
            c.of,
            c.tiles,
            *c.rgb,
            c.haematoxylin,
            c.eosin,
            *(colour_differences(c, results.colours) or (None,) * 3),
        )
        for c in results.colours
    ]
    return Table("colours", columns, rows)


def colour_differences(colour: Colour, colours: Iterable[Colour]) -> tuple[float, float, float] | None:
    """A maker's colour less that of real tiles of its tissue: length of the RGB difference, haematoxylin, eosin."""
    real = next((each for each in colours if (each.tissue, each.of) == (colour.tissue, "real")), None)
    if real is None or colour is real:
        return None
    length = sum((a - b) ** 2 for a, b in zip(colour.rgb, real.rgb, strict=True)) ** 0.5
    return length, colour.haematoxylin - real.haematoxylin, colour.eosin - real.eosin


def published(results: Results) -> Table:
    """A row for each published number of this data set."""
    columns = {
        "paper": "that reports it",
        "year": "of the paper; empty: not known",
        "data_set": "as our readers are called",
        "trained_on": "the judge, or what made the images",
        "judge": "of the paper",
        "fraction": "of the labelled nuclei",
        "metric": "named as ours; FID, IS and FSD as the paper's",
        "value": "as published",
        "runs": "that it is the mean of",
    }
    rows = [
        (
            row.paper,
            papers.YEARS[row.paper],
            row.data_set,
            row.trained_on,
            row.judge,
            row.fraction,
            name,
            value,
            papers.RUNS,
        )
        for row in papers.rows(results.data_set)
        for name, value in row.metrics.items()
    ]
    return Table("published", columns, rows)
