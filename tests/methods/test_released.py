"""What recipes cost as released: held against what our published networks count, and told beside it by `cost`."""

from pathlib import Path

import pytest

from nucleosynth import catalog
from nucleosynth.methods.released import RELEASED, SIZE_PX
from nucleosynth.verbs.cost import cost


@pytest.mark.parametrize("name", RELEASED)
def test_published_networks_cost_what_ours_do_and_take_as_many_passes_at_least(name: str) -> None:
    kind = catalog.load("method", name)
    ours = {stage.name: stage for stage in kind.cost(kind.presets["paper"], SIZE_PX, kind.published_classes)}
    for stage in RELEASED[name].stages:
        assert stage.gflop_per_evaluation == pytest.approx(ours[stage.name].gflop_per_evaluation, rel=0.01)
        assert stage.evaluations >= ours[stage.name].evaluations


def test_sums_are_those_of_the_papers() -> None:
    petaflops = {name: recipe.gflop / 1e6 for name, recipe in RELEASED.items()}
    assert petaflops["nudiff"] == pytest.approx(9.08, abs=0.005)
    assert petaflops["sdm"] == pytest.approx(7.27, abs=0.005)
    assert petaflops["diffmix"] == pytest.approx(0.377, abs=0.0005)
    assert petaflops["cosyn"] == pytest.approx(2.55, abs=0.005)
    assert RELEASED["nudiff"].evaluations == 3000


def test_cost_tells_the_release_beside_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = cost("spade", json=tmp_path / "cost.json")
    assert found["released"] == {"recipe": "one pass", "size": 256, "evaluations": 1, "gflop_per_pair": 274.5}
    assert "as released, a pair of 256^2: 274.5 GFLOP in 1 evaluation (one pass)" in capsys.readouterr().out
    assert '"evaluations": 1,' in (tmp_path / "cost.json").read_text()
    assert cost("jointflow")["released"] is None
    assert "released" not in capsys.readouterr().out
