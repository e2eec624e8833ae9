"""What the tests of reading in other processes send to them; nothing here imports torch, for they are not to."""

import os
import signal
import sys

import cv2
import numpy as np

from nucleosynth.errors import UserError
from nucleosynth.sample import Classes, Instances

SIZE = (32, 32)


def numbered(k: int) -> tuple[Instances, Classes]:
    """One nucleus of k + 1 pixels."""
    instances = np.zeros(SIZE, np.int32)
    instances.ravel()[: k + 1] = 1
    return instances, np.ones(1, np.uint8)


def process(_k: int) -> tuple[Instances, Classes]:
    """Who reads: the process, its threads, and whether it has torch."""
    return np.array([[os.getpid(), cv2.getNumThreads(), "torch" in sys.modules]], np.int32), np.zeros(0, np.uint8)


def spoilt(k: int) -> tuple[Instances, Classes]:
    """The fifth cannot be read."""
    if k == 5:
        raise UserError("a sample that cannot be read", expected="a label", got=f"sample {k}", mend="mend it")
    return numbered(k)


def killed(k: int) -> tuple[Instances, Classes]:
    """The fifth kills its process."""
    if k == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return numbered(k)
