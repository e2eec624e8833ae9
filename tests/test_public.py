"""The public surface is these names and no others, and costs nothing to import."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import nucleosynth
from nucleosynth import catalog

PUBLIC = [
    "Condition",
    "Interrupted",
    "Layout",
    "MachineError",
    "NucleosynthError",
    "Sample",
    "UserError",
    "__version__",
    "captions",
    "compare",
    "convert",
    "cost",
    "demo",
    "distil",
    "fit",
    "generate",
    "inspect",
    "layouts",
    "list",
    "read",
    "score",
    "segment",
    "study",
    "subset",
    "tiles",
    "validate",
]


def test_the_names_are_fixed() -> None:
    assert dir(nucleosynth) == PUBLIC
    assert sorted(nucleosynth.__all__) == PUBLIC


def test_the_verbs_are_those_of_the_catalog() -> None:
    verbs = [entry.name.split() for entry in catalog.CATALOG["verb"]]
    assert {first for first, *_ in verbs} <= set(PUBLIC)
    assert {first for first, *second in verbs if not second} == set(nucleosynth._VERBS)
    assert {first for first, *second in verbs if second} == set(nucleosynth._PAIRED)
    for first, *second in verbs:
        assert not second or callable(getattr(getattr(nucleosynth, first), second[0]))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert getattr(nucleosynth, name).__doc__


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="samples"):
        nucleosynth.samples  # noqa: B018


def test_the_version_is_that_of_the_package() -> None:
    assert nucleosynth.__version__ == version("nucleosynth")


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import nucleosynth", {"torch", "numpy", "cv2", "pyarrow", "nucleosynth.sample"}),
        ("import nucleosynth.cli; nucleosynth.cli.main(['--help'])", {"torch", "numpy", "cv2", "pyarrow"}),
        ("import nucleosynth.cli; nucleosynth.cli.main(['list'])", {"torch", "numpy", "cv2", "pyarrow"}),
        ("import nucleosynth.cli; nucleosynth.cli.main(['convert', '--help'])", {"torch"}),
        ("import nucleosynth.cli; nucleosynth.cli.main(['segment', '--help'])", {"torch", "numpy", "cv2", "pyarrow"}),
        ("import nucleosynth.cli; nucleosynth.cli.main(['segment', 'fit', '--help'])", {"torch"}),
        ("import nucleosynth; nucleosynth.Sample, nucleosynth.read", {"torch", "cv2", "pyarrow"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(code: str, unwanted: set[str]) -> None:
    program = f"import sys\n{code}\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "nucleosynth" in loaded
    assert not loaded & unwanted
