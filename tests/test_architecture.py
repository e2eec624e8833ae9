"""Who may import whom: every import of every file, read from its syntax, against the table of ARCHITECTURE.md.

Imports inside functions count; what the catalog loads by name does not, which is how verbs reach methods.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from nucleosynth import catalog

SOURCE = Path(__file__).parents[1] / "src" / "nucleosynth"
TESTS = Path(__file__).parent
LONGEST = 400
VAGUE = {"utils", "util", "misc", "helpers", "common"}

GROUND = frozenset({"errors", "catalog", "entries", "config", "run", "sample", "pictures", "progress", "seeds"})
NUMPY = frozenset({"data", "formats", "conditions", "layouts", "instances", "metrics", "curation"})
TORCH = frozenset({"nets", "diffusion", "adversarial", "training"})
BOTH = frozenset({"stages", "methods", "encoders", "segmentation"})
VERBS = frozenset({"verbs", "studies", "scale"})
TOP = frozenset({"report", "studio", "cli", "__main__"})

MAY_IMPORT = {
    **dict.fromkeys(GROUND, GROUND),
    "sample": frozenset({"errors"}),
    **dict.fromkeys(NUMPY, GROUND | NUMPY),
    **dict.fromkeys(TORCH, (GROUND | TORCH) - {"sample", "pictures"}),
    "diffusion": (GROUND | TORCH) - {"sample", "pictures", "nets"},
    "stages": GROUND | NUMPY | TORCH | {"stages"},
    "encoders": GROUND | NUMPY | TORCH | {"encoders"},
    "segmentation": GROUND | NUMPY | TORCH | {"encoders", "segmentation"},
    "methods": GROUND | NUMPY | TORCH | BOTH,
    **dict.fromkeys(VERBS, GROUND | NUMPY | TORCH | BOTH | VERBS | {"report"}),
    "report": GROUND | {"metrics", "report"},
    "studio": GROUND | VERBS | {"report", "studio"},
    "cli": GROUND | VERBS | {"report", "__init__"},
    "__main__": frozenset({"cli"}),
    "pretrained": frozenset(),
    "__init__": frozenset(),
}
TORCH_PACKAGES = {"torch", "torchvision", "lightning", "lightning_fabric", "safetensors", "open_clip", "transformers"}
TORCHLESS = GROUND | NUMPY | {"pretrained", "report", "cli", "__main__", "__init__"}


def module_name(path: Path) -> str:
    """ "data.store" for data/store.py, "data" for data/__init__.py, "__init__" for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
METHODS = {entry.target.partition(":")[0] for entry in catalog.CATALOG["method"]}


@cache
def imports(module: str) -> frozenset[str]:
    """Everything a module imports: "data.store" for our own modules, "numpy" for packages of others."""
    tree = ast.parse(MODULES[module].read_text())
    return frozenset(name for node in ast.walk(tree) for name in imported_by(node))


def imported_by(node: ast.AST) -> Iterator[str]:
    """The modules that one statement imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield own(alias.name) if alias.name.startswith("nucleosynth") else alias.name.partition(".")[0]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        origin = node.module or ""
        if origin.partition(".")[0] != "nucleosynth":
            yield origin.partition(".")[0]
            return
        for alias in node.names:
            inner = own(f"{origin}.{alias.name}")
            yield inner if inner in MODULES else own(origin)


def own(name: str) -> str:
    """ "data.store" for "nucleosynth.data.store"."""
    return name.removeprefix("nucleosynth").removeprefix(".") or "__init__"


def lazily_typed(module: str) -> frozenset[str]:
    """Imports of the package itself: those for type checkers alone do not count, for they are never run."""
    tree = ast.parse(MODULES[module].read_text())
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return frozenset(name for node in ast.walk(tree) for name in imported_by(node))


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    layer = module.partition(".")[0]
    assert layer in MAY_IMPORT, f"{layer} has no place in the table of ARCHITECTURE.md"
    found = lazily_typed(module) if module == "__init__" else imports(module)
    reached = {name.partition(".")[0] for name in found if name in MODULES}
    assert not reached - MAY_IMPORT[layer], f"{module} may import {sorted(MAY_IMPORT[layer])}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.partition(".")[0] in TORCHLESS])
def test_the_numpy_column_never_imports_torch(module: str) -> None:
    assert not imports(module) & TORCH_PACKAGES


def test_sample_needs_numpy_alone() -> None:
    standard = {"collections", "dataclasses", "typing"}
    assert imports("sample") - standard == {"numpy", "errors"}


@pytest.mark.parametrize(
    "module", sorted(name for name in MODULES if name in METHODS or name.partition(".")[0] in VERBS)
)
def test_methods_are_reached_through_the_catalog_alone(module: str) -> None:
    assert not imports(module) & (METHODS - {module})


def test_imports_have_no_cycle() -> None:
    graph = {module: {name for name in imports(module) if name in MODULES and name != module} for module in MODULES}
    graph["__init__"] = set()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("path", [*MODULES.values(), *TESTS.rglob("*.py")], ids=lambda path: path.name)
def test_files_are_short_and_named_after_what_they_hold(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST, f"{path} has {lines} lines"
    assert path.stem not in VAGUE


def test_every_target_of_the_catalog_is_a_file() -> None:
    missing = [
        entry.target
        for entries in catalog.CATALOG.values()
        for entry in entries
        if entry.target.partition(":")[0] not in MODULES
    ]
    assert not missing


def test_the_reader_of_imports_sees_all_their_forms() -> None:
    code = "import torch.nn\nimport nucleosynth.data.store as s\nfrom nucleosynth import catalog\n"
    code += "from nucleosynth.data import store\n"
    code += "def f():\n    from nucleosynth.data.reader import read\n    from scipy import ndimage\n"
    found = {name for node in ast.walk(ast.parse(code)) for name in imported_by(node)}
    assert found == {"torch", "data.store", "catalog", "data.reader", "scipy"}
