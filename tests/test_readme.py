"""The README and the configs say what is true of the program."""

import re
import tomllib
from pathlib import Path

import pytest

from nucleosynth import catalog
from nucleosynth.verbs import segment
from nucleosynth.verbs.fit import OPTIONS, resolve_settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))


def test_the_readme_s_table_is_the_catalog() -> None:
    shown = README.split("<!-- catalog")[1].split("-->", 1)[1].split("<!-- end of catalog -->")[0]
    assert shown.strip() == catalog.markdown()


def test_every_verb_stands_in_the_readme() -> None:
    for entry in catalog.CATALOG["verb"]:
        assert f"`nucleosynth {entry.name}" in README, entry.name


def test_every_picture_of_the_readme_is_there() -> None:
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_known_and_explained(path: Path) -> None:
    text = path.read_text()
    table = tomllib.loads(text)
    settings = table.pop("settings", {})
    judges = "method" not in table
    assert set(table) <= set(segment.OPTIONS if judges else OPTIONS)
    kind = catalog.load("judge", "hovernet") if judges else catalog.load("method", table["method"])
    resolve_settings(kind.presets, table.get("preset", "tiny"), settings, str(path))
    header = text.split("\n\n")[0]
    command = "segment fit" if judges else "fit"
    for word in (f"nucleosynth {command} --config configs/{path.name}", "hardware:", "minutes:"):
        assert word in header, word
