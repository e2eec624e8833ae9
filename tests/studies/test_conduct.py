"""The course of a study, with judges and a generator that are no networks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import faked_study
from drawn import drawn_sample
from faked_study import FIT_SECONDS, MAKE_SECONDS, STEPS, Forgetful, Turner, material, synthetic
from nucleosynth.errors import UserError
from nucleosynth.metrics import classification, instance
from nucleosynth.pictures import write_png
from nucleosynth.report.results import Maker, Picture, Results
from nucleosynth.studies.arms import parse
from nucleosynth.studies.looks import Made
from nucleosynth.studies.makers import check_enough
from nucleosynth.studies.scoring import metrics, scored
from nucleosynth.studies.statistics import paired


@pytest.fixture(autouse=True)
def _plain_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures in all their colours: choosing a palette is what takes time, and is tested where it is done."""
    plain = lambda path, picture, _drawn: write_png(path, picture)  # noqa: E731
    monkeypatch.setattr("nucleosynth.studies.painting.write_paletted", plain)


def test_a_study_of_two_seeds(tmp_path: Path) -> None:
    judge, turner = Forgetful(), Turner()
    found = faked_study.run(tmp_path, judge=judge, turner=turner)
    judges, witness = judge.calls[:4], judge.calls[4:]
    assert judges == [(4, 0, 0, STEPS), (4, 4, 0, STEPS), (4, 0, 1, STEPS), (4, 4, 1, STEPS)]
    assert witness == [(4, 0, 2, STEPS)]
    assert turner.calls == [4]
    assert [arm.name for arm in found.arms] == ["real", "real+jointflow"]
    (maker,) = found.makers
    assert (maker.name, maker.label) == ("jointflow:tiny", "jointflow")
    assert maker.synthetic.tiles == 4
    assert (maker.fit_seconds, maker.make_seconds) == (FIT_SECONDS, MAKE_SECONDS)
    assert [judged.ratio for judged in found.judgements] == [None, 1, None, 1]
    assert [judged.share for judged in found.judgements] == [0, 0.5, 0, 0.5]
    difference = found.comparison("real+jointflow", 1.0, "pq")
    assert difference is not None
    real, made = (found.judged(arm, 1.0) for arm in ("real", "real+jointflow"))
    for k in range(2):
        a, b = made[k].scores["pq"], real[k].scores["pq"]
        assert difference.each[k] == pytest.approx(a - b)  # type: ignore[operator]
    assert difference.mean > 0  # type: ignore[operator]
    assert difference.p is None
    assert found.comparison("real", 1.0, "pq") is None
    assert found.metrics[0].name == "pq"
    assert {metric.name for metric in found.metrics} <= real[0].scores.keys()
    assert {judged.steps for judged in found.judgements} == {STEPS}


def test_pictures_are_there_and_no_two_share_a_file(tmp_path: Path) -> None:
    found = faked_study.run(tmp_path, given=material((0.5, 1.0), 2))
    files = [picture.file for picture in _pictures(found)]
    assert all((tmp_path / file).stat().st_size for file in files)
    assert len(set(files)) == len(files) > 80
    assert [bool(maker.galleries) for maker in found.makers] == [True, False, True, False]
    assert [bool(judged.pictures) for judged in found.judgements[:4]] == [True, True, False, False]


def _pictures(found: Results) -> Iterator[Picture]:
    galleries = [*found.galleries, *(gallery for maker in found.makers for gallery in maker.galleries)]
    for gallery in galleries:
        for row in gallery.rows:
            yield from row.pictures
    for part in found.parts:
        yield from (*part.truths, *part.pairs)
    for each in (*found.makers, *found.judgements):
        yield from each.pairs if isinstance(each, Maker) else each.pictures


def test_what_is_written_is_what_is_returned(tmp_path: Path) -> None:
    found = faked_study.run(tmp_path)
    assert Results.read(tmp_path) == found
    written = json.loads((tmp_path / "study.json").read_text())
    assert written["comparisons"][0]["each"] == list(found.comparisons[0].each)


