"""The report is one file, names every arm, and says no more than the numbers do."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import faked_study
from nucleosynth.report import page, plots, words
from nucleosynth.report.results import Difference, Evidence, Results


class Reader(HTMLParser):
    """Collects what a page refers to, its text, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img", "br", "link", "line", "rect", "circle", "polyline", "polygon"):
            self.open.append(tag)
        self.hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "rect", "circle", "polyline", "polygon"):
            assert self.open.pop() == tag
        self.hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        self.text += data if not self.hidden else ""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    folder = tmp_path_factory.mktemp("study")
    return faked_study.run(folder, ["real", "real+jointflow", "real+jointflow:small"], seeds=3), folder


def read(results: Results, folder: Path) -> tuple[Reader, str]:
    html = page.render(results, folder)
    reader = Reader()
    reader.feed(html)
    assert not reader.open
    reader.text = " ".join(reader.text.split())
    return reader, html


def test_the_page_is_written_whole(study: tuple[Results, Path]) -> None:
    path = page.write(study[1])
    assert path == study[1] / "report.html"
    assert path.read_text() == page.render(*study)


def test_everything_is_inside(study: tuple[Results, Path]) -> None:
    reader, html = read(*study)
    assert len(reader.references) >= 3 * 2 + 2
    assert all(each.startswith("data:image/png;base64,") for each in reader.references)
    assert "<script" not in html
    assert not re.search(r"url\(|@import|https?://", html)
    assert str(study[1]) not in html


def test_every_arm_class_and_score_is_shown(study: tuple[Results, Path]) -> None:
    results, folder = study
    reader, _ = read(results, folder)
    for arm in results.arms:
        assert arm.name in reader.text
        for metric in results.metrics:
            assert words.spread(arm.summaries[metric.name]) in reader.text
            if arm.differences:
                assert words.interval(arm.differences[metric.name]) in reader.text
    for name in (*results.class_names, *(metric.label for metric in results.metrics), results.command):
        assert name in reader.text
    for sentence in words.outcome(results):
        assert sentence in reader.text
    assert words.number(0.98) in reader.text


def test_names_cannot_break_the_page(study: tuple[Results, Path]) -> None:
    results, folder = study
    arms = tuple(arm.model_copy(update={"label": "<b>&x" + arm.label}) for arm in results.arms)
    _, html = read(results.model_copy(update={"arms": arms, "data": "<script>alert(1)</script>"}), folder)
    assert "<b>&x" not in html
    assert "<script" not in html


@pytest.mark.parametrize(("seeds", "warned"), [(2, True), (3, False)])
def test_too_few_seeds_are_said_aloud(tmp_path: Path, seeds: int, warned: bool) -> None:
    reader, _ = read(faked_study.run(tmp_path, seeds=seeds), tmp_path)
    assert ("at least 3 are needed" in reader.text) == warned
    assert ("No test can be made from 2 seeds" in reader.text) == warned


def test_masks_grown_from_points_are_said_aloud(study: tuple[Results, Path]) -> None:
    results, folder = study
    derived = results.test.model_copy(update={"labelled_as": ("derived",)})
    assert "The truth was not drawn" in read(results.model_copy(update={"test": derived}), folder)[0].text
    assert "The truth was not drawn" not in read(results, folder)[0].text


def test_pairs_without_nuclei_are_said_aloud(study: tuple[Results, Path]) -> None:
    results, folder = study
    empty = results.arms[1].synthetic.model_copy(update={"nuclei": 0})  # type: ignore[union-attr]
    arms = (results.arms[0], results.arms[1].model_copy(update={"synthetic": empty}), results.arms[2])
    assert "real+jointflow show no nucleus" in read(results.model_copy(update={"arms": arms}), folder)[0].text
    assert "show no nucleus" not in read(results, folder)[0].text


def with_difference(results: Results, difference: Difference) -> Results:
    arm = results.arms[1]
    changed = arm.model_copy(update={"differences": {**arm.differences, "pq": difference}})
    return results.model_copy(update={"arms": (results.arms[0], changed)})


