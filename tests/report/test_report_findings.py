"""What the report says in words: no more than the numbers do."""

from typing import Any

import pytest

import faked_results as faked
from nucleosynth.report import cautions, findings, readings, words
from nucleosynth.report.results import Comparison, Enough, Evidence, Results

MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def study() -> Results:
    return faked.results(None, ("real", "real+jointflow"))


def found(**changes: Any) -> Comparison:
    whole = {
        "arm": "real+jointflow",
        "reference": "real",
        "fraction": 1.0,
        "metric": "pq",
        "each": (0.04, 0.05, 0.06),
        "mean": 0.05,
        "sd": 0.02,
        "low": 0.01,
        "high": 0.09,
        "p": 0.03,
        "p_corrected": 0.03,
    }
    return Comparison(**(whole | changes))


def said(study: Results, *comparisons: Comparison) -> list[findings.Finding]:
    return findings.outcome(study.model_copy(update={"comparisons": comparisons}))


@pytest.mark.parametrize(
    ("changes", "kind", "start"),
    [
        (
            {},
            "gain",
            "judges trained with real+jointflow see nuclei better: +0.050 PQ against real, 95 % interval +0.010",
        ),
        (
            {"mean": -0.05, "low": -0.09, "high": -0.01},
            "loss",
            f"judges trained with real+jointflow see nuclei worse: {MINUS}0.050 PQ",
        ),
        (
            {"low": -0.01, "p": 0.08, "p_corrected": 0.08},
            "none",
            "no gain could be shown from training with real+jointflow: +0.050 PQ",
        ),
        (
            {"mean": -0.05, "low": -0.11, "high": 0.01, "p": 0.08, "p_corrected": 0.08},
            "none",
            f"no gain could be shown from training with real+jointflow: {MINUS}0.050 PQ",
        ),
        ({"low": 0.0}, "none", "no gain could be shown"),
        (
            {"p_corrected": 0.06},
            "none",
            "no gain could be shown from training with real+jointflow, once p is corrected for all comparisons: +0.050",
        ),
        (
            {"p": None, "p_corrected": None},
            "untested",
            "no test can be made of judges trained with real+jointflow: every",
        ),
        (
            {"low": None, "high": None, "p": None, "p_corrected": None},
            "untested",
            "no test can be made from 3 pairs of judges: judges trained with real+jointflow differ by +0.050 PQ",
        ),
        (
            {"mean": None, "sd": None, "low": None, "high": None, "p": None, "p_corrected": None},
            "undefined",
            "nothing can be said of judges trained with real+jointflow: PQ is not defined",
        ),
    ],
)
def test_the_outcome_is_honest(study: Results, changes: dict[str, Any], kind: str, start: str) -> None:
    (one,) = said(study, found(**changes))
    assert one.kind == kind == findings.kind_of(found(**changes))
    assert one.sentence.startswith(start)
    assert ("p = 0" in one.sentence) == (kind in ("gain", "loss", "none"))
    assert ("better" in one.sentence) == (kind == "gain")


def test_corrected_values_and_their_number_are_said(study: Results) -> None:
    others = [found(arm="real", fraction=f, p=p) for f, p in ((0.1, 0.5), (0.2, None))]
    others += [found(metric="dice")]
    (one,) = said(study, found(p=0.012, p_corrected=0.024), *others)
    assert one.sentence.endswith("p = 0.012, corrected for 2 comparisons = 0.024.")


def test_fractions_and_references_are_named() -> None:
    study = faked.results(None, ("real", "real+classic", "real+classic+jointflow"), fractions=(0.1, 1.0))
    sentences = [one.sentence for one in findings.outcome(study)]
    assert len(sentences) == 2 * 2
    assert sum("With 10 % of the labels, " in each for each in sentences) == 2
    assert all("against real+classic" in each for each in sentences[2:])


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        ([], "Nothing is compared in this study."),
        (["none", "none", "untested"], "No gain could be shown in any of the 3 comparisons."),
        (["untested", "undefined"], "None of the 2 comparisons can be tested."),
        (
            ["gain", "loss", "none", "untested", "undefined"],
            "Of the 5 comparisons, 1 shows a gain, 1 a loss, 1 neither, 2 cannot be tested.",
        ),
        (["gain", "gain"], "Of the 2 comparisons, 2 show a gain, 0 a loss."),
    ],
)
def test_all_findings_in_a_sentence(kinds: list[Any], sentence: str) -> None:
    assert findings.summary([findings.Finding(kind, "", "", 1.0) for kind in kinds]) == sentence


