"""Plots show every value where it is."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

import faked_results as faked
from nucleosynth.report import curves, plots, svg
from nucleosynth.report.results import Results
from nucleosynth.studies import trials


@pytest.fixture(scope="module")
def study() -> Results:
    return faked.results(None, faked.ALL, fractions=(0.1, 1.0))


def test_dots_lie_where_the_values_are() -> None:
    scale = svg.Scale([0.2, 0.6], left=100, right=300)
    assert scale(0.4) == 200
    assert scale(scale.low) == 100
    assert scale(scale.high) == 300
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks())
    assert 3 <= len(scale.ticks()) <= 8
    assert svg.Scale([0.5, 0.5 + 2e-16], 0, 10)(0.5) == 5
    assert len(svg.Scale([0.5, 0.5 + 2e-16], 0, 10).ticks()) > 2


def test_zero_has_no_sign() -> None:
    assert [svg.written(tick, 2, signs=True) for tick in (-0.0, -1e-17, 0.1)] == ["0.00", "0.00", "+0.10"]
    assert svg.written(-0.1, 1) == "\N{MINUS SIGN}0.1"


def test_colours_after_the_sixth_are_hollow() -> None:
    assert [svg.tone(k) for k in (0, 5, 6, 11, 12)] == ["0", "5", "0 hollow", "5 hollow", "0"]


def test_long_names_are_shortened_and_kept_whole_beside() -> None:
    drawn = svg.name("a" * 80 + "<b>", 0, 200)
    assert "a" * 80 + "&lt;b&gt;</title>" in drawn
    shown = re.search(r">(a+)\N{HORIZONTAL ELLIPSIS}<title", drawn)
    assert shown
    assert len(shown[1]) * 7 < 200
    assert "\N{HORIZONTAL ELLIPSIS}" not in svg.name("real", 0, svg.room(["real"], svg.WIDTH))


def test_a_plot_has_a_dot_for_each_judge(study: Results) -> None:
    primary = study.metrics[0]
    assert plots.values_plot(study, 0.1, primary).count("<circle") == len(faked.ALL) * 3
    rows = [(arm.label, study.comparison(arm.name, 0.1, "pq")) for arm in study.arms if arm.reference]
    drawn = plots.differences_plot(study, [(name, found) for name, found in rows if found], "differences")
    assert drawn.count("<circle") == len(rows) * 3
    assert drawn.count("<polygon") == len(rows)
    assert curves.loss_plot(study, 0.1).count("<polyline") == len(faked.ALL) * 3
    part = study.part(study.folds[0], 1.0)
    assert plots.class_bars(study, part).count("<rect") == (2 + 2) * len(study.class_names)


def test_learning_curves_are_means_of_judges(study: Results) -> None:
    drawn = curves.learning_plot(study, 1.0, "pq")
    lines = re.findall(r'<polyline class="[^"]+" points="([^"]+)"', drawn)
    assert len(lines) == len(study.arms)
    heights = np.array([float(pair.split(",")[1]) for pair in lines[0].split()])
    means = np.mean([[scores["pq"] for _, scores in each.curve] for each in study.judged("real", 1.0)], axis=0)
    assert_allclose(np.diff(heights) / np.diff(means), np.diff(heights)[0] / np.diff(means)[0], rtol=0.03)
    assert (np.diff(heights) < 0).all()


def test_only_steps_of_every_judge_are_averaged(study: Results) -> None:
    first, *others = study.judged("real", 1.0)
    shorter = first.model_copy(update={"curve": first.curve[1:]})
    cut = study.model_copy(update={"judgements": (shorter, *others), "arms": study.arms[:1]})
    assert curves.learning_plot(cut, 1.0, "pq").count("<circle") == len(faked.STEPS) - 1


def test_bands_are_drawn_where_they_can_be_seen(study: Results) -> None:
    assert 'class="band' not in curves.fraction_plot(study, study.metrics[0])
    few = faked.results(None, ("real", "real+classic"), fractions=(0.1, 1.0))
    drawn = curves.fraction_plot(few, few.metrics[0])
    assert drawn.count('class="band') == 2
    assert drawn.count("<circle") == 2 * 2
    one = faked.results(None, ("real", "real+classic"), fractions=(0.1, 1.0), seeds=1)
    assert 'class="band' not in curves.fraction_plot(one, one.metrics[0])


def test_ratios_are_swept_in_order_from_the_reference(study: Results) -> None:
    (sweep,) = curves.sweeps(study)
    assert [arm.ratio for arm in sweep] == [0.5, 1.0, 2.0, 5.0]
    drawn = curves.ratio_plot(study, 0.1, study.metrics[0])
    assert drawn.count("<circle") == 5
    assert "no synthetic tiles" in drawn
    assert not curves.sweeps(faked.results(None, ("real", "real+classic", "real+jointflow", "real+classic+jointflow")))


def test_nothing_to_draw_is_no_plot() -> None:
    study = faked.results(None, ("real",))
    bare = study.model_copy(
        update={
            "judgements": tuple(each.model_copy(update={"losses": (), "curve": ()}) for each in study.judgements),
            "scores": tuple(
                each.model_copy(update={"each": (None,), "mean": None, "sd": None}) for each in study.scores
            ),
        }
    )
    assert curves.loss_plot(bare, 1.0) == curves.learning_plot(bare, 1.0, "pq") == ""
    assert plots.values_plot(bare, 1.0, bare.metrics[0]) == curves.fraction_plot(bare, bare.metrics[0]) == ""
    assert plots.differences_plot(bare, [], "none") == ""
    assert curves.curve_metrics(bare) == []


def test_a_ceiling_needs_every_fold() -> None:
    study = faked.results(None, ("real",), folds=2)
    lower = study.parts[1].model_copy(update={"ceiling": {"pq": 0.93, "aji": None}})
    study = study.model_copy(update={"parts": (study.parts[0], lower)})
    metrics = {metric.name: metric for metric in study.metrics}
    assert plots.ceiling_of(study, 1.0, metrics["pq"]) == pytest.approx(0.94)
    assert plots.ceiling_of(study, 1.0, metrics["aji"]) is None
    assert plots.ceiling_of(study, 1.0, metrics["dq"]) is None


def test_losses_that_are_not_finite_are_left_out() -> None:
    study = faked.results(None, ("real",), seeds=1)
    (judged,) = study.judgements
    broken = judged.model_copy(update={"losses": ((5, 2.0), (10, None), (15, 1.0))})
    drawn = curves.loss_plot(study.model_copy(update={"judgements": (broken,)}), 1.0)
    (line,) = re.findall(r'<polyline class="[^"]+" points="([^"]+)"', drawn)
    assert len(line.split()) == 2


def test_a_single_judge_has_no_band() -> None:
    arms = ("real", "real+classic")
    assert ", a band for the spread" in curves.learning_plot(faked.results(None, arms), 1.0, "pq")
    one = faked.results(None, arms, seeds=1)
    assert "band" not in curves.learning_plot(one, 1.0, "pq")
    assert not curves.banded(one)
    assert not curves.banded(faked.results(None, faked.ALL))


def test_watched_tiles_are_counted() -> None:
    assert curves.WATCHED == trials.WATCHED
    study = faked.results(None, ("real",))
    assert curves.watched(study) == ""
    part = study.parts[0]
    for tiles, said in ((64, ""), (65, ", on 64 of the 65 test tiles, drawn once by the study's seed")):
        changed = part.model_copy(update={"test": faked.tiles(tiles)})
        assert curves.watched(study.model_copy(update={"parts": (changed,)})) == said
