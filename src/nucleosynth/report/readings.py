"""What the numbers of synthetic tiles say, in words: classes, contrast, agreement, copies, variety, diversity."""

from nucleosynth.report import copies
from nucleosynth.report.results import Agreement, Estimate, Evidence, Maker, Results
from nucleosynth.report.words import equals, number, percent


def readings(maker: Maker, results: Results) -> list[tuple[str, str, str]]:
    """(question, numbers, reading) for all that was measured."""
    evidence = maker.evidence
    found = [
        (
            "Are classes present in the real proportions?",
            f"FSD {number(evidence.fsd, 1)}; held-out real {number(evidence.fsd_floor, 1)}",
            _fsd(evidence),
        ),
        (
            "Do nuclei lie where the label says?",
            f"haematoxylin contrast {number(evidence.contrast, 2)}; real {number(evidence.contrast_real, 2)}",
            _contrast(evidence),
        ),
    ]
    if agreement := agreement_in(evidence, results.metrics[0].name):
        own, real = number(agreement.synthetic.value), number(agreement.real.value)
        numbers = f"{results.metrics[0].label} of the witness {own}; held-out real {real}"
        found.append(("Does another network see the labelled nuclei in the images?", numbers, _agreement(agreement)))
    if evidence.copies:
        near, real = (number(evidence.copies[name], 2) for name in ("distance", "held_out_distance"))
        numbers = f"distance {near}; held-out real {real}"
        found.append(("Are they copies of training tiles?", numbers, _copies(maker, results)))
    if coverage := next((each for each in evidence.distances if each.metric.startswith("coverage")), None):
        numbers = f"coverage {number(coverage.value, 2)}; held-out real {number(coverage.floor, 2)}"
        found.append(("Are they as varied as real tiles?", numbers, _variety(coverage)))
    if maker.diversity is not None:
        numbers = f"difference {number(maker.diversity, 2)}; different real tiles 1"
        found.append(("Do images of one layout differ?", numbers, diversity(maker.diversity)))
    return found


def diversity(share: float) -> str:
    """The difference of images made for one layout, beside that of different real tiles."""
    return f"images made for one layout differ by {percent(share)} of what different real tiles differ by"


def _fsd(evidence: Evidence) -> str:
    if evidence.fsd is None or evidence.fsd_floor is None:
        return "too few windows to tell"
    if evidence.fsd <= evidence.fsd_floor:
        return "as near to the training tiles as other real tiles are"
    if not evidence.fsd_floor:
        return "further from the training tiles than other real tiles are"
    return f"{evidence.fsd / evidence.fsd_floor:.1f} times as far from the training tiles as other real tiles are"


def _contrast(evidence: Evidence) -> str:
    if evidence.contrast is None or not evidence.contrast_real or evidence.contrast_real < 0:
        return "too few nuclei to tell"
    return f"{percent(evidence.contrast / evidence.contrast_real)} of the real contrast between nuclei and surroundings"


def agreement_in(evidence: Evidence, metric: str) -> Agreement | None:
    """The witness's agreement by a score; None where there was no witness."""
    scores = evidence.consistency.scores if evidence.consistency else ()
    return next((each for each in scores if each.metric == metric), None)


def _agreement(found: Agreement) -> str:
    share = found.share
    if share.value is None:
        return "too few nuclei to tell"
    said = f"its agreement with their labels is {percent(share.value)} of that with the labels of held-out real tiles"
    if share.low is None or share.high is None:
        return f"{said}, by an unknown margin of chance"
    said += f" (95 % interval {percent(share.low)} to {percent(share.high)})"
    if share.high < 1:
        return f"{said}: some labels do not fit their images, or the images look like no real tile"
    if share.low > 1:
        return f"{said}: they are easier to read, as tiles that look like the training tiles are"
    return f"{said}: no difference could be shown"


def _variety(coverage: Estimate) -> str:
    if coverage.value is None or coverage.floor is None:
        return "too few windows to tell"
    return (
        f"{percent(coverage.value)} of the training windows have a synthetic one that looks like them; "
        f"{percent(coverage.floor)} a held-out real one"
    )


def _copies(maker: Maker, results: Results) -> str:
    found = maker.evidence.copies
    if not copies.measured(maker.evidence):
        return "too few tiles to tell"
    as_a_whole, few = copies.chances_of(maker, results)
    closer = f"{percent(found['share_closer'])} are nearer than any held-out one (p {equals(few)})"
    corrected = f"; p corrected for {copies.tests(results)} tests"
    if copies.suspect(maker, results):
        return (
            f"too near to training tiles for chance (p {equals(as_a_whole)} as a whole); {closer}: suspect copies"
            f"{corrected}"
        )
    if (found["distance"] or 0) < (found["held_out_distance"] or 0):
        return (
            f"nearer to training tiles than other real tiles are, as chance allows (p {equals(as_a_whole)}); {closer}"
            f"{corrected}"
        )
    return f"as a whole no nearer to training tiles than other real tiles are; {closer}{corrected}"