def test_equal_compute_stands_beside_what_it_controls() -> None:
    study = faked.results(None, ("real", "real+jointflow", "real+stores/daff", "real+compute"))
    (sentence,) = findings.controls(study)
    for name in ("real+jointflow", "real+compute"):
        assert words.number(study.score(name, 1.0, "pq").mean) in sentence
    assert "daff" not in sentence
    assert not list(findings.controls(faked.results(None, ("real", "real+compute"))))


def heads(study: Results) -> list[str]:
    return [each.head for each in cautions.cautions(study)]


@pytest.mark.parametrize(
    ("folds", "seeds", "head"),
    [
        (1, 2, "No test can be made."),
        (3, 2, "Few seeds."),
        (3, 1, "Few seeds."),
        (1, 1, "No test can be made."),
        (1, 3, ""),
    ],
)
def test_too_few_seeds_are_said_aloud(folds: int, seeds: int, head: str) -> None:
    said = heads(faked.results(None, ("real", "real+jointflow"), folds=folds, seeds=seeds))
    assert [each for each in said if each in ("No test can be made.", "Few seeds.")] == ([head] if head else [])


@pytest.mark.parametrize(
    ("enough", "head"),
    [
        (True, ""),
        (False, "The judges may not have had enough."),
        (None, "Whether the judges had enough is not known."),
    ],
)
def test_judges_that_had_not_enough_are_named(study: Results, enough: bool | None, head: str) -> None:
    one = Enough(arm="real", fraction=1.0, metric="pq", gain=0.02, spread=0.01, enough=enough)
    said = [each for each in cautions.cautions(study.model_copy(update={"enough": (one,)})) if "enough" in each.head]
    assert [each.head for each in said] == ([head] if head else [])
    if enough is False:
        assert "real still gained 0.020 PQ, the spread of its seeds is 0.010" in said[0].words


def test_masks_grown_from_points_are_said_aloud(study: Results) -> None:
    part = study.parts[0].model_copy(update={"test": faked.tiles(labelled_as=("derived", "masks"))})
    assert "The truth was not drawn." in heads(study.model_copy(update={"parts": (part,)}))
    assert "The truth was not drawn." not in heads(study)


def with_maker(study: Results, **changes: Any) -> Results:
    return study.model_copy(update={"makers": (study.makers[0].model_copy(update=changes),)})


def test_pairs_without_nuclei_are_said_aloud(study: Results) -> None:
    head = "The synthetic tiles of jointflow show no nucleus."
    assert head in heads(with_maker(study, synthetic=faked.tiles(3, 0)))
    assert head not in heads(study)


def test_makers_are_told_apart_by_their_place() -> None:
    study = faked.results(None, ("real", "real+jointflow"), folds=2, fractions=(0.1, 1.0))
    assert cautions.name_of(study.makers[1], study) == "jointflow (fold 2 of 2, 10 %)"


@pytest.mark.parametrize(
    ("windows", "encoder", "few", "embedded"),
    [
        (4999, "texture-1, 0123", True, True),
        (5000, "texture-1, 0123", False, True),
        (5000, "inception, 89ab", False, False),
    ],
)
def test_distances_of_few_images_and_of_the_default_encoder(
    study: Results, windows: int, encoder: str, few: bool, embedded: bool
) -> None:
    evidence = faked.evidence(windows={"training": 6000, "test": 5000, "synthetic": windows}, encoder=encoder)
    said = heads(with_maker(study, evidence=evidence))
    assert ("Few images for a Fréchet distance." in said) == few
    assert ("Distances are not the published ones." in said) == embedded


