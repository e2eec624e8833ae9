"""What the report says in words: no more than the numbers do."""

from typing import Any

import pytest

import faked_results as faked
from nucleosynth.report import cautions, compared, copies, findings, readings, words
from nucleosynth.report.holm import holm
from nucleosynth.report.results import Comparison, Enough, Results

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


def heads(study: Results) -> list[str]:
    return [each.head for each in cautions.cautions(study)]


@pytest.mark.parametrize(
    ("folds", "seeds", "head"),
    [
        (1, 2, "No test can be made."),
        (3, 2, "Few seeds."),
        (3, 1, "Few seeds."),
        (1, 1, "No test can be made."),
        (2, 1, "No test can be made."),
        (2, 3, "No test can be made."),
        (3, 3, ""),
        (1, 3, ""),
    ],
)
def test_too_few_replicates_are_said_aloud(folds: int, seeds: int, head: str) -> None:
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
        assert "real still gained 0.020 PQ, the spread of its seeds is 0.010, both on the test tiles" in said[0].words
        assert "Do not raise the steps until" in said[0].words


def test_what_one_fold_cannot_tell_stands_first() -> None:
    first = cautions.cautions(faked.results(None, ("real", "real+jointflow"), fractions=(0.1, 1.0)))[0]
    assert first.head == "One fold."
    assert "for these test tiles, this subset of the labels and this one generator; of other slides" in first.words
    two = cautions.cautions(faked.results(None, ("real", "real+jointflow", "real+stores/daff")))[0]
    assert "these test tiles and one fit of each generator;" in two.words
    (none,) = [each for each in cautions.cautions(faked.results(None, ("real", "real+classic"))) if "fold" in each.head]
    assert "generator" not in none.words
    assert "One fold." not in heads(faked.results(None, ("real",)))


def test_folds_are_what_is_tested() -> None:
    study = faked.results(None, ("real", "real+jointflow"), folds=5)
    (one,) = [each for each in cautions.cautions(study) if "Folds" in each.head]
    assert one.head == "Folds are what is tested."
    assert "own test tiles and its own generator" in one.words
    assert "rest on 5 folds, not on 15 judges" in one.words
    stores = faked.results(None, ("real", "real+stores/daff"), folds=5)
    (other,) = [each for each in cautions.cautions(stores) if "Folds" in each.head]
    assert "generator" not in other.words


def test_judges_that_diverged_are_named() -> None:
    study = faked.results(None, ("real", "real+jointflow"), folds=2, fractions=(0.1, 1.0))
    last = study.judgements[-1]
    diverged = last.model_copy(update={"losses": (*last.losses, (399, None))})
    said = cautions.cautions(study.model_copy(update={"judgements": (*study.judgements[:-1], diverged)}))
    (one,) = [each for each in said if "diverged" in each.head]
    assert one.head == "1 judge diverged."
    assert ": real+jointflow, fold 2 of 2, 100 % of the labels, seed 2." in one.words
    assert not [each for each in heads(study) if "diverged" in each]


def test_scores_of_fewer_folds_are_counted() -> None:
    study = faked.results(None, ("real", "real+jointflow"), folds=3, lacking=[("f_spindle", 0), ("f_spindle", 2)])
    (one,) = [each for each in cautions.cautions(study) if "fewer folds" in each.head]
    assert one.words.endswith("Of 3 folds, at fewest: F spindle 1.")
    assert "Some scores are of fewer folds." not in heads(faked.results(None, lacking=[("f_spindle", 0)]))


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
    assert heads(with_maker(study, evidence=faked.evidence(distances=()))) == ["One fold."]


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
        (0.2, 0.03, 0.5, "as chance allows (p = 0.06)"),
        (0.4, 0.2, 0.3, "as chance allows (p = 0.40)"),
        (0.6, 0.5, 0.5, "as a whole no nearer"),
        (None, None, None, "too few tiles to tell"),
        (float("nan"), 0.01, 0.01, "too few tiles to tell"),
    ],
)
def test_copies_are_called_so(
    study: Results, distance: float | None, nearer: float | None, closest: float | None, said: str
) -> None:
    found_copies = {
        "distance": distance,
        "held_out_distance": 0.5,
        "share_closer": 0.1,
        "p_nearer": nearer,
        "p_closest": closest,
    }
    evidence = faked.evidence(copies=found_copies, fsd=6.0, fsd_floor=2.0)
    study = with_maker(study, evidence=evidence)
    classes, contrast, found, diversity = readings.readings(study.makers[0], study)
    assert said in found[2]
    assert "3.0 times as far" in classes[2]
    assert contrast[2].startswith("80 %")
    assert "83 %" in diversity[2]
    assert ("Suspect copies." in heads(study)) == (said == "suspect copies") == copies.suspect(study.makers[0], study)
    assert ("p corrected for 2 tests" in found[2]) == ("p =" in found[2] or "p <" in found[2])


def test_copies_are_tested_for_all_makers_and_parts_together() -> None:
    near = {"distance": 0.2, "held_out_distance": 0.5, "share_closer": 0.1, "p_nearer": 0.01, "p_closest": 0.5}
    study = faked.results(None, ("real", "real+jointflow", "real+stores/daff"))
    suspected = with_maker(study, evidence=faked.evidence(copies=near))
    assert copies.suspect(suspected.makers[0], suspected)
    assert copies.tests(suspected) == 2
    both = study.model_copy(update={"makers": (*suspected.makers, study.makers[1])})
    assert copies.chances_of(both.makers[0], both) == pytest.approx((0.04, 1.0))
    (said,) = [each for each in cautions.cautions(both) if each.head == "Suspect copies."]
    assert "p corrected for 4 tests" in said.words
    assert "Held-out tiles are of other slides" in said.words
    folds = faked.results(None, ("real", "real+jointflow"), folds=3)
    many = folds.model_copy(update={"makers": (suspected.makers[0], *folds.makers[1:])})
    assert copies.tests(many) == 6
    assert not copies.suspect(many.makers[0], many)
    blank = near | {"distance": float("nan"), "p_nearer": float("nan"), "p_closest": float("nan")}
    with_blank = study.model_copy(
        update={
            "makers": (*suspected.makers, study.makers[1].model_copy(update={"evidence": faked.evidence(copies=blank)}))
        }
    )
    assert copies.tests(with_blank) == 2


def test_holm_corrects_for_those_that_are_left() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == (0.03, None, 0.06, 0.06)
    assert holm([0.9, 0.6]) == (1.0, 1.0)
    assert holm([]) == ()


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
    changed = with_maker(study, evidence=faked.evidence(**changes))
    assert said in readings.readings(changed.makers[0], changed)[question][2]


def test_without_copies_and_diversity_there_is_no_such_question(study: Results) -> None:
    changed = with_maker(study, evidence=faked.evidence(copies={}), diversity=None)
    assert len(readings.readings(changed.makers[0], changed)) == 2
    assert not copies.suspect(changed.makers[0], changed)


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
