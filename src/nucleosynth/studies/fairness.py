"""Which synthetic tiles an arm may use: those that know nothing but the arm's own training tiles.

A generator that saw other tiles brings labels that the real arm never had; one that saw test tiles brings the answers.
Every tile's provenance is read before any training starts.
"""

from collections.abc import Iterable, Iterator, Sequence

from nucleosynth.errors import UserError
from nucleosynth.metrics.overlap import check_names
from nucleosynth.run import TrainingSource
from nucleosynth.sample import Sample

SYNTHETIC = "synthetic"
SHOWN = 5


def check_stores(
    arm: str,
    tiles: Sequence[Sample],
    training: Sequence[Sample],
    tests: Sequence[Sample],
    available: Sequence[Sample] = (),
) -> None:
    """Refuse an arm whose tiles rest on other sources than those of `training`, or tell other classes apart.

    What a generator inherited from the run that it was begun from may be of other data, see `check_begun`; available:
    as there.

    Raises:
        UserError: tiles of the test split; a source, of the generator's training, of a given side or of a kept image,
            that is not among the training sources; a synthetic tile that does not say what its generator was trained
            on; other classes.
    """
    elsewhere = inherited(tiles) - {tile.source for tile in available}
    allowed, held_out = {tile.source for tile in training}, {tile.source for tile in tests}
    names, scheme = training[0].class_names, training[0].class_scheme
    rests_on: set[str] = set()
    for tile in tiles:
        if (tile.class_names, tile.class_scheme) != (names, scheme):
            raise UserError(
                "other classes",
                expected=f"{', '.join(names)} ({scheme or 'nothing merged'})",
                got=f"{', '.join(tile.class_names)} ({tile.class_scheme or 'nothing merged'})",
                where=f"arm {arm}, sample {tile.sample_id!r}",
                mend="make the pairs from tiles with the classes of the study",
            )
        rests_on.update(_sources(tile, arm))
    for sources, what in ((rests_on & held_out, "the test tiles"), (rests_on - allowed - elsewhere, "other tiles")):
        if sources:
            raise UserError(
                f"arm {arm} has seen {what}",
                expected=f"pairs that rest on the arm's {len(allowed)} training sources alone: {_some(allowed)}",
                got=f"{len(sources)} other source(s): {_some(sources)}",
                where=f"provenance of the tiles of {arm}",
                mend="name the method itself (real+METHOD): it is fitted inside, on exactly the arm's training tiles",
            )


def check_begun(
    arm: str,
    seen: Iterable[TrainingSource],
    training: Sequence[Sample],
    available: Sequence[Sample],
    tests: Sequence[Sample],
) -> None:
    """Refuse a run to begin from that has seen tiles of the study's own data beside an arm's training tiles.

    available: all tiles that may be trained on, of which `training` is the labelled fraction.

    Other data it may have seen: that is what it is begun from for, and the report says so.

    Raises:
        UserError: it has seen test tiles, or training tiles that this fraction leaves out.
    """
    own = {entry.source for entry in seen}
    labelled, known, held_out = ({tile.source for tile in tiles} for tiles in (training, available, tests))
    for sources, what in ((own & held_out, "the test tiles"), (own & known - labelled, "labels that it is without")):
        if sources:
            raise UserError(
                f"the run that {arm} begins from has seen {what}",
                expected=f"a run of other data, or of the arm's {len(labelled)} training sources: {_some(labelled)}",
                got=_some(sources),
                where=f"training_sources of {arm}",
                mend="begin from a run that was trained on other slides",
            )


def inherited(tiles: Iterable[Sample]) -> set[str]:
    """Sources that the generators of these tiles know from the runs that they were begun from alone."""
    behind = (entry for tile in tiles for entry in tile.provenance.get("training_sources", ()))
    return {entry["source"] for entry in behind if entry.get("inherited")}


def check_usable(tiles: Sequence[Sample], what: str) -> None:
    """Refuse tiles that no judge can be trained on or scored with.

    Raises:
        UserError: points without masks, an unknown resolution, tiles of different classes, or a class whose scores
            would be called as others are.
    """
    check_names(tiles[0].class_names if tiles else (), ("d",))  # F_d is of nuclei whatever their class
    for tile in tiles:
        if tile.labelled_as == "points" or tile.mpp is None or tile.class_names != tiles[0].class_names:
            points = "points alone" if tile.labelled_as == "points" else "masks"
            raise UserError(
                f"{what} that cannot be judged",
                expected=f"masks, micrometres per pixel, and the classes {', '.join(tiles[0].class_names)}",
                got=f"{points}, mpp {tile.mpp}, classes {', '.join(tile.class_names)}",
                where=f"sample {tile.sample_id!r}",
                mend="state mpp and class_names (meta.toml of a folder), or write tiles anew by `tiles --source-mpp`",
            )


def check_apart(training: Sequence[Sample], tests: Sequence[Sample]) -> None:
    """Refuse test tiles of a source that is trained on, and test tiles of other classes.

    Raises:
        UserError: see above; the message names them.
    """
    shared = {tile.source for tile in training} & {tile.source for tile in tests}
    if shared:
        raise UserError(
            "sources in training and test",
            expected="no slide or patient in both",
            got=_some(shared),
            mend="give other --test-data, or data with official splits",
        )
    if training[0].class_names != tests[0].class_names:
        raise UserError(
            "test tiles of other classes",
            expected=", ".join(training[0].class_names),
            got=", ".join(tests[0].class_names),
            mend="give test tiles with the classes of the training tiles",
        )


def _sources(tile: Sample, arm: str) -> Iterator[str]:
    """Every source that a tile rests on but its own generator; another generator's tiles cannot be traced further."""
    provenance = tile.provenance
    if provenance.get("kind") != SYNTHETIC:
        yield tile.source
        return
    training = provenance.get("training_sources")
    if not training:
        raise UserError(
            "a synthetic tile that does not say where it comes from",
            expected="provenance with the training_sources of its generator, as `nucleosynth generate` writes it",
            got="none",
            where=f"arm {arm}, sample {tile.sample_id!r}",
            mend="make the pairs again, or name the method itself (real+METHOD)",
        )
    yield from (entry["source"] for entry in training)
    given = provenance.get("condition", {}).get("source", "")
    own = f"{SYNTHETIC}/{provenance.get('generator')}-{provenance.get('checkpoint')}"
    yield from (source for source in (*given.split("; "), tile.source) if source not in ("", own))


def _some(sources: set[str]) -> str:
    names = sorted(sources)
    return ", ".join(names[:SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")
