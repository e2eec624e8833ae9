"""The witness of a study: one segmenter a part, which judges nothing, asked about synthetic and held-out windows."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import faked_study
from faked_study import STEPS, Forgetful, Turner, material, synthetic
from nucleosynth.metrics.consistency import consistency
from nucleosynth.metrics.shapes import Label
from nucleosynth.report import page, tables
from nucleosynth.report.results import Agreement, Maker, Results
from nucleosynth.sample import Sample
from nucleosynth.studies import witness as module
from nucleosynth.studies.arms import parse
from nucleosynth.studies.looks import Made
from nucleosynth.studies.trials import Diet, Predict, Trained
from nucleosynth.studies.witness import Witness


class Seeing(Forgetful):
    """Judges as others; the witness, which no judge's seed has, sees every nucleus of the windows that it is shown;
    `shown` lists them."""

    def __init__(self, judges: int) -> None:
        super().__init__()
        self.judges, self.shown = judges, list[Sequence[Sample]]()

    def __call__(self, diet: Diet, seed: int, folder: Path, watch: Callable[[Predict, int], None]) -> Trained:
        trained = super().__call__(diet, seed, folder, watch)
        if seed < self.judges:
            return trained

        def predict(windows: Sequence[Sample]) -> list[Sample]:
            self.shown.append(windows)
            return list(windows)

        return replace(trained, predict=lambda windows: iter(predict(windows)))


class Mislabelling(Turner):
    """Pairs whose labels are those of the next pair, 8 px aside."""

    def __call__(self, *given: object) -> Made:
        made = super().__call__(*given)  # type: ignore[arg-type]
        samples = [replace(each, instances=np.roll(each.instances, (5, 6), (0, 1))) for each in made.samples]
        return replace(made, samples=samples)


def scores(maker: Maker) -> dict[str, Agreement]:
    assert maker.evidence.consistency
    return {each.metric: each for each in maker.evidence.consistency.scores}


def test_one_witness_a_part_for_all_makers(tmp_path: Path) -> None:
    """Two recipes and two parts: as many steps as judges, real tiles alone, and a seed that none of them has."""
    judge = Forgetful()
    arms = ("real", "real+jointflow", "real+nudiff")
    found = faked_study.run(tmp_path, arms, judge=judge, given=material((0.5, 1.0)))
    witnesses = [call for call in judge.calls if call[2] not in found.seeds]
    assert witnesses == [(2, 0, 2, STEPS), (4, 0, 2, STEPS)]
    assert len(judge.calls) == 2 * 2 * 3 + 2
    for maker in found.makers:
        seen = maker.evidence.consistency
        assert seen
        assert (seen.seed, seen.steps) == (2, STEPS)
        assert [each.metric for each in seen.scores] == ["dice", "aji", "pq", "f_d", "accuracy"]
        assert seen.windows == {"synthetic": maker.evidence.windows["synthetic"], "test": 4}


def test_an_arm_without_pairs_needs_no_witness(tmp_path: Path) -> None:
    judge = Forgetful()
    faked_study.run(tmp_path, ("real", "real+classic"), judge=judge)
    assert {call[2] for call in judge.calls} == {0, 1}


def test_both_sides_are_shown_in_windows_of_one_size(tmp_path: Path) -> None:
    judge = Seeing(judges=1)
    (maker,) = faked_study.run(tmp_path, seeds=1, judge=judge).makers
    synthetic_windows, held_out = sorted(judge.shown, key=lambda windows: windows[0].split)
    assert {window.split for window in held_out} == {"test"}
    assert {window.provenance.get("kind") for window in synthetic_windows} == {"synthetic"}
    assert {window.size for windows in judge.shown for window in windows} == {(40, 40)}
    assert {window.mpp for windows in judge.shown for window in windows} == {0.25}
    for each in scores(maker).values():
        assert (each.synthetic.value, each.real.value, each.share.value) == (1, 1, 1)


def test_labels_of_other_places_are_seen_to_be(tmp_path: Path) -> None:
    """A witness that sees every nucleus: labels moved to where none is share next to nothing with what it sees."""

    class Sharp(Seeing):
        def __call__(self, diet: Diet, seed: int, folder: Path, watch: Callable[[Predict, int], None]) -> Trained:
            trained = super().__call__(diet, seed, folder, watch)

            def unmoved(windows: Sequence[Sample]) -> list[Sample]:
                moved = [window.provenance.get("kind") == "synthetic" for window in windows]
                backs = [(-5, -6) if each else (0, 0) for each in moved]
                labels = [np.roll(w.instances, back, (0, 1)) for w, back in zip(windows, backs, strict=True)]
                return [replace(w, instances=label) for w, label in zip(windows, labels, strict=True)]

            return trained if seed < self.judges else replace(trained, predict=lambda windows: iter(unmoved(windows)))

    (maker,) = faked_study.run(tmp_path, seeds=1, judge=Sharp(judges=1), turner=Mislabelling()).makers
    for name in ("dice", "aji", "pq"):
        each = scores(maker)[name]
        assert each.real.value == 1
        assert each.share.value == each.synthetic.value < 0.1  # type: ignore[operator]
        assert each.share.high < 0.15  # type: ignore[operator]


def test_numbers_are_those_of_the_metric(tmp_path: Path) -> None:
    (part,) = material()
    arms = parse(("real", "real+jointflow"), "tiny")
    witness = Witness(faked_study.plan(arms, [part], seeds=3), part, tmp_path, Forgetful())
    assert witness.seed == 3
    made = [synthetic(tile, k, ["drawn/0"]) for k, tile in enumerate(part.training)]
    found = witness.consistency(made, witness.sees(part.tests))

    def pairs(tiles: Sequence[Sample]) -> list[tuple[Label, Label]]:
        sides = zip(tiles, witness.predict(tiles), strict=True)
        return [tuple(Label(each.instances, each.classes, 0.25) for each in pair) for pair in sides]  # type: ignore

    expected = consistency(pairs(made), pairs(part.tests), made[0].class_names)
    for each in found.scores:
        assert each.synthetic.value == pytest.approx(expected[each.metric])
        assert each.real.value == pytest.approx(expected[f"{each.metric}.real"])
        assert each.share.value == pytest.approx(expected[f"{each.metric}.share"])
        assert each.share.low < each.share.value < each.share.high  # type: ignore[operator]


def test_no_more_windows_are_shown_than_are_worth_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKED", 3)
    (part,) = material()
    witness = Witness(faked_study.plan((), [part]), part, tmp_path, Forgetful())
    rows = witness.sees(part.training).rows
    assert len(rows) == 3
    assert (rows == witness.sees(part.training).rows).all()


def test_windows_are_drawn_by_slide_where_there_are_enough(tmp_path: Path) -> None:
    (part,) = material()
    witness = Witness(faked_study.plan((), [part]), part, tmp_path, Forgetful())
    few = [replace(tile, source="one slide") for tile in part.training]
    assert sorted(set(witness.sees(few).groups)) == sorted(tile.sample_id for tile in few)  # type: ignore[arg-type]
    many = faked_study.tiles(6)
    assert sorted(set(witness.sees(many).groups)) == sorted(tile.source for tile in many)  # type: ignore[arg-type]


def test_a_stopped_study_trains_its_witness_once(tmp_path: Path) -> None:
    """Stopped before the witness, it is trained when the study goes on; once makers are measured, never again."""
    with pytest.raises(KeyboardInterrupt):
        faked_study.run(tmp_path, judge=Forgetful(stop_after=4))
    judge, again = Forgetful(), Forgetful()
    first = faked_study.run(tmp_path, judge=judge)
    assert judge.calls == [(4, 0, 2, STEPS)]
    (tmp_path / "study.json").unlink()
    second = faked_study.run(tmp_path, judge=again)
    assert not again.calls
    assert second.makers == first.makers


def test_the_report_and_its_tables_show_it(tmp_path: Path) -> None:
    faked_study.run(tmp_path, seeds=1, judge=Seeing(judges=1))
    shown = page.write(tmp_path).read_text()
    assert "Does another network see the labelled nuclei in the images?" in shown
    assert "with seed 1, which no judge has" in shown
    assert "shown 8 synthetic and 4 held-out windows" in shown
    table = (tmp_path / tables.FOLDER / "consistency.csv").read_text().splitlines()
    assert len(table) == 1 + 5
    assert table[1].startswith("jointflow:tiny,fold 0,1.0,dice,1,10,8,4,1.0,1.0,1.0")


def test_a_study_from_before_there_was_a_witness_is_read_and_shown(tmp_path: Path) -> None:
    found = json.loads(faked_study.run(tmp_path, seeds=1).model_dump_json())
    del found["makers"][0]["evidence"]["consistency"]
    before = Results.model_validate(found)
    shown = page.render(before, tmp_path)
    assert before.makers[0].evidence.consistency is None
    assert "witness" not in shown.lower()
    assert "another network" not in shown
