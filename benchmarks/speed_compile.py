"""What compiling, channels-last and bf16 give one evaluation of a method's network: speed.py --compile METHOD.

The evaluation is the call of a module that sampling spends most time in, with what it was last called with, as
pairs of SHAPES are made. It is repeated as it is and behind torch.compile, in its default mode without dynamic shapes:
both take turns, and the least of each counts. `compile, s` is the first call, which compiles; no cache is used.
"""

import os

os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from calls import Call, now, outermost

SHAPES = ((64, 16), (256, 4))
"""Side of the pairs in px, and pairs a batch."""
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
PRECISIONS = {"32-true": 1e-3, "bf16-mixed": 0.1}
"""And by how much of its largest value a compiled network may differ."""
FEWEST = 3
HEADINGS = ("pairs", "memory", "precision", "eager, ms", "compiled, ms", "ratio", "compile, s")


def table(model_at: Callable[[int], Any], seconds: float) -> Iterator[str]:
    """The lines of the table; model_at: a method (methods.method.Method) in 32-true whose tile has that side in px."""
    warnings.filterwarnings("ignore", "dynamo_pgo force disabled")
    yield line(HEADINGS)
    for size, batch in SHAPES:
        call = evaluation(model_at(size), batch)
        for precision, tolerance in PRECISIONS.items():
            for name, memory in FORMATS.items():
                call.module.to(memory_format=memory)  # type: ignore[call-overload]
                laid = tree_map(lambda part, memory=memory: in_memory(part, memory), (call.args, call.kwargs))
                eager, compiled, first = timed(
                    call._replace(args=laid[0], kwargs=laid[1]), precision, tolerance, seconds
                )
                numbers = (f"{1000 * eager:.1f}", f"{1000 * compiled:.1f}", f"{eager / compiled:.2f}x", f"{first:.0f}")
                yield line((f"{batch} of {size}^2", name, precision, *numbers))


def evaluation(model: Any, batch: int) -> Call:
    """The call that takes most of the time as a method makes a batch of pairs."""
    with outermost() as calls:
        list(model.generate(model.default_conditions(0), 0, count=batch, batch=batch))
    return max(calls.values(), key=lambda call: call.seconds)


def timed(call: Call, precision: str, tolerance: float, seconds: float) -> tuple[float, float, float]:
    """Seconds of a call as it is, and compiled, and of the first compiled one."""
    place = next(call.module.parameters()).device.type
    with torch.inference_mode(), torch.autocast(place, torch.bfloat16, enabled=precision == "bf16-mixed"):
        torch._dynamo.reset()
        network = torch.compile(call.module, dynamic=False)
        began = now()
        found = network(*call.args, **call.kwargs)
        first = now() - began
        check(found, call.module(*call.args, **call.kwargs), tolerance)
        eager, compiled = taking_turns([call.module, network], call, seconds)
        return eager, compiled, first


def taking_turns(networks: Sequence[Callable[..., Any]], call: Call, seconds: float) -> list[float]:
    """The least seconds of the same call of each network, in turns for some seconds, a few turns at least."""
    times: list[list[float]] = [[] for _ in networks]
    began = now()
    while len(times[0]) < FEWEST or now() - began < seconds:
        for network, own in zip(networks, times, strict=True):
            start = now()
            network(*call.args, **call.kwargs)
            own.append(now() - start)
    return [min(own) for own in times]


def check(found: Any, expected: Any, tolerance: float) -> None:
    """Compiled, a network computes the same, to a share of its largest value."""
    for ours, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        error, largest = (ours.float() - other.float()).abs().max(), other.float().abs().max()
        assert error <= tolerance * largest, f"compiled, it differs by {error:.3g} of {largest:.3g}"


def in_memory(part: Any, memory: torch.memory_format) -> Any:
    """A batch of maps (b c h w) as it lies in that memory format; anything else as it is."""
    return part.contiguous(memory_format=memory) if isinstance(part, Tensor) and part.ndim == 4 else part


def line(texts: tuple[str, ...]) -> str:
    """A line of the table."""
    return f"{texts[0]:<13}{texts[1]:<15}{texts[2]:<12}" + "".join(f"{text:>14}" for text in texts[3:])
