"""Which device and which precision: picked by themselves, said aloud, overruled by name."""

import logging
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from nucleosynth.errors import UserError
from nucleosynth.progress import say

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it repeats what we say ourselves

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


def fabric_for(device: str = "auto", precision: str = "auto") -> Fabric:
    """A launched Fabric on `device` ("auto", "cpu", "cuda", "cuda:4" for four of them) in `precision`.

    Raises:
        UserError: the device is not there, or the precision has no such name.
    """
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise UserError(
            "no such device", expected="auto, cpu, or cuda where a CUDA device is", got=device, mend="--device cpu"
        )
    if precision not in PRECISIONS:
        raise UserError("no such precision", expected=f"one of {', '.join(PRECISIONS)}", got=precision)
    if precision == "auto":
        precision = "bf16-mixed" if fast_bf16(kind) else "32-true"
    devices = int(number or 1)
    fabric = Fabric(accelerator=kind, devices=devices, precision=precision, strategy=strategy_for(devices))  # type: ignore[arg-type]
    fabric.launch()
    if fabric.is_global_zero:
        name = torch.cuda.get_device_name() if kind == "cuda" else f"{torch.get_num_threads()} CPU threads"
        say(f"device: {name}, precision {precision}")
    return fabric


def strategy_for(devices: int) -> DDPStrategy | str:
    """How that many devices train: each has the whole network, of which a step may leave parts without a gradient."""
    return DDPStrategy(find_unused_parameters=True) if devices > 1 else "auto"


def fast_bf16(kind: str) -> bool:
    """Whether bf16 arithmetic is fast on this kind of device ("cpu" or "cuda")."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def total_memory(device: torch.device) -> int:
    """Bytes of memory that a device has, taken or free; of a CPU, the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
