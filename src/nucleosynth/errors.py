"""What the program says when it cannot go on, and the exit code that goes with it.

Three kinds, so that a script can tell them apart: the user's input is wrong (2), the machine failed (1), the user
stopped the work (130). Each message names what was expected, what was got, where, and how to mend it.
"""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 10
"""Names of a list that a message shows."""


class NucleosynthError(Exception):
    """Base of every error that the command line turns into a message instead of a traceback."""

    exit_code = 1


class UserError(NucleosynthError):
    """The input is wrong: one clear message, exit code 2, raised before any work starts."""

    exit_code = 2

    def __init__(self, what: str, *, expected: str, got: str, where: str = "", mend: str = "") -> None:
        self.what, self.expected, self.got, self.where, self.mend = what, expected, got, where, mend
        rows = {"expected": expected, "got": got, "where": where, "mend": mend}
        super().__init__("\n".join([what, *(f"  {name + ':':<10}{text}" for name, text in rows.items() if text)]))


class MachineError(NucleosynthError):
    """The environment failed (disk full, out of memory): what is whole stays; the message says how to go on."""

    exit_code = 1


class Interrupted(NucleosynthError):
    """The user stopped the work; everything finished is saved and the message says how to go on."""

    exit_code = 130


def unknown_name(kind: str, name: str, known: Iterable[str], where: str = "") -> UserError:
    """The error for a name that is not in a list, with the nearest name that is, or some of them; `name` may be empty.

    Example:
        >>> print(unknown_name("method", "jointflo", ["jointflow"]).mend)
        did you mean 'jointflow'?
    """
    known = sorted(known)
    by_lower = {each.lower(): each for each in known}
    near = [by_lower[each] for each in get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)]
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return UserError(
        f"unknown {kind} {name!r}" if name else f"no {kind}",
        expected=f"one of {', '.join((near + [each for each in known if each not in near])[:SHOWN])}{more}",
        got=repr(name) if name else "none was given",
        where=where,
        mend=f"did you mean {near[0]!r}?" if near else "take one of these",
    )
