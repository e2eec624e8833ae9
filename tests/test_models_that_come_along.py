"""The models that come with the package: small, without code, of CC0 tiles alone, and good for something at once."""

import json
from pathlib import Path

import numpy as np
import pytest

import nucleosynth
from nucleosynth import catalog
from nucleosynth.cli import main
from nucleosynth.data.reader import read
from nucleosynth.metrics.contrast import nuclear_contrast
from nucleosynth.run import Run

NAMES = [entry.name for entry in catalog.CATALOG["pretrained model"]]
MOST_BYTES = 20_000_000


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_in_the_package(name: str) -> None:
    folder = Run.open(f"pretrained:{name}").folder
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert set(files) == {"run.json", "facts.json", "MODEL_CARD.md", "checkpoints/flow.safetensors"}
    assert sum(files.values()) <= MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_it_rests_on_cc0_tiles_alone(name: str) -> None:
    record = Run.open(f"pretrained:{name}").record
    assert {source.licence for source in record.training_sources} == {"CC0-1.0"}
    card = (Run.open(f"pretrained:{name}").folder / "MODEL_CARD.md").read_text()
    for word in ("NuCLS", "PUMA", "DSB2018", "CC0", "Limits", f"{len(record.training_sources)} sources"):
        assert word in card


@pytest.mark.parametrize("name", NAMES)
def test_pairs_at_once(name: str, tmp_path: Path) -> None:
    """Nuclei that are darker than what is around them, in tiles of tissue."""
    pairs = list(read(str(nucleosynth.generate(f"pretrained:{name}", n=8, out=tmp_path / "pairs", seed=1))))
    assert sum(len(pair.classes) for pair in pairs) >= 20
    contrasts = np.concatenate([nuclear_contrast(pair.image, pair.instances) for pair in pairs])
    assert np.median(contrasts) > 0
    assert {pair.licence for pair in pairs} == {"CC0-1.0"}


@pytest.mark.parametrize("name", NAMES)
def test_training_may_begin_from_it(name: str, tmp_path: Path) -> None:
    run = nucleosynth.fit(
        "jointflow", from_=f"pretrained:{name}", data="phantom:tiles=3&size=64&sources=3", run=tmp_path / "run", steps=1
    )
    before = Run.open(f"pretrained:{name}")
    assert run.record.inherited_sources == before.record.training_sources
    assert run.record.settings["network"] == before.record.settings["network"]


def test_another_name_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["generate", "pretrained:he-tini", "--n", "1", "--out", str(tmp_path / "pairs")]) == 2
    assert "did you mean 'he-tiny'?" in capsys.readouterr().err


def test_the_record_names_no_place_of_the_machine_that_made_it() -> None:
    for name in NAMES:
        record = json.loads((Run.open(f"pretrained:{name}").folder / "run.json").read_text())
        assert "/" not in record["data"]
