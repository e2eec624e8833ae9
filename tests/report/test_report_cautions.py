"""What a reader must know before the numbers, and what the numbers of synthetic tiles say."""

from typing import Any

import pytest

import faked_results as faked
from nucleosynth.report import cautions, copies, readings
from nucleosynth.report.holm import holm
from nucleosynth.report.results import Enough, Interval, Results

(COVERAGE,) = (each for each in faked.evidence().distances if each.metric == "coverage")


@pytest.fixture(scope="module")
def study() -> Results:
    return faked.results(None, ("real", "real+jointflow"))


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
        assert "both on the test tiles: real 0.020 PQ, spread 0.010. More steps" in said[0].words
        assert "Do not raise the steps until" in said[0].words


def test_several_arms_share_one_caution() -> None:
    study = faked.results(None, ("real", "real+classic"), fractions=(0.1, 1.0))
    each = [
        Enough(arm=arm, fraction=fraction, metric="pq", gain=gain, spread=0.01, enough=None if gain is None else False)
        for arm, gain in (("real", None), ("real+classic", 0.03))
        for fraction in (0.1, 1.0)
    ]
    said = cautions.cautions(study.model_copy(update={"enough": tuple(each)}))
    unknown, short = ([one.words for one in said if head in one.head] for head in ("not known", "may not have had"))
    assert len(unknown) == len(short) == 1
    assert "real, 10 % of the labels; real, 100 % of the labels." in unknown[0]
    assert "real+classic, 10 % of the labels 0.030 PQ, spread 0.010; real+classic, 100 %" in short[0]


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
    classes, contrast, _, found, _, diversity = readings.readings(study.makers[0], study)
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
        ({"distances": (COVERAGE.model_copy(update={"floor": None}),)}, 4, "too few windows"),
    ],
)
def test_what_cannot_be_told_is_not_told(study: Results, changes: dict[str, Any], question: int, said: str) -> None:
    changed = with_maker(study, evidence=faked.evidence(**changes))
    assert said in readings.readings(changed.makers[0], changed)[question][2]


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (
            (0.8, 0.7, 0.85),
            "with their labels is 80 % of that with the labels of held-out real tiles (95 % interval",
        ),
        ((0.8, 0.7, 0.85), "70 % to 85 %): some labels do not fit their images, or the images look like no real tile"),
        ((1.2, 1.1, 1.3), "they are easier to read"),
        ((0.9, 0.8, 1.1), "no difference could be shown"),
        ((0.9, None, None), "by an unknown margin of chance"),
        ((None, None, None), "too few nuclei"),
    ],
)
def test_the_witness_s_agreement_in_words(study: Results, share: tuple[float | None, ...], said: str) -> None:
    whole = faked.evidence().consistency
    assert whole
    shares = Interval(**dict(zip(("value", "low", "high"), share, strict=True)))
    scores = tuple(each.model_copy(update={"share": shares}) for each in whole.scores if each.metric == "pq")
    evidence = faked.evidence(consistency=whole.model_copy(update={"scores": scores}))
    changed = with_maker(study, evidence=evidence)
    _, numbers, reading = readings.readings(changed.makers[0], changed)[2]
    assert numbers == "PQ of the witness 0.320; held-out real 0.400"
    assert said in reading


def test_variety_is_told_by_coverage(study: Results) -> None:
    said = readings.readings(study.makers[0], study)[4]
    assert said[1] == "coverage 0.66; held-out real 0.95"
    assert said[2].startswith("66 % of the training windows have a synthetic one")


def test_without_copies_and_diversity_there_is_no_such_question(study: Results) -> None:
    bare = faked.evidence(copies={}, consistency=None, distances=())
    changed = with_maker(study, evidence=bare, diversity=None)
    assert len(readings.readings(changed.makers[0], changed)) == 2
    assert not copies.suspect(changed.makers[0], changed)
