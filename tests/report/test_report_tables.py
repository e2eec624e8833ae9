"""Tables in CSV hold every record; tables in the layout of the papers set published rows apart from ours."""

import csv
import os
import re
from pathlib import Path

import pytest

import faked_results as faked
from nucleosynth.report import compared, csv_table, distances, papers, published, tables, tile_tables
from nucleosynth.report.results import Results

FRACTIONS, SEEDS = (0.1, 1.0), 3
SPECS = Path(os.environ.get("NUCLEOSYNTH_SHARED", Path(__file__).parents[3] / "shared")) / "specs"


@pytest.fixture(scope="module")
def study() -> Results:
    return faked.results(None, faked.ALL, folds=3, fractions=FRACTIONS, seeds=SEEDS)


@pytest.fixture(scope="module")
def written(study: Results, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    folder = tables.write(tmp_path_factory.mktemp("study"), study)
    found = {}
    for path in folder.iterdir():
        text = path.read_bytes().decode()
        assert text.endswith("\r\n")
        assert "\n" not in text.replace("\r\n", "")
        found[path.stem] = list(csv.DictReader(text.splitlines()))
    return found


def test_every_record_has_its_row(study: Results, written: dict[str, list[dict[str, str]]]) -> None:
    arms, judges = len(faked.ALL), len(faked.ALL) * 3 * len(FRACTIONS) * SEEDS
    metrics, tested = len(study.metrics), len(compared.pairs(study))
    expected = {
        "arms": arms,
        "parts": 3 * len(FRACTIONS) * 3,
        "makers": 2 * 3 * len(FRACTIONS),
        "judgements": judges * metrics,
        "scores": arms * len(FRACTIONS) * metrics,
        "comparisons": tested * len(FRACTIONS) * metrics,
        "differences": tested * len(FRACTIONS) * metrics * 3 * SEEDS,
        "classes": 3 * len(FRACTIONS) * 4 * 3,
        "confusion": arms * len(FRACTIONS) * 4 * 4,
        "distances": 2 * len(FRACTIONS) * 9 * 4,
        "consistency": 2 * 3 * len(FRACTIONS) * 5,
        "images": judges * 4,
        "colours": 3,
        "enough": len(study.enough),
        "published": 6 * 5,
    }
    assert {name: len(rows) for name, rows in written.items() if name in expected} == expected
    assert len(written["curves"]) == sum(len(j.losses) + 3 * len(j.curve) for j in study.judgements)


def test_every_column_is_explained(written: dict[str, list[dict[str, str]]]) -> None:
    explained = {(row["table"], row["column"]) for row in written["columns"]}
    found = {(name, column) for name, rows in written.items() if name != "columns" for column in rows[0]}
    assert explained == found
    assert all(row["meaning"] for row in written["columns"])


def test_numbers_come_back_exactly(study: Results, written: dict[str, list[dict[str, str]]]) -> None:
    assert [float(row["mean"]) for row in written["scores"]] == [score.mean for score in study.scores]
    assert [float(row["p_corrected"]) for row in written["comparisons"]] == [c.p_corrected for c in study.comparisons]
    row = next(
        r for r in written["differences"] if (r["fold"], r["seed"], r["arm"]) == ("fold 2 of 3", "1", "real+classic")
    )
    values = {(j.arm, j.fold, j.seed): j.scores["pq"] for j in study.judgements if j.fraction == 0.1}
    expected = values["real+classic", row["fold"], 1] - values["real", row["fold"], 1]
    assert float(row["difference"]) == pytest.approx(expected, abs=1e-15)


def test_confusion_is_that_of_all_judges(study: Results, written: dict[str, list[dict[str, str]]]) -> None:
    judged = [each.confusion for each in study.judged("real", 1.0)]
    rows = [row for row in written["confusion"] if (row["arm"], row["fraction"]) == ("real", "1.0")]
    found = {(row["true"], row["predicted"]): int(row["nuclei"]) for row in rows}
    assert found["", "spindle"] == sum(each[0][3] for each in judged)
    assert found["epithelial", ""] == sum(each[2][0] for each in judged)
    assert found["epithelial", "inflammatory"] == sum(each[2][1] for each in judged)


def test_colours_differ_from_real_tiles_of_their_tissue(written: dict[str, list[dict[str, str]]]) -> None:
    real, made, alone = written["colours"]
    assert real["rgb_difference"] == alone["rgb_difference"] == alone["eosin_difference"] == ""
    assert float(made["rgb_difference"]) == pytest.approx((5.3**2 + 6.6**2 + 4.6**2) ** 0.5)
    assert float(made["haematoxylin_difference"]) == pytest.approx(0.017)


def test_fields_follow_rfc_4180() -> None:
    table = csv_table.Table("x", {"a": "", "b": ""}, [('say "a, b"', None), (True, ("u", "v")), (0.1, -3)])
    assert csv_table.text(table) == 'a,b\r\n"say ""a, b""",\r\ntrue,u;v\r\n0.1,-3\r\n'


def test_distances_are_averaged_over_folds(study: Results) -> None:
    makers = list(study.makers)
    other = faked.evidence(fsd=20.8, fsd_floor=None)
    makers[1] = makers[1].model_copy(update={"evidence": other})
    changed = study.model_copy(update={"makers": tuple(makers)})
    found = distances.in_table(changed, faked.JOINTFLOW, 0.1, "FSD")
    assert found
    assert found.value == pytest.approx((40.8 + 20.8 + 40.8) / 3)
    assert found.floor is found.low is None
    single = distances.in_table(faked.results(None), faked.JOINTFLOW, 1.0, "FID")
    assert single
    assert (single.metric, single.value) == ("FD-texture-1", 52.65)
    assert single.low == pytest.approx(0.9 * 52.65)


@pytest.mark.parametrize(
    ("metric", "column"),
    [
        ("FID", "FID"),
        ("FD-texture-1", "FID"),
        ("FD-infinity-texture-1", ""),
        ("IS-texture-1", "IS"),
        ("FSD", "FSD"),
        ("KID", ""),
        ("recall", ""),
    ],
)
def test_distances_find_their_column(metric: str, column: str) -> None:
    assert distances.kind_of(metric) == column


def rows_of(table: papers.PaperTable, published: bool) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (label, tuple(cell.value for cell in cells))
        for block in table.blocks
        if block.published == published
        for label, cells in block.rows
    ]


