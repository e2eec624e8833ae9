"""From a few labelled histology tiles to many: image, nucleus instances and classes, and the proof of their worth.

The verbs of the command line are functions here, beside what they speak of. Nothing is imported before it is used.

Example:
    >>> import nucleosynth
    >>> first = next(nucleosynth.read("phantom:"))
    >>> first.size
    (256, 256)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nucleosynth.data.reader import read as read
    from nucleosynth.errors import Interrupted as Interrupted
    from nucleosynth.errors import MachineError as MachineError
    from nucleosynth.errors import NucleosynthError as NucleosynthError
    from nucleosynth.errors import UserError as UserError
    from nucleosynth.sample import Condition as Condition
    from nucleosynth.sample import Layout as Layout
    from nucleosynth.sample import Sample as Sample

__version__ = "0.1.0"

_VERBS = (
    "demo",
    "list",
    "inspect",
    "validate",
    "convert",
    "tiles",
    "subset",
    "captions",
    "fit",
    "distil",
    "generate",
    "score",
    "compare",
    "study",
    "cost",
)
_PAIRED = {"segment": "verbs.segment", "layouts": "layouts"}
"""First words of verbs of two words: modules that have the second words as functions."""
_MODULES = {
    "Sample": "sample",
    "Layout": "sample",
    "Condition": "sample",
    "read": "data.reader",
    "NucleosynthError": "errors",
    "UserError": "errors",
    "MachineError": "errors",
    "Interrupted": "errors",
}
__all__ = ["__version__", *_MODULES, *_VERBS, *_PAIRED]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"nucleosynth.{_MODULES[name]}"), name)
    if name in _VERBS:
        return import_module("nucleosynth.catalog").load("verb", name)
    if name in _PAIRED:
        return import_module(f"nucleosynth.{_PAIRED[name]}")
    raise AttributeError(f"module 'nucleosynth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
