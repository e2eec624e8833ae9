"""The arms of a study, from how they are written on the command line:

    real                            the labelled tiles alone, windows drawn from them as they are
    real+classic                    ... varied by the conventional augmentation
    real+METHOD[:preset]            ... with pairs of a recipe, fitted inside the study on the arm's own training tiles
    real+RUN, real+pretrained:NAME  ... with pairs of a trained run that is fitted further, in the same way
    real+STORE                      ... with the pairs of a store, which must come from those tiles (fairness.py)
    real+classic+METHOD, +RUN, +STORE    both
    real@METHOD, real+classic@METHOD    no pairs, but as many more training steps as the recipe's compute would buy

An arm is compared with the one that lacks its last addition: real+classic+jointflow with real+classic, that with real.
Several ratios make an arm of each; they share the recipe's one generator, and smaller ratios take its first pairs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nucleosynth import catalog
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.run import PRETRAINED, RECORD, Run, file_name

REAL, CLASSIC = "real", "classic"
FORMS = "real, real+classic, real+METHOD[:preset], real+RUN, real+STORE, real+classic+..., real@METHOD"


@dataclass(frozen=True)
class Maker:
    """Where synthetic tiles come from: a recipe (method and preset, or a trained run to begin from) or a store."""

    name: str
    label: str
    """What tables call it: of a store the folder's name, where that is enough."""
    method: str = ""
    preset: str = ""
    store: Path | None = None
    begin: str = ""
    """The trained run that fitting begins from: a folder, or pretrained:NAME."""

    @property
    def words(self) -> str:
        """What it is, for the report."""
        if self.store:
            return f"the store {self.store}"
        begun = f", begun from {self.begin}" if self.begin else ""
        return f"{self.method}, preset {self.preset}{begun}, fitted on the training tiles"

    @property
    def slug(self) -> str:
        """A folder's name that no other maker has."""
        if self.store or self.begin:
            return file_name(f"{'store' if self.store else 'from'} {self.name}")
        return file_name(f"{self.method}-{self.preset}")

    @property
    def place(self) -> str:
        """What it is, however it was written: of a store or a run to begin from, where it lies."""
        where = self.store or (Run.open(self.begin).folder if self.begin else None)
        return str(where.resolve()) if where else self.name


@dataclass(frozen=True)
class Arm:
    """One way to train the judge; see report.results.Arm for the names."""

    name: str
    label: str
    base: str
    """The real tiles and how they are varied: real, real+classic."""
    maker: Maker | None = None
    ratio: float | None = None
    compute_of: Maker | None = None
    reference: str = ""

    @property
    def classic(self) -> bool:
        """Whether windows are varied."""
        return self.base != REAL

    @property
    def slug(self) -> str:
        """A folder's name that no other arm has."""
        return file_name(self.name)

    @property
    def words(self) -> str:
        """All that decides what the judge is trained on."""
        ratio = "" if self.ratio is None else f" x{self.ratio!r}"
        made = f"{self.maker.words}{ratio}" if self.maker else ""
        compute = f"as much compute as {self.compute_of.words}" if self.compute_of else ""
        return "; ".join(part for part in (self.name, self.base, made, compute) if part)


def parse(texts: Sequence[str], preset: str, ratios: Sequence[float] = ()) -> tuple[Arm, ...]:
    """The arms that the texts name, those without pairs first; `preset` is that of recipes which name none.

    ratios: of synthetic to real area; none: 1 for recipes, all that it holds for a store. A method's name goes before
    a folder of that name, and "classic" before both; write ./NAME for the folder.

    Raises:
        UserError: an arm twice, one that is no method and no folder, one without the arm that it is compared with, or
            none that is compared; a ratio that is not above 0, or twice.
    """
    _check_ratios(ratios)
    arms = [
        variant for arm in _told_apart([_arm(text, preset) for text in texts]) for variant in _variants(arm, ratios)
    ]
    kinds = [
        (arm.base, arm.maker and arm.maker.place, arm.ratio, arm.compute_of and arm.compute_of.place) for arm in arms
    ]
    if len(set(kinds)) < len(kinds):
        raise UserError("an arm twice", expected="each arm once", got=", ".join(texts), where="--arm")
    names = {arm.name for arm in arms}
    arms = [replace(arm, reference=_reference(arm, names)) for arm in arms]
    if not any(arm.reference for arm in arms):
        raise UserError(
            "nothing to compare",
            expected=f"--arm {REAL} and at least one more",
            got=", ".join(texts) or "no arm",
            where="--arm",
            mend=f"for example --arm {REAL} --arm {REAL}+jointflow",
        )
    return tuple(sorted(arms, key=lambda arm: (arm.maker is not None, arm.compute_of is not None)))


