"""Layouts, the point patterns of nuclei: read, sampled, perturbed.

`layouts.fit` and `layouts.sample` are the verbs `nucleosynth layouts fit` and `layouts sample`.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("fit", "sample"):
        from nucleosynth import catalog

        return catalog.load("verb", f"layouts {name}")
    raise AttributeError(f"module 'nucleosynth.layouts' has no attribute {name!r}")
