"""Learning rates over the budget."""

from torch.optim import Optimizer

from nucleosynth.training.checkpoint import Moment


def warm_then_decay(moment: Moment, peak: float, warmup: int, decay: float) -> float:
    """Linear rise over `warmup` steps, then `peak`, then a linear fall to 0 over the budget's last share `decay`."""
    rise = min((moment.step + 1) / max(warmup, 1), 1.0)
    fall = min((1 - moment.progress) / decay, 1.0) if decay else 1.0
    return peak * rise * fall


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Give all parameter groups this learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate
