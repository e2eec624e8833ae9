"""What the report says in words: no more than the numbers do."""

from typing import Any

import pytest

import faked_results as faked
from nucleosynth.report import compared, findings, words
from nucleosynth.report.results import Comparison, Results

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
        "n": 3,
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
            "judges trained with real+jointflow see nuclei better on these test tiles, with this generator: "
            "+0.050 PQ against real, 95 % interval +0.010",
        ),
        (
            {"mean": -0.05, "low": -0.09, "high": -0.01},
            "loss",
            "judges trained with real+jointflow see nuclei worse on these test tiles, with this generator: "
            f"{MINUS}0.050 PQ",
        ),
        (
            {"low": -0.01, "p": 0.08, "p_corrected": 0.08},
            "none",
            "no gain could be shown from training with real+jointflow on these test tiles, with this generator: "
            "+0.050 PQ",
        ),
        (
            {"mean": -0.05, "low": -0.11, "high": 0.01, "p": 0.08, "p_corrected": 0.08},
            "none",
            "no gain could be shown from training with real+jointflow on these test tiles, with this generator: "
            f"{MINUS}0.050 PQ",
        ),
        ({"low": 0.0}, "none", "no gain could be shown"),
        (
            {"p_corrected": 0.06},
            "none",
            "no gain could be shown from training with real+jointflow on these test tiles, with this generator, "
            "once p is corrected for all comparisons: +0.050",
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
        (["none", "none", "untested"], "No gain could be shown in any of the 3 comparisons on these test tiles."),
        (["untested", "undefined"], "None of the 2 comparisons on these test tiles can be tested."),
        (
            ["gain", "loss", "none", "untested", "undefined"],
            "Of the 5 comparisons on these test tiles, 1 shows a gain, 1 a loss, 1 neither, 2 cannot be tested.",
        ),
        (["gain", "gain"], "Of the 2 comparisons on these test tiles, 2 show a gain, 0 a loss."),
    ],
)
def test_all_findings_in_a_sentence(study: Results, kinds: list[Any], sentence: str) -> None:
    assert findings.summary([findings.Finding(kind, "", "", 1.0) for kind in kinds], study) == sentence


def test_one_fold_speaks_of_its_tiles_and_generator_alone() -> None:
    study = faked.results(None, ("real", "real+classic", "real+jointflow"), gain=0.3)
    classic, made = (one.sentence for one in findings.outcome(study))
    assert " on these test tiles: " in classic
    assert " on these test tiles, with this generator: " in made


def test_several_folds_are_counted() -> None:
    study = faked.results(None, ("real", "real+jointflow"), folds=4)
    (one,) = findings.outcome(study)
    assert " over 4 folds: " in one.sentence
    assert "these test tiles" not in one.sentence
    assert findings.summary([one, one], study).startswith("Of the 2 comparisons over 4 folds, 2 show a gain")
    (fewer,) = findings.outcome(faked.results(None, ("real", "real+jointflow"), folds=4, lacking=[("pq", 1)]))
    assert " over 3 of 4 folds: " in fewer.sentence
    (two,) = findings.outcome(faked.results(None, ("real", "real+jointflow"), folds=2))
    assert two.sentence.startswith("no test can be made from 2 folds: ")
    none = [("pq", 0), ("pq", 1)]
    (undefined,) = findings.outcome(faked.results(None, ("real", "real+jointflow"), folds=2, lacking=none))
    assert undefined.sentence.endswith("PQ is defined in no fold for every judge.")


CONTROLLED = ("real", "real+classic", "real@jointflow", "real+jointflow", "real+stores/daff")


def test_equal_compute_stands_beside_what_it_controls() -> None:
    study = faked.results(None, CONTROLLED)
    (sentence,) = findings.controls(study)
    for name in ("real+jointflow", "real@jointflow"):
        assert words.number(study.score(name, 1.0, "pq").mean) in sentence
    assert sentence.startswith("judges of real@jointflow take, on real tiles alone, as many further steps as ")
    assert "fitting jointflow and making all its pairs would have bought, 800 in all" in sentence
    assert "daff" not in sentence
    assert not list(findings.controls(faked.results(None, ("real", "real@jointflow"))))


def test_pairs_are_tested_against_equal_compute() -> None:
    study = faked.results(None, CONTROLLED, gain=0.3)
    (one,) = findings.at_equal_compute(study)
    assert one.arm == "real+jointflow"
    assert one.sentence.startswith("at equal compute, judges trained with real+jointflow see nuclei better on these")
    against = study.against("real+jointflow", 1.0, "pq", "real@jointflow")
    assert against
    assert f"{words.signed(against.mean)} PQ against real@jointflow" in one.sentence
    assert "against real@" not in " ".join(each.sentence for each in findings.outcome(study))


def test_plain_is_never_set_beside_classic() -> None:
    plain, classic = ("real+jointflow", "real@jointflow"), ("real+classic+jointflow", "real+classic@jointflow")
    study = faked.results(None, ("real", "real+classic", *plain, *classic))
    tested = [(arm.name, control.name) for arm, control in compared.controlled(study)]
    assert tested == [plain, classic]
    said = list(findings.controls(study))
    assert [("classic" in each) for each in said] == [False, True]
    alone = faked.results(None, ("real", "real+classic", plain[1], classic[0]))
    assert not compared.controlled(alone)
    assert not list(findings.controls(alone))


def test_equal_compute_is_that_of_the_largest_ratio() -> None:
    study = faked.results(None, ("real", "real@jointflow", "real+jointflow x0.5", "real+jointflow x2"))
    (sentence,) = findings.controls(study)
    assert "making all its pairs, as many as ratio 2 needs, would have bought" in sentence
    assert len(findings.at_equal_compute(study)) == 2
    names = [name for name, _ in compared.rows(study, 1.0, "pq")]
    assert names[-1] == f"real+jointflow x2 {MINUS} real@jointflow"
    assert len(names) == 3 + 2


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
