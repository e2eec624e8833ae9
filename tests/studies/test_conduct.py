"""The course of a study, with judges and a generator that are no networks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import faked_study
from drawn import drawn_sample
from faked_study import STEPS, Forgetful, Turner, material, synthetic
from nucleosynth.errors import UserError
from nucleosynth.metrics import classification, instance
from nucleosynth.report.results import Results
from nucleosynth.studies.arms import parse
from nucleosynth.studies.plan import digest
from nucleosynth.studies.scoring import metrics, scored


def test_a_study_of_two_seeds(tmp_path: Path) -> None:
    judge, turner = Forgetful(), Turner()
    found = faked_study.run(tmp_path, judge=judge, turner=turner)
    assert judge.calls == [(4, 0, 0), (4, 4, 0), (4, 0, 1), (4, 4, 1)]
    assert turner.calls == 1
    assert [arm.name for arm in found.arms] == ["real", "real+jointflow"]
    real, made = found.arms
    assert (real.synthetic, real.differences, real.evidence) == (None, {}, None)
    assert made.synthetic is not None
    assert made.synthetic.tiles == 4
    assert made.ratio == 1
    assert made.generator_seconds == 12
    difference = made.differences["pq"]
    for k in range(2):
        a, b = made.judgements[k].scores["pq"], real.judgements[k].scores["pq"]
        assert difference.each[k] == pytest.approx(a - b)  # type: ignore[operator]
    assert difference.mean > 0  # type: ignore[operator]
    assert difference.p is None
    assert found.metrics[0].name == "pq"
    assert {metric.name for metric in found.metrics} <= real.summaries.keys()
    assert {judged.steps for arm in found.arms for judged in arm.judgements} == {STEPS}
    pictures = [*found.truths, *found.pairs, *made.pairs, *real.judgements[0].pictures, *made.judgements[0].pictures]
    assert all((tmp_path / picture.file).stat().st_size for picture in pictures)
    assert not made.judgements[1].pictures


def test_what_is_written_is_what_is_returned(tmp_path: Path) -> None:
    found = faked_study.run(tmp_path)
    assert Results.read(tmp_path) == found
    written = json.loads((tmp_path / "study.json").read_text())
    assert written["arms"][1]["differences"]["pq"]["each"] == list(found.arms[1].differences["pq"].each)


def test_real_comes_first_whatever_the_order(tmp_path: Path) -> None:
    found = faked_study.run(tmp_path, ["real+jointflow", "real"], seeds=1)
    assert [arm.name for arm in found.arms] == ["real", "real+jointflow"]


def test_finished_judges_are_read_back(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        faked_study.run(tmp_path, judge=Forgetful(stop_after=3))
    assert not (tmp_path / "study.json").exists()
    judge = Forgetful()
    resumed = faked_study.run(tmp_path, judge=judge)
    assert judge.calls == [(4, 4, 1)]
    whole = faked_study.run(tmp_path / "at_once")
    assert resumed.model_copy(update={"finished": ""}) == whole.model_copy(update={"finished": ""})


def test_a_recipe_that_saw_more_is_refused(tmp_path: Path) -> None:
    class Peeper(Turner):
        def __call__(self, *given: object) -> faked_study.Made:
            made = super().__call__(*given)  # type: ignore[arg-type]
            return replace(made, samples=[synthetic(drawn_sample(0), 0, ["drawn/10"])])

    judge = Forgetful()
    with pytest.raises(UserError, match="has seen the test tiles"):
        faked_study.run(tmp_path, turner=Peeper(), judge=judge)
    assert not judge.calls


def test_pairs_that_no_judge_can_use_are_refused(tmp_path: Path) -> None:
    class Vague(Turner):
        def __call__(self, *given: object) -> faked_study.Made:
            made = super().__call__(*given)  # type: ignore[arg-type]
            return replace(made, samples=[replace(sample, mpp=None) for sample in made.samples])

    judge = Forgetful()
    with pytest.raises(UserError, match=r"pairs of real\+jointflow that cannot be judged"):
        faked_study.run(tmp_path, turner=Vague(), judge=judge)
    assert not judge.calls


def test_a_store_is_used_whole(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    name = f"real+{tmp_path / 'pairs'}"
    made = [synthetic(tile, k, ["drawn/0", "drawn/1"]) for k, tile in enumerate(material().training[:3])]
    judge = Forgetful()
    found = faked_study.run(tmp_path / "run", ["real", name], 1, judge, given=material({name: made}))
    assert judge.calls == [(4, 0, 0), (4, 3, 0)]
    arm = found.arms[1]
    assert arm.ratio == pytest.approx(0.75)
    assert arm.label == "real+pairs"
    assert "turner, checkpoint 0123" in arm.made_by


def test_evidence_of_turned_training_tiles(tmp_path: Path) -> None:
    evidence = faked_study.run(tmp_path, seeds=1).arms[1].evidence
    assert evidence is not None
    assert evidence.side_px == 40
    assert evidence.contrast == pytest.approx(evidence.contrast_real, abs=0.01)
    # Turned training tiles are copies, and the check says so.
    assert evidence.copies["distance"] == pytest.approx(0, abs=1e-3)
    assert evidence.copies["held_out_distance"] > 0.5  # type: ignore[operator]
    assert evidence.copies["share_closer"] == 1


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


def test_a_plan_is_begun_once_and_resumed_as_it_was(tmp_path: Path) -> None:
    arms = parse(["real", "real+jointflow"], "tiny")
    plan = faked_study.plan(arms)
    with pytest.raises(UserError, match="nothing to resume"):
        plan.begin(tmp_path / "new", resume=True)
    plan.begin(tmp_path / "new", resume=False)
    plan.begin(tmp_path / "new", resume=True)
    with pytest.raises(UserError, match="holds a study already"):
        plan.begin(tmp_path / "new", resume=False)
    with pytest.raises(UserError, match="not the same study") as error:
        faked_study.plan(arms, steps=STEPS + 1).begin(tmp_path / "new", resume=True)
    assert f"steps {STEPS + 1}" in str(error.value)


def test_a_digest_changes_with_every_part() -> None:
    tile = drawn_sample(0)
    image, classes = tile.image.copy(), tile.classes.copy()
    image[0, 0, 0] ^= 1
    classes[0] = (classes[0] + 1) % 4
    changed = [
        replace(tile, image=image),
        replace(tile, classes=classes),
        replace(tile, source="drawn/other"),
        replace(tile, mpp=0.5),
        tile.transform(2),
    ]
    found = [digest([tile]), *(digest([each]) for each in changed)]
    assert len(set(found)) == len(found)
    assert digest([tile, changed[0]]) != digest([changed[0], tile])
    assert digest([drawn_sample(0)]) == found[0]
