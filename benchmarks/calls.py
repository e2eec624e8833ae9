"""Which networks a piece of code calls, with what, and how long they take, whatever the method's own classes are."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import nn


class Call(NamedTuple):
    """The last call of a module from outside of all modules, and the seconds of all such calls of it."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    seconds: float


@contextmanager
def outermost() -> Iterator[dict[int, Call]]:
    """While open, notes the calls of modules that no other module makes: by the module's id.

    What a network computes outside of its modules' calls is not seen.
    """
    found: dict[int, Call] = {}
    called, inside = nn.Module.__call__, False

    def noted(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        if inside:
            return called(module, *args, **kwargs)
        inside, began = True, now()
        try:
            return called(module, *args, **kwargs)
        finally:
            inside, before = False, found.get(id(module))
            spent = now() - began + (before.seconds if before else 0)
            found[id(module)] = Call(module, args, kwargs, spent)

    with patch.object(nn.Module, "__call__", noted):
        yield found


def now() -> float:
    """Seconds by a clock, after all that was asked of a CUDA device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
