"""The page is one file, names every arm, embeds every picture once; every number of its tables is in a CSV as well."""

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import faked_results as faked
from nucleosynth.report import page, tables, words
from nucleosynth.report.embedded import Embedded, all_pictures
from nucleosynth.report.results import Results

COMMITTED = Path(__file__).parents[2] / "benchmarks" / "results"
VOID = ("meta", "img", "br", "link", "line", "rect", "circle", "polyline", "polygon")


class Reader(HTMLParser):
    """Collects what a page refers to, its text, the cells of its tables, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.identifiers: list[str] = []
        self.cells: list[str] = []
        self.numeric: list[str] = []
        self.into = self.cells
        self.text = ""
        self.open: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.identifiers += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            kinds = (dict(attrs).get("class") or "").split()
            self.into = self.numeric if "n" in kinds else self.cells
            self.into.append("")
        self.hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        self.hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.text += data
        if "td" in self.open:
            self.into[-1] += " " + data


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    folder = tmp_path_factory.mktemp("small")
    return faked.results(folder), folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """Every kind of arm, three folds, two fractions."""
    folder = tmp_path_factory.mktemp("large")
    return faked.results(folder, faked.ALL, folds=3, fractions=(0.1, 1.0)), folder


def read(results: Results, folder: Path) -> tuple[Reader, str]:
    html = page.render(results, folder)
    reader = Reader()
    reader.feed(html)
    assert not reader.open
    reader.text = " ".join(reader.text.split())
    return reader, html


def test_the_page_is_made_again_from_its_folder(small: tuple[Results, Path]) -> None:
    path = page.write(small[1])
    assert path == small[1] / "report.html"
    assert path.read_text() == page.render(*small)
    assert (small[1] / tables.FOLDER / "columns.csv").exists()


@pytest.mark.parametrize("study", ["small", "large"])
def test_everything_is_inside(study: str, request: pytest.FixtureRequest) -> None:
    results, folder = request.getfixturevalue(study)
    reader, html = read(results, folder)
    pictures = [each for each in reader.references if each.startswith("data:image/png;base64,")]
    places = [each for each in reader.references if each.startswith("#")]
    assert len(pictures) + len(places) == len(reader.references)
    assert len(pictures) == len({picture.file for picture in all_pictures(results)}) > 50
    assert {place[1:] for place in places} <= set(reader.identifiers)
    assert "<script" not in html
    assert not re.search(r"url\(|@import|https?://", html)
    assert str(folder) not in html


@pytest.mark.parametrize("study", ["small", "large"])
def test_every_arm_class_and_score_is_shown(study: str, request: pytest.FixtureRequest) -> None:
    results, folder = request.getfixturevalue(study)
    reader, _ = read(results, folder)
    cells = {" ".join(cell.split()) for cell in (*reader.cells, *reader.numeric)}
    for score in results.scores:
        assert words.spread(score) in cells
    for found in results.comparisons:
        assert words.interval(found) in cells
        assert words.p_value(found.p_corrected) in cells
    for name in (*results.class_names, *(metric.label for metric in results.metrics), results.command):
        assert name in reader.text
    for arm in results.arms:
        assert arm.label in cells
        assert arm.name in reader.text
    assert words.number(0.95) in cells


@pytest.mark.parametrize("study", ["small", "large"])
def test_every_number_of_a_table_is_in_a_csv(study: str, request: pytest.FixtureRequest) -> None:
    results, folder = request.getfixturevalue(study)
    page.write(folder)
    fields = {
        field
        for path in (folder / tables.FOLDER).glob("*.csv")
        for line in csv.reader(path.read_text().splitlines())
        for field in line
    }
    values = {abs(float(field)) for field in fields if re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", field)}
    known = {digits: {f"{value:.{digits}f}" for value in values} for digits in range(7)}
    percents = {f"{100 * value:.0f}" for value in values}
    cells = read(results, folder)[0].numeric
    assert len(cells) > 200
    for cell in cells:
        for number, percent in re.findall(r"(\d[\d,]*(?:\.\d+)?)(\s%)?", cell.replace("< 0.001", "")):
            digits = len(number.partition(".")[2])
            assert number.replace(",", "") in (percents if percent else known[digits]), cell


def test_names_cannot_break_the_page(small: tuple[Results, Path]) -> None:
    results, folder = small
    arms = tuple(arm.model_copy(update={"label": "<b>&x" + arm.label}) for arm in results.arms)
    makers = tuple(maker.model_copy(update={"label": '"><i>'}) for maker in results.makers)
    changed = {"arms": arms, "makers": makers, "data": "<script>alert(1)</script>", "command": "</code></dd>"}
    _, html = read(results.model_copy(update=changed), folder)
    assert "<b>&x" not in html
    assert "<script" not in html
    assert '"><i>' not in html


def test_a_study_without_pictures_names_them(tmp_path: Path) -> None:
    results = faked.results(None)
    results.write(tmp_path)
    text = page.write(tmp_path).read_text()
    assert "data:image" not in text
    assert f"{results.parts[0].truths[0].file}: not beside study.json" in text
    assert "not found beside study.json" in text
    assert "not found beside study.json" not in read(faked.results(tmp_path), tmp_path)[1]


def test_pictures_of_further_folds_give_way(large: tuple[Results, Path]) -> None:
    results, folder = large
    whole = Embedded(results, folder)
    assert not whole.beyond
    assert not whole.missing
    assert whole.size == sum((folder / name).stat().st_size for name in whole.shown)
    half = Embedded(results, folder, largest=whole.size // 2)
    assert half.size <= whole.size // 2
    assert set(half.beyond) == set(whole.shown) - set(half.shown)
    assert results.parts[0].truths[0].file in half.shown
    assert results.parts[-1].truths[0].file in half.beyond
    assert half(results.parts[-1].truths[0]) == ""


def test_fractions_and_folds_are_folded_but_kept(large: tuple[Results, Path]) -> None:
    results, folder = large
    _, html = read(results, folder)
    assert "<summary>fold 3 of 3, 10\N{NO-BREAK SPACE}% of the labels</summary>" in html
    assert re.search(r"<details open><summary>fold 1 of 3, 100\N{NO-BREAK SPACE}% of the labels", html)
    assert not re.search(r"<details open><summary>fold 2 of", html)


@pytest.mark.parametrize(
    "study",
    [
        {"arms": ("real",)},
        {"arms": ("real", "real+classic"), "seeds": 1},
        {"classes": False},
        {"galleries": False},
        {"enough": (), "galleries": False},
        {"data_set": ""},
        {"data_set": "lizard"},
        {"data_set": "kumar", "fractions": (0.1, 0.2)},
    ],
    ids=str,
)
def test_whatever_is_lacking_the_page_is_whole(tmp_path: Path, study: dict[str, object]) -> None:
    results = faked.results(tmp_path, **study)  # type: ignore[arg-type]
    reader, _ = read(results, tmp_path)
    assert page.write(tmp_path).exists()
    assert ("published: " in reader.text) == bool(results.data_set)


def test_undefined_values_are_dashes(tmp_path: Path) -> None:
    results = faked.results(tmp_path, ("real", "real+jointflow"))
    nothing = {"mean": None, "sd": None, "seed_sd": None, "each": (None,) * 3}
    unknown = nothing | {"low": None, "high": None, "p": None, "p_corrected": None}
    unknown.pop("seed_sd")
    empty = results.model_copy(
        update={
            "scores": tuple(score.model_copy(update=nothing) for score in results.scores),
            "comparisons": tuple(found.model_copy(update=unknown) for found in results.comparisons),
            "judgements": tuple(
                judged.model_copy(
                    update={
                        "losses": (),
                        "curve": (),
                        "images": (),
                        "confusion": (),
                        "scores": dict.fromkeys(judged.scores),
                    }
                )
                for judged in results.judgements
            ),
            "makers": tuple(
                maker.model_copy(update={"evidence": faked.evidence(fsd=None, contrast=None, copies={}, distances=())})
                for maker in results.makers
            ),
            "parts": tuple(
                part.model_copy(update={"ceiling": {}, "truths": (), "pairs": ()}) for part in results.parts
            ),
        }
    )
    empty.write(tmp_path)
    assert page.write(tmp_path).exists()
    reader, _ = read(empty, tmp_path)
    assert "Nothing can be said" in reader.text
    assert words.UNDEFINED in {cell.strip() for cell in (*reader.cells, *reader.numeric)}
    assert "None" not in reader.text
    assert "nan" not in reader.text.lower().split()


def test_one_fold_and_several_explain_their_own_test(small: tuple[Results, Path], large: tuple[Results, Path]) -> None:
    one, several = (read(*each)[0].text for each in (small, large))
    assert "The differences of the k seeds are tested with k − 1 degrees of freedom." in one
    assert "Nadeau" not in one
    assert "the k means of the folds are tested with k − 1 degrees of freedom" in several
    assert "sd² (1 / k + test tiles / training tiles)" in several
    assert "Seeds vary the judge alone" not in several
    for text in (one, several):
        assert "p is corrected by Holm's method for all comparisons" in text
        assert "checked by source names" in text
        assert "Both are measured on the test tiles" in text
        assert "Do not raise the steps until" in text
        assert "Held-out tiles are of other slides" in text


def test_controls_of_equal_compute_are_shown(large: tuple[Results, Path]) -> None:
    reader, html = read(*large)
    cells = [" ".join(cell.split()) for cell in reader.cells]
    for arm, control in (("real+jointflow", "real@jointflow"), ("real+classic+jointflow", "real+classic@jointflow")):
        assert cells.count(f"{arm} {words.MINUS} {control}") > len(large[0].metrics)
    assert f"real+classic+jointflow {words.MINUS} real@jointflow" not in reader.text
    assert "At equal compute" in html or "at equal compute" in html


def test_fewer_folds_are_shown_where_they_are(tmp_path: Path) -> None:
    reader, _ = read(faked.results(None, folds=4, lacking=[("f_spindle", 1)]), tmp_path)
    cells = {" ".join(cell.split()) for cell in reader.numeric}
    assert any(cell.endswith(" 3 of 4 folds") for cell in cells)
    assert {"3 of 4", "4"} <= cells


def test_a_single_judge_is_promised_no_spread(tmp_path: Path) -> None:
    text = read(faked.results(None, seeds=1), tmp_path)[0].text
    assert "deviation" not in text
    assert "The one judge of each arm. Nothing is chosen" in text
    many = read(faked.results(None), tmp_path)[0].text
    assert "Mean ± standard deviation over 3 judges" in many
    assert "Mean of the judges of an arm, with one standard deviation to either side. Nothing is chosen" in many


def test_judges_watched_on_a_part_of_the_test_tiles_say_so(tmp_path: Path) -> None:
    study = faked.results(None)
    parts = (study.parts[0].model_copy(update={"test": faked.tiles(120)}),)
    text = read(study.model_copy(update={"parts": parts}), tmp_path)[0].text
    assert text.count("on 64 of the 120 test tiles, drawn once by the study's seed") == 2


def test_a_judge_that_diverged_is_named(tmp_path: Path) -> None:
    study = faked.results(None)
    first = study.judgements[0].model_copy(update={"losses": ((5, None),)})
    judgements = (first, *study.judgements[1:])
    text = read(study.model_copy(update={"judgements": judgements}), tmp_path)[0].text
    assert "1 judge diverged. The training loss was not finite: real, fold 1 of 1, seed 0." in text


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*_study.json")), ids=lambda path: path.stem)
def test_committed_studies_can_be_read_and_shown(path: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_bytes(path.read_bytes())
    html = page.write(tmp_path).read_text()
    results = Results.read(tmp_path)
    assert all(arm.label in html for arm in results.arms)


def test_there_are_committed_studies() -> None:
    assert list(COMMITTED.glob("*_study.json"))