def makers(arms: Sequence[Arm]) -> tuple[Maker, ...]:
    """Every maker of the arms once, in their order."""
    each = (maker for arm in arms for maker in (arm.maker, arm.compute_of) if maker)
    return tuple(dict.fromkeys(each))


def _arm(text: str, preset: str) -> Arm:
    """One arm; not yet what it is compared with."""
    if not text.startswith(REAL) or not re.match(r"$|[+@]", text[len(REAL) :]):
        raise UserError("not an arm", expected=FORMS, got=repr(text), where="--arm")
    varied = re.match(rf"{REAL}\+{CLASSIC}(?=$|[+@])", text)
    base = varied.group() if varied else REAL
    sign, what = text[len(base) : len(base) + 1], text[len(base) + 1 :]
    if not sign:
        return Arm(text, text, base)
    if not what:
        raise UserError("not an arm", expected=FORMS, got=repr(text), where="--arm")
    maker = _maker(what, preset, text)
    if sign == "@":
        if maker.store:
            raise UserError(
                "no compute to compare with",
                expected=f"{base}@METHOD, a recipe that is fitted inside the study",
                got=repr(text),
                where="--arm",
                mend="how a store's generator was trained is not known here: name the method",
            )
        return Arm(text, text, base, compute_of=maker)
    return Arm(text, f"{base}+{maker.label}", base, maker)


def _maker(what: str, preset: str, text: str) -> Maker:
    method, _, own = what.partition(":")
    known = [entry.name for entry in catalog.CATALOG["method"]]
    if method in known:
        own = own or preset
        return Maker(f"{method}:{own}", method if own == preset else f"{method}:{own}", method, own)
    if what.startswith(PRETRAINED) or Path(what).exists():
        label = Path(what).name
        label = label if label not in ("", "..", REAL, CLASSIC) else what
        if Path(what).exists() and not (Path(what) / RECORD).exists():
            return Maker(what, label, store=Path(what))
        record = Run.open(what).record
        return Maker(what, label, record.method, record.preset, begin=what)
    owners = [entry.name for entry in catalog.CATALOG["method"] if what in entry.load().presets]
    if owners:
        raise UserError(
            "a preset, not a method",
            expected=FORMS,
            got=repr(text),
            where="--arm",
            mend=f"name its method too: {text.removesuffix(what)}{owners[0]}:{what}",
        )
    raise unknown_name("method or store", what, known, where=f"--arm {text}")


def _told_apart(arms: Sequence[Arm]) -> list[Arm]:
    """The arms, stores of one folder name called by their paths."""
    labels = [maker.label for maker in makers(arms)]
    return [
        replace(arm, label=arm.name, maker=replace(arm.maker, label=arm.maker.name))
        if arm.maker and labels.count(arm.maker.label) > 1
        else arm
        for arm in arms
    ]


def _variants(arm: Arm, ratios: Sequence[float]) -> list[Arm]:
    """The arm at each ratio; without synthetic tiles there is none."""
    if not arm.maker:
        return [arm]
    if len(ratios) < 2:
        given = ratios[0] if ratios else None if arm.maker.store else 1.0
        return [replace(arm, ratio=given)]
    return [
        replace(arm, name=f"{arm.name} x{ratio:g}", label=f"{arm.label} x{ratio:g}", ratio=ratio) for ratio in ratios
    ]


def _reference(arm: Arm, names: set[str]) -> str:
    """What it is compared with: the same without synthetic tiles or compute; for real+classic real, if it is there."""
    if arm.maker or arm.compute_of:
        if arm.base not in names:
            raise UserError(
                "nothing to compare with",
                expected=f"--arm {arm.base} beside {arm.name}",
                got="none",
                where="--arm",
                mend=f"add --arm {arm.base}, which is the same without it",
            )
        return arm.base
    return REAL if arm.classic and REAL in names else ""


def _check_ratios(ratios: Sequence[float]) -> None:
    for ratio in ratios:
        if not 0 < ratio < float("inf"):
            raise UserError("no synthetic tiles", expected="--ratio above 0", got=str(ratio))
    if len(set(ratios)) < len(ratios):
        raise UserError("a ratio twice", expected="each --ratio once", got=", ".join(map(str, ratios)))