def test_daff_gan_has_a_block_for_each_judge() -> None:
    results = faked.results(None)
    table = papers.paper_tables(results)[0]
    assert (table.paper, table.own) == (published.DAFF_GAN, True)
    assert [block.published for block in table.blocks] == [False, True, True]
    assert all("published" in block.title for block in table.blocks if block.published)
    ours = dict(rows_of(table, False))
    assert ours["real+daff"][4] == f"{results.score('real+stores/daff', 1.0, 'pq').mean:.3f}"
    assert ("real + DAFF-GAN", ("0.8411", "0.5325", "0.6577", "0.7683", "0.5067")) in rows_of(table, True)


def test_cosyn_names_our_encoder_in_the_head() -> None:
    table = papers.paper_tables(faked.results(None, data_set="lizard", fractions=(0.1, 1.0)))[0]
    assert table.paper == published.COSYN
    assert [len(columns) for _, columns in table.groups] == [3, 4]
    assert table.groups[0][1] == ("FID (ours: FD-texture-1)", "IS (ours: IS-texture-1)", "FSD")
    assert len(table.blocks) == 3
    assert ("real + SDM", ("45.99", "2.35", "–", "0.718", "0.488", "0.699", "0.862")) in rows_of(table, True)
    ours = dict(rows_of(table, False))
    assert ours["real"][:3] == ("–", "–", "–")
    assert ours["real+jointflow"][:3] == ("52.6", "2.11", "40.8")


def test_nudiff_has_columns_for_each_fraction() -> None:
    results = faked.results(None, data_set="monuseg", fractions=(0.2, 0.5))
    table = papers.paper_tables(results)[0]
    assert table.paper == published.NUDIFF
    assert [head for head, _ in table.groups] == [f"{percent} % of the labels" for percent in (10, 20, 50, 100)]
    assert dict(rows_of(table, True))["real"] == ("0.7969", "0.6344", *"––––", "0.8206", "0.6652")
    ours = dict(rows_of(table, False))["real"]
    assert ours[:2] == ours[-2:] == ("–", "–")
    assert ours[2] == f"{results.score('real', 0.2, 'dice').mean:.3f}"