def test_no_distances_no_caution(study: Results) -> None:
    assert not heads(with_maker(study, evidence=faked.evidence(distances=())))


def test_images_left_out_are_counted(study: Results) -> None:
    judged = [
        each.model_copy(update={"left_out": {"aji": k, "aji_plus": 9}}) for k, each in enumerate(study.judgements)
    ]
    said = cautions.cautions(study.model_copy(update={"judgements": tuple(judged)}))
    (one,) = [each for each in said if each.head == "Some images are left out."]
    assert f"of up to 4 test images, at most: AJI {len(judged) - 1}." in one.words


@pytest.mark.parametrize(
    ("distance", "nearer", "closest", "said"),
    [
        (0.2, 0.0001, 0.5, "suspect copies"),
        (0.2, 0.5, 0.01, "suspect copies"),
        (0.6, 0.5, 0.01, "suspect copies"),
        (0.4, 0.2, 0.3, "as chance allows (p = 0.20)"),
        (0.6, 0.5, 0.5, "as a whole no nearer"),
        (None, None, None, "too few tiles to tell"),
        (float("nan"), 0.01, 0.01, "too few tiles to tell"),
    ],
)
def test_copies_are_called_so(
    study: Results, distance: float | None, nearer: float | None, closest: float | None, said: str
) -> None:
    copies = {
        "distance": distance,
        "held_out_distance": 0.5,
        "share_closer": 0.1,
        "p_nearer": nearer,
        "p_closest": closest,
    }
    evidence = faked.evidence(copies=copies, fsd=6.0, fsd_floor=2.0)
    study = with_maker(study, evidence=evidence)
    classes, contrast, found, diversity = readings.readings(study.makers[0])
    assert said in found[2]
    assert "3.0 times as far" in classes[2]
    assert contrast[2].startswith("80 %")
    assert "83 %" in diversity[2]
    assert ("Suspect copies." in heads(study)) == (said == "suspect copies") == readings.suspect(evidence)


@pytest.mark.parametrize(
    ("changes", "question", "said"),
    [
        ({"fsd": None}, 0, "too few windows"),
        ({"fsd": 1.0, "fsd_floor": 2.0}, 0, "as near to the training tiles"),
        ({"fsd": 1.0, "fsd_floor": 0.0}, 0, "further from the training tiles"),
        ({"contrast": None}, 1, "too few nuclei"),
        ({"contrast_real": -0.1}, 1, "too few nuclei"),
    ],
)
def test_what_cannot_be_told_is_not_told(study: Results, changes: dict[str, Any], question: int, said: str) -> None:
    maker = study.makers[0].model_copy(update={"evidence": faked.evidence(**changes)})
    assert said in readings.readings(maker)[question][2]


def test_without_copies_and_diversity_there_is_no_such_question(study: Results) -> None:
    evidence: Evidence = faked.evidence(copies={})
    maker = study.makers[0].model_copy(update={"evidence": evidence, "diversity": None})
    assert len(readings.readings(maker)) == 2
    assert not readings.suspect(evidence)


def test_numbers_in_words() -> None:
    assert words.number(-0.1234) == f"{MINUS}0.123"
    assert words.number(-0.0001) == "0.000"
    assert words.signed(0.1) == "+0.100"
    assert words.number(None) == words.amount(None) == words.signed(None) == "\N{EN DASH}"
    assert [words.p_value(p) for p in (0.00001, 0.0123, 0.5, None)] == ["< 0.001", "0.012", "0.50", "\N{EN DASH}"]
    assert [words.amount(v) for v in (1292.05, 52.61, 2.11, 0.00213, -0.5, 0)] == [
        "1292",
        "52.6",
        "2.11",
        "0.00213",
        f"{MINUS}0.500",
        "0",
    ]
    assert [words.counts(each) for each in ([3, 3], [1200, 27])] == ["3", "27 to 1,200"]
    assert [words.listed(each) for each in ([], ["a"], ["a", "b", "c"])] == ["none", "a", "a, b and c"]
    assert [words.plural(n, "way") for n in (1, 2)] == ["1 way", "2 ways"]