def test_references_come_first_whatever_the_order(tmp_path: Path) -> None:
    found = faked_study.run(tmp_path, ["real+jointflow", "real+classic", "real"], seeds=1)
    assert [arm.name for arm in found.arms] == ["real+classic", "real", "real+jointflow"]


def test_finished_judges_are_read_back(tmp_path: Path) -> None:
    turner = Turner()
    with pytest.raises(KeyboardInterrupt):
        faked_study.run(tmp_path, judge=Forgetful(stop_after=3), turner=turner)
    assert not (tmp_path / "study.json").exists()
    judge = Forgetful()
    resumed = faked_study.run(tmp_path, judge=judge)
    assert judge.calls == [(4, 4, 1, STEPS), (4, 0, 2, STEPS)]
    whole = faked_study.run(tmp_path / "at_once")
    assert _timeless(resumed) == _timeless(whole)


def _timeless(found: Results) -> Results:
    """Without what the clock says."""
    judgements = tuple(judged.model_copy(update={"seconds": 0.0}) for judged in found.judgements)
    return found.model_copy(update={"finished": "", "judgements": judgements})


def test_a_finished_study_trains_nothing_again(tmp_path: Path) -> None:
    first, judge = faked_study.run(tmp_path, given=material((0.5, 1.0), 2)), Forgetful()
    again = faked_study.run(tmp_path, given=material((0.5, 1.0), 2), judge=judge)
    assert not judge.calls
    assert again.model_copy(update={"finished": ""}) == first.model_copy(update={"finished": ""})


def test_folds_and_fractions_are_judged_each_by_itself(tmp_path: Path) -> None:
    judge, turner = Forgetful(), Turner()
    found = faked_study.run(tmp_path, judge=judge, turner=turner, given=material((0.5, 1.0), 2))
    assert [(part.fold, part.fraction) for part in found.parts] == [
        ("fold 0", 0.5),
        ("fold 1", 0.5),
        ("fold 0", 1.0),
        ("fold 1", 1.0),
    ]
    assert turner.calls == [2, 2, 4, 4]
    assert len(judge.calls) == (2 * 2 + 1) * 4
    for fraction, real in ((0.5, 2), (1.0, 4)):
        assert [(j.fold, j.seed) for j in found.judged("real", fraction)] == [
            ("fold 0", 0),
            ("fold 0", 1),
            ("fold 1", 0),
            ("fold 1", 1),
        ]
        assert found.part("fold 1", fraction).training.tiles == real
        assert len(found.score("real", fraction, "pq").each) == 4
    # Each fold was tested on its own tiles.
    ids = [{image["sample_id"] for image in judged.images} for judged in found.judged("real", 1.0)]
    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]


def test_several_ratios_share_pairs_and_the_smaller_takes_the_first(tmp_path: Path) -> None:
    judge, turner = Forgetful(), Turner()
    found = faked_study.run(tmp_path, judge=judge, turner=turner, seeds=1, ratios=(0.5, 2.0))
    assert turner.calls == [8]
    small, large = judge.diets[1:3]
    assert list(small.synthetic) == list(large.synthetic)[:2]
    assert [judged.ratio for judged in found.judgements] == [None, 0.5, 2.0]
    assert [judged.share for judged in found.judgements] == pytest.approx([0, 1 / 3, 2 / 3])


def test_classic_and_compute_reach_the_judge(tmp_path: Path) -> None:
    judge = Forgetful()
    texts = ["real", "real+classic", "real+classic+jointflow", "real+classic@jointflow"]
    found = faked_study.run(tmp_path, texts, 1, judge)
    assert [arm.name for arm in found.arms] == ["real", "real+classic", "real+classic@jointflow", texts[2]]
    diets = judge.diets[:4]
    assert [diet.classic for diet in diets] == [False, True, True, True]
    # 15 s of fitting and making, at the pace of 10 steps in 30 s.
    assert (FIT_SECONDS + MAKE_SECONDS, found.judged("real+classic", 1.0)[0].seconds) == (15, 30)
    assert judge.diets[2].steps == STEPS + 5
    assert not judge.diets[2].synthetic
    assert [judged.steps for judged in found.judgements] == [diet.steps for diet in diets]
    assert [each.arm for each in found.enough] == ["real", "real+classic"]


