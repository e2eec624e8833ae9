"""The arms of a study: `real`, `real+METHOD`, `real+METHOD:preset` and `real+STORE`.

A recipe (METHOD) is fitted inside the study, on exactly the arm's training tiles; a STORE is a folder of finished pairs
that must come from those tiles as well (see fairness.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nucleosynth import catalog
from nucleosynth.errors import UserError, unknown_name

REAL = "real"


@dataclass(frozen=True)
class Arm:
    """One way to train the judge: with real tiles alone, with a recipe's pairs, or with those of a store.

    label: what tables call it; of a store the folder's name, where that is enough.
    """

    name: str
    label: str
    method: str = ""
    preset: str = ""
    store: Path | None = None

    @property
    def made_by(self) -> str:
        """Where the synthetic tiles come from, in words; "" for none."""
        if self.store:
            return f"the store {self.store}"
        return f"{self.method}, preset {self.preset}, fitted on the training tiles" if self.method else ""

    @property
    def slug(self) -> str:
        """The name as that of a file."""
        return re.sub(r"[^\w.+-]+", "_", self.name)


def parse(texts: Sequence[str], preset: str) -> tuple[Arm, ...]:
    """The arms that the texts name; `preset` is that of recipes which name none.

    A method's name goes before a folder of that name; write ./NAME for the folder.

    Raises:
        UserError: no `real` to compare with, nothing but it, an arm twice, or one that is no method and no folder.
    """
    arms = tuple(_arm(text, preset) for text in texts)
    names = [arm.slug for arm in arms]
    if len(set(names)) < len(names):
        raise UserError("an arm twice", expected="each arm once", got=", ".join(texts), where="--arm")
    if REAL not in names or len(arms) < 2:
        raise UserError(
            "nothing to compare",
            expected=f"--arm {REAL} and at least one more",
            got=", ".join(texts) or "no arm",
            where="--arm",
            mend=f"for example --arm {REAL} --arm {REAL}+jointflow",
        )
    labels = [arm.label for arm in arms]
    return tuple(arm if labels.count(arm.label) == 1 else replace(arm, label=arm.name) for arm in arms)


def _arm(text: str, preset: str) -> Arm:
    if text == REAL:
        return Arm(text, text)
    real, plus, what = text.partition("+")
    if real != REAL or not plus or not what:
        raise UserError(
            "not an arm", expected="real, real+METHOD, real+METHOD:preset or real+STORE", got=repr(text), where="--arm"
        )
    method, _, own = what.partition(":")
    known = [entry.name for entry in catalog.CATALOG["method"]]
    if method in known:
        return Arm(text, text, method=method, preset=own or preset)
    if Path(what).exists():
        return Arm(text, f"{REAL}+{Path(what).name}", store=Path(what))
    raise unknown_name("method or store", what, known, where=f"--arm {text}")