@pytest.mark.parametrize(
    ("mean", "low", "high", "p", "said"),
    [
        (0.05, 0.01, 0.09, 0.03, "Judges trained with jointflow see nuclei better: +0.050 PQ"),
        (-0.05, -0.09, -0.01, 0.03, "Judges trained with jointflow see nuclei worse: \N{MINUS SIGN}0.050 PQ"),
        (0.05, -0.01, 0.11, 0.08, "No gain could be shown from training with jointflow: +0.050 PQ"),
        (-0.05, -0.11, 0.01, 0.08, "No gain could be shown"),
        (0.05, 0.0, 0.1, 0.05, "No gain could be shown"),
        (0.05, None, None, None, "No test can be made from 3 seeds"),
        (None, None, None, None, "Nothing can be said"),
    ],
)
def test_the_outcome_is_honest(
    study: tuple[Results, Path], mean: float, low: float, high: float, p: float, said: str
) -> None:
    each = (mean,) * 3
    results = with_difference(study[0], Difference(each=each, mean=mean, sd=0.02, low=low, high=high, p=p))
    (sentence,) = words.outcome(results)
    assert sentence.startswith(said)
    assert ("p = " in sentence) == (p is not None)


def test_numbers_in_words() -> None:
    assert words.number(-0.1234) == "\N{MINUS SIGN}0.123"
    assert words.signed(0.1) == "+0.100"
    assert words.number(None) == "\N{EN DASH}"
    assert [words.p_value(p) for p in (0.00001, 0.0123, 0.5, None)] == ["< 0.001", "0.012", "0.50", "\N{EN DASH}"]


@pytest.mark.parametrize(
    ("distance", "nearer", "closest", "said"),
    [
        (0.2, 0.0001, 0.5, "suspect copies"),
        (0.2, 0.5, 0.01, "suspect copies"),
        (0.6, 0.5, 0.01, "suspect copies"),
        (0.4, 0.2, 0.3, "as chance allows (p = 0.20)"),
        (0.6, 0.5, 0.5, "as a whole no nearer"),
        (None, None, None, "too few tiles to tell"),
    ],
)
def test_copies_are_called_so(distance: float | None, nearer: float | None, closest: float | None, said: str) -> None:
    evidence = Evidence(
        windows={"training": 3, "test": 3, "synthetic": 3},
        side_px=64,
        mpp=0.5,
        fsd=6.0,
        fsd_floor=2.0,
        contrast=0.2,
        contrast_real=0.25,
        copies={
            "distance": distance,
            "held_out_distance": 0.5,
            "share_closer": 0.1,
            "p_nearer": nearer,
            "p_closest": closest,
        },
        compared=3,
    )
    classes, contrast, copies = words.readings(evidence)
    assert said in copies[2]
    assert "3.0 times as far" in classes[2]
    assert contrast[2].startswith("80 %")


def test_dots_lie_where_the_values_are() -> None:
    scale = plots.Scale([0.2, 0.6], left=100, right=300)
    assert scale(0.4) == 200
    assert scale(scale.low) == 100
    assert scale(scale.high) == 300
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks())
    assert 3 <= len(scale.ticks()) <= 8
    assert plots.Scale([0.5, 0.5 + 2e-16], 0, 10)(0.5) == 5
    assert len(plots.Scale([0.5, 0.5 + 2e-16], 0, 10).ticks()) > 2


def test_a_plot_has_a_dot_for_each_seed(study: tuple[Results, Path]) -> None:
    results, _ = study
    drawn = plots.values_plot(results, results.metrics[0])
    assert drawn.count("<circle") == 3 * 3
    assert plots.differences_plot(results, results.arms[1], results.metrics[:5]).count("<circle") == 5 * 3
    assert plots.loss_plot(results).count("<polyline") == 3 * 3
    assert plots.class_bars(results).count("<rect") == 4 * len(results.class_names)
