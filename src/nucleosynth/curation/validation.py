"""Every problem of some data at once, where reading them would stop at the first.

What the reader meets is kept (data/findings.py), and each tile that can be read is looked at: is it there twice, is its
source in two splits, do its nuclei lie where the image is dark, is anything unknown that others will ask for?
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from skimage import measure

from nucleosynth.curation.census import Census
from nucleosynth.data.findings import PROBLEMS, Finding, Kind, broken_tile, repairs_of
from nucleosynth.data.reader import resolve
from nucleosynth.data.schemes import merging
from nucleosynth.errors import UserError
from nucleosynth.metrics.contrast import nuclear_contrast
from nucleosynth.sample import Sample

LEAST_CONTRAST = 0.02
"""Haematoxylin of nuclei above their surroundings; real tiles have .1 to .5."""
PARTS = 5
"""Parts of the average nucleus from which on a label looks like a mask of all nuclei at once."""
ENOUGH = 10
"""Nuclei of a tile from which on its contrast tells something."""
SPECK_PX = 10
REGION = 0.25
"""Share of a tile from which on a nucleus is suspected to be none ..."""
REGION_TILE_PX = 64**2
"""... in a tile of at least so many pixels."""
MPP = (0.05, 4.0)
"""Micrometres per pixel at which nuclei can be labelled; others are a slip of units."""
_FAILURES = (UserError, OSError, MemoryError)


@dataclass(frozen=True)
class Verdict:
    """What is wrong with some data, what is good to know of them, and how much could be read."""

    data: str
    findings: tuple[Finding, ...]
    images: int
    nuclei: int

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that a person has to act on."""
        return tuple(finding for finding in self.findings if finding.kind in PROBLEMS)

    @property
    def exit_code(self) -> int:
        """0 when all is well, 2 when there are problems."""
        return 2 if self.problems else 0

    def numbers(self) -> dict[str, Any]:
        """JSON-able."""
        rows = [{"kind": f.kind, "where": f.where, "what": f.text, "mend": f.mend} for f in self.findings]
        return {
            "data": self.data,
            "images": self.images,
            "nuclei": self.nuclei,
            "problems": len(self.problems),
            "findings": rows,
        }


def examine(data: str, classes: str | None = None) -> Verdict:
    """Read all tiles of DATA that can be read (in a class scheme, if one is given), and say what is wrong.

    Raises:
        UserError: an unknown data set or scheme; whatever else is wrong is a finding.
    """
    reader, where = resolve(data)
    merge = merging(classes)
    findings: list[Finding] = []
    census, splits, names = Census(), dict[str, str](), set[str]()

    def hear(finding: Finding) -> None:
        if finding.kind != "repaired":  # the tile itself counts that
            findings.append(finding)

    try:
        for sample in reader(where, hear):
            try:
                sample = merge(sample)
                found = [*_of_names(sample, names, splits), *_of_tile(sample)]
                census.add(sample)
            except _FAILURES as error:
                findings.append(_failure(error, sample.sample_id))
            else:
                findings += found
    except _FAILURES as error:
        findings.append(_failure(error, data, "; what follows was not looked at"))
    findings += _of_all(census, data, nothing_said=not any(each.kind in PROBLEMS for each in findings))
    order = get_args(Kind)
    named = (replace(each, where=each.where or data) for each in findings)
    return Verdict(data, tuple(sorted(named, key=lambda f: order.index(f.kind))), census.images, census.nuclei)


def _failure(error: UserError | OSError | MemoryError, name: str, after: str = "") -> Finding:
    """The finding for a tile, or data, that could not be read or looked at."""
    if isinstance(error, UserError):
        return broken_tile(error)
    if isinstance(error, MemoryError):
        mend = "cut it into smaller tiles, or free memory"
        return Finding("broken", name, f"the memory does not hold it{after}", mend)
    what = f"it cannot be read: {error.strerror or error}{after}"
    mend = "see whether you may read it, and whether its disk is sound"
    return Finding("broken", str(error.filename or name), what, mend)


def _of_names(sample: Sample, names: set[str], splits: dict[str, str]) -> Iterator[Finding]:
    if sample.sample_id in names:
        yield Finding("suspicious", sample.sample_id, "two tiles of this name", "rename one of them")
    names.add(sample.sample_id)
    split = splits.setdefault(sample.source, sample.split)
    if split != sample.split:
        what = f"its source {sample.source} is in the splits {split!r} and {sample.split!r}"
        yield Finding("suspicious", sample.sample_id, what, "split by slide or patient, never within one")


def _of_tile(sample: Sample) -> Iterator[Finding]:
    name = sample.sample_id
    for words, count in repairs_of(sample).items():
        yield Finding("repaired", name, words, count=count)
    areas = np.bincount(sample.instances.ravel())[1:]
    specks = int((areas < SPECK_PX).sum())
    if specks:
        yield Finding("note", name, f"nuclei of fewer than {SPECK_PX} px", count=specks)
    if sample.instances.size >= REGION_TILE_PX and areas.max(initial=0) > REGION * sample.instances.size:
        what = f"a nucleus over {100 * REGION:.0f} % of the tile: is it a region?"
        yield Finding("suspicious", name, what, "leave regions out of the label of nuclei")
    parts = int(measure.label(sample.instances, connectivity=2).max(initial=0))  # type: ignore[no-untyped-call]
    if parts >= PARTS * max(len(areas), 1):
        what = f"its nuclei lie in {parts} parts, {parts / len(areas):.0f} for each: is it a mask without ids?"
        yield Finding("suspicious", name, what, "give each nucleus a number of its own")
    if sample.mpp is not None and not MPP[0] <= sample.mpp <= MPP[1]:
        what = f"a resolution of {sample.mpp:g} um per px, outside {MPP[0]:g} to {MPP[1]:g}"
        yield Finding("suspicious", name, what, "state micrometres per pixel: about 0.25 at 40x, 0.5 at 20x")
    if sample.stain == "H&E" and sample.labelled_as != "points" and len(sample.classes) >= ENOUGH:
        contrasts = nuclear_contrast(sample.image, sample.instances)
        contrast = float(contrasts[~np.isnan(contrasts)].mean()) if not np.isnan(contrasts).all() else 0.0
        if contrast <= LEAST_CONTRAST:
            what = f"its nuclei are no darker than what is around them (haematoxylin {contrast:+.3f})"
            yield Finding("suspicious", name, what, "see whether the label is of another tile, or turned or shifted")


def _of_all(census: Census, data: str, nothing_said: bool) -> Iterator[Finding]:
    if not census.images:
        if nothing_said:
            yield Finding("broken", data, "no tile could be read", "see whether this is the folder that holds them")
        return
    for group in census.duplicates():
        across = len(group["splits"]) > 1
        mend = "keep one of them" + (", and in one split" if across else "")
        what = "the same tile as " + ", ".join(group["tiles"][1:])
        what += f", in splits {' and '.join(group['splits'])}" if across else ""
        yield Finding("suspicious", group["tiles"][0], what, mend)
    unknown = census.counts["mpp"]["unknown"]
    if unknown:
        what = f"no resolution is stated for {unknown} of {census.images} tiles"
        yield Finding(
            "note", data, what, "state mpp (meta.toml of a folder), or give --source-mpp to `nucleosynth tiles`"
        )
    untyped = census.counts["classes"]["unknown"]
    if untyped:
        yield Finding("note", data, f"{untyped} of {census.nuclei} nuclei are of unknown type")
    if not census.nuclei:
        yield Finding("suspicious", data, "no tile has a nucleus", "see whether the labels are those of these images")