def test_pairs_are_tested_against_the_control_of_their_compute_as_well(tmp_path: Path) -> None:
    texts = ["real", "real+classic", "real+classic+jointflow", "real+jointflow", "real@jointflow"]
    found = faked_study.run(tmp_path, texts, 3)
    pairs = [(each.arm, each.reference) for each in found.comparisons if each.metric == "pq"]
    assert pairs == [
        ("real+classic", "real"),
        ("real@jointflow", "real"),
        ("real+classic+jointflow", "real+classic"),
        ("real+jointflow", "real"),
        ("real+jointflow", "real@jointflow"),
    ]
    against = found.against("real+jointflow", 1.0, "pq", "real@jointflow")
    assert against is not None
    own, other = (found.score(arm, 1.0, "pq").mean for arm in ("real+jointflow", "real@jointflow"))
    assert against.mean == pytest.approx(own - other)  # type: ignore[operator]
    main = found.comparison("real+jointflow", 1.0, "pq")
    assert main is not None
    assert (main.reference, main.n) == ("real", 3)


@pytest.mark.parametrize("fractions", [(0.5, 1.0), (1.0, 0.5)])
def test_each_fraction_is_tested_with_its_own_share_of_test_tiles(tmp_path: Path, fractions: tuple[float, ...]) -> None:
    found = faked_study.run(tmp_path, seeds=1, given=material(fractions, 3))
    for fraction, training in ((0.5, 2), (1.0, 4)):
        comparison = found.comparison("real+jointflow", fraction, "dice")
        assert comparison is not None
        assert comparison.n == 3
        own, real = (list(found.score(arm, fraction, "dice").each) for arm in ("real+jointflow", "real"))
        assert comparison.p == paired(own, real, 3, 2 / training).p


def test_curves_end_with_the_scores_of_the_end(tmp_path: Path) -> None:
    found = faked_study.run(tmp_path, seeds=3)
    for judged in found.judgements:
        assert [step for step, _ in judged.curve] == [2, 4, 6, 8, 10]
        assert judged.curve[-1][1]["pq"] == judged.scores["pq"]
    (enough,) = found.enough
    real = found.judged("real", 1.0)
    gains = [judged.curve[-1][1]["pq"] - judged.curve[-2][1]["pq"] for judged in real]  # type: ignore[operator]
    assert enough.gain == pytest.approx(np.mean(gains))
    assert enough.spread == pytest.approx(np.std([judged.scores["pq"] for judged in real], ddof=1))
    assert enough.enough == (np.mean(gains) < enough.spread)


def test_a_recipe_that_saw_more_is_refused(tmp_path: Path) -> None:
    class Peeper(Turner):
        def __call__(self, *given: object) -> Made:
            made = super().__call__(*given)  # type: ignore[arg-type]
            return replace(made, samples=[synthetic(drawn_sample(0), 0, ["drawn/10"])])

    judge = Forgetful()
    with pytest.raises(UserError, match="has seen the test tiles"):
        faked_study.run(tmp_path, turner=Peeper(), judge=judge)
    assert not judge.calls


def test_pairs_that_no_judge_can_use_are_refused(tmp_path: Path) -> None:
    class Vague(Turner):
        def __call__(self, *given: object) -> Made:
            made = super().__call__(*given)  # type: ignore[arg-type]
            return replace(made, samples=[replace(sample, mpp=None) for sample in made.samples])

    judge = Forgetful()
    with pytest.raises(UserError, match="pairs of jointflow:tiny that cannot be judged"):
        faked_study.run(tmp_path, turner=Vague(), judge=judge)
    assert not judge.calls


