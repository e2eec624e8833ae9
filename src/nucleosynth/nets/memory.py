"""Memory of what a network computes on the way: the most bytes of tensors that live at once, counted on shapes alone.

Every storage that an operation makes is followed from its birth until nothing holds it; views share their storage, and
what is written in place has one already. Not in it: parameters, inputs, and what a kernel takes for itself as it runs.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_mb(call: Callable[[], Any]) -> float:
    """MB (1e6 bytes) of tensors at the peak of one call, in the types that they have without autocast.

    Build the network and its inputs under `torch.device("meta")` first, so that nothing is computed.
    """
    living = Living()
    with _Fused(), living, torch.no_grad():
        call()
    return living.peak / 1e6


class Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of storages made while it is entered, on any device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        """Bytes of those that live."""
        self.peak = 0
        """The most that they have been."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation; what it returns in a storage that it was not given is new."""
        made = func(*args, **(kwargs or {}))
        given = {id(storage) for storage in _storages((args, kwargs))}
        for storage in {id(storage): storage for storage in _storages(made)}.values():
            if id(storage) not in given:
                self.now += storage.nbytes()
                weakref.finalize(storage, self._forget, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return made

    def _forget(self, size: int) -> None:
        self.now -= size


class _Fused(TorchFunctionMode):
    """Attention as fused kernels leave it, by its output alone: on shapes torch would take its square of products."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, _, value = args[:3]
        return query.new_empty(*query.shape[:-1], value.shape[-1])


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    """Those of all tensors in what an operation is given or returns; one object each as long as it is held."""
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