def test_papers_of_other_data_sets_are_not_shown() -> None:
    for table in papers.paper_tables(faked.results(None, data_set="puma")):
        assert not table.own
        assert not any(block.published for block in table.blocks)


def test_why_numbers_are_not_like_for_like() -> None:
    said = papers.unlike(faked.results(None, fractions=(0.1, 1.0)))
    for fact in (
        "preset tiny",
        "0.5 µm",
        "400 steps",
        "3 to 27 training tiles",
        "14 test tiles",
        "official split",
        "3 judges",
    ):
        assert fact in said


@pytest.mark.skipif(not SPECS.exists(), reason="the papers' facts are not at hand")
@pytest.mark.parametrize("name", ["cosyn", "daff_gan", "nudiff"])
def test_published_rows_are_the_papers(name: str) -> None:
    text = (SPECS / f"{name}.md").read_text()
    facts = text[text.index("## Data and results" if name == "daff_gan" else "## Results") :].partition("## Cost")[0]
    paper = {"cosyn": published.COSYN, "daff_gan": published.DAFF_GAN, "nudiff": published.NUDIFF}[name]
    values = [value for row in published.ROWS if row.paper == paper for value in row.metrics.values()]
    given = [float(number) for number in re.findall(r"\d*\.\d+", facts)]
    assert sorted(values) == sorted(given)


def test_published_rows_are_told_apart() -> None:
    keys = [(row.paper, row.data_set, row.trained_on, row.judge, row.fraction) for row in published.ROWS]
    assert len(set(keys)) == len(keys)
    assert {row.data_set for row in published.ROWS} == {"consep", "lizard", "pannuke", "endonuke", "monuseg", "kumar"}
    assert published.rows("puma") == ()


def test_scores_and_tests_say_how_many_they_are_of(tmp_path: Path) -> None:
    found = faked.results(None, ("real", "real+jointflow"), folds=4, lacking=[("f_spindle", 1)])
    folder = tables.write(tmp_path, found)

    def of(name: str, metric: str) -> list[dict[str, str]]:
        lines = (folder / f"{name}.csv").read_text().splitlines()
        return [row for row in csv.DictReader(lines) if row["metric"] == metric]

    assert {(row["folds"], row["judges"]) for row in of("scores", "f_spindle")} == {("3", "9")}
    assert {(row["folds"], row["judges"]) for row in of("scores", "pq")} == {("4", "12")}
    assert [(row["pairs"], row["n"]) for row in of("comparisons", "f_spindle")] == [("12", "3")]
    assert [row["n"] for row in of("comparisons", "pq")] == ["4"]


def test_a_loss_that_is_not_finite_is_empty(tmp_path: Path) -> None:
    found = faked.results(None, ("real",), seeds=1)
    diverged = found.judgements[0].model_copy(update={"losses": ((5, 1.5), (20, None))})
    folder = tables.write(tmp_path, found.model_copy(update={"judgements": (diverged,)}))
    rows = list(csv.DictReader((folder / "curves.csv").read_text().splitlines()))
    losses = [(row["step"], row["value"]) for row in rows if row["metric"] == "training_loss"]
    assert losses == [("5", "1.5"), ("20", "")]


def test_copies_are_corrected(written: dict[str, list[dict[str, str]]]) -> None:
    assert {float(row["p_nearer"]) for row in written["makers"]} == {0.62}
    assert {float(row["p_nearer_corrected"]) for row in written["makers"]} == {1.0}
    alone = faked.results(None, ("real", "real+jointflow"))
    (row,) = tile_tables.makers(alone).rows
    assert row[-2:] == pytest.approx((0.62, 0.62))


def test_a_year_that_is_not_known_is_empty(written: dict[str, list[dict[str, str]]]) -> None:
    assert {(row["paper"], row["year"]) for row in written["published"]} == {(published.DAFF_GAN, "")}


def test_fewer_folds_stand_in_the_papers_layout() -> None:
    found = faked.results(None, folds=3, lacking=[("aji", 0)])
    for block in papers.paper_tables(found)[0].blocks[:1]:
        for _, cells in block.rows:
            assert cells[1].small.endswith(", 2 of 3 folds")
            assert "folds" not in cells[0].small


def test_one_judge_has_no_spread() -> None:
    said = papers.unlike(faked.results(None, seeds=1))
    assert "of a single judge. " in said
    assert "deviation" not in said