def test_a_store_is_used_whole_or_at_a_ratio(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    name = str(tmp_path / "pairs")
    made = [synthetic(tile, k, ["drawn/0", "drawn/1"]) for k, tile in enumerate(material()[0].training[:3])]
    judge = Forgetful()
    found = faked_study.run(tmp_path / "run", ["real", f"real+{name}"], 1, judge, Turner({name: made}))
    assert [call[:2] for call in judge.calls[:2]] == [(4, 0), (4, 3)]
    assert found.judgements[1].ratio == pytest.approx(0.75)
    assert found.arms[1].label == "real+pairs"
    assert "turner, checkpoint 0123" in found.makers[0].made_by
    half = faked_study.run(tmp_path / "half", ["real", f"real+{name}"], 1, turner=Turner({name: made}), ratios=(0.5,))
    assert half.judgements[1].ratio == pytest.approx(0.5)


def test_a_store_with_too_few_tiles_for_a_ratio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    name, parts = str(tmp_path / "pairs"), material((0.5, 1.0))
    made = [synthetic(tile, k, ["drawn/0"]) for k, tile in enumerate(parts[0].available[:3])]
    check_enough(parse(["real", f"real+{name}"], "tiny", (0.75,)), parts, {name: made})
    check_enough(parse(["real", f"real+{name}"], "tiny"), parts, {name: made})
    with pytest.raises(UserError, match=r"too few tiles\n.*100%"):
        check_enough(parse(["real", f"real+{name}"], "tiny", (1.0,)), parts, {name: made})


def test_evidence_of_turned_training_tiles(tmp_path: Path) -> None:
    (maker,) = faked_study.run(tmp_path, seeds=1).makers
    evidence = maker.evidence
    assert evidence.side_px == 40
    assert evidence.contrast == pytest.approx(evidence.contrast_real, abs=0.01)
    # Turned training tiles are copies, and the check says so.
    assert evidence.copies["distance"] == pytest.approx(0, abs=1e-3)
    assert evidence.copies["held_out_distance"] > 0.5  # type: ignore[operator]
    assert evidence.copies["share_closer"] == 1
    assert evidence.encoder.startswith("texture-1, embedded")
    (fd, *_) = evidence.distances
    assert fd.metric == "FD-texture-1"
    assert fd.value is not None
    assert fd.floor is not None
    assert fd.better == "lower"


def test_scores_are_those_of_the_metrics() -> None:
    tests = [drawn_sample(k) for k in range(3)]
    predicted = [faked_study.forget(test, 0.4, np.random.default_rng(k)) for k, test in enumerate(tests)]
    found = scored(tests, predicted)
    each = [instance.scores(t.instances, p.instances) for t, p in zip(tests, predicted, strict=True)]
    assert found.values["pq"] == pytest.approx(np.mean([scores["pq"] for scores in each]))
    pooled = classification.scores(
        (
            (classification.nuclei(t.instances, t.classes), classification.nuclei(p.instances, p.classes))
            for t, p in zip(tests, predicted, strict=True)
        ),
        tests[0].class_names,
        radius_px=12,
    )
    assert {name: found.values[name] for name in pooled} == pytest.approx(pooled)
    assert [image["sample_id"] for image in found.images] == ["tile_0", "tile_1", "tile_2"]
    assert {metric.name for metric in metrics(dict.fromkeys(tests[0].class_names, 1))} <= found.values.keys()


def test_images_without_nuclei_are_left_out_and_counted() -> None:
    empty = drawn_sample(instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8))
    found = scored([drawn_sample(0), empty], [drawn_sample(0), empty])
    assert found.values["pq"] == 1
    assert found.left_out["pq"] == 1
    assert found.images[1]["pq"] is None


def test_predictions_of_other_tiles_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="follow the test tiles"):
        scored([drawn_sample(0)], [drawn_sample(1)])
