"""The command line: verbs of the catalog become commands, their signatures and docstrings become options and help.

Only the verb that is asked for is imported, so `nucleosynth --help` is quick and loads no torch. Exit codes: 0 done, 2
the user's input, 1 the machine, 130 stopped; any other exception is a bug and keeps its traceback.
"""

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

import tyro

from nucleosynth import catalog
from nucleosynth.errors import NucleosynthError, UserError, unknown_name

PROGRAM = "nucleosynth"
_HELP = ("-h", "--help")
_POSITIONAL = get_args(tyro.conf.Positional[str])[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default the process's own); the exit code."""
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except NucleosynthError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("stopped", 130)
    except MemoryError:
        return _fail("out of memory: ask for less at once (a smaller batch, size or number)", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a pipe such as `| head` has read enough
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _fail(f"no space left on the disk: {error.filename or error}", 1)


def _run(arguments: list[str]) -> int:
    """Run a verb; what it returns may decide on the exit code (a verdict on data, say)."""
    if not arguments or arguments[0] in _HELP:
        print(_overview())
    elif arguments[0] == "--version":
        from nucleosynth import __version__

        print(f"{PROGRAM} {__version__}")
    elif arguments[0].startswith("-"):
        raise unknown_name("option", arguments[0], ("--help", "--version"), where=PROGRAM)
    else:
        verb, rest = _verb(arguments)
        if not verb:
            print(_overview(arguments[0]))
            return 0
        function = catalog.find("verb", verb).load()
        parsed = _parse(verb, function, rest)
        if parsed is not None:
            positional, named = parsed
            return int(getattr(function(*positional, **named), "exit_code", 0))
    return 0


def _verb(arguments: list[str]) -> tuple[str, list[str]]:
    """The verb, of one word or of two, and its arguments; no verb where the help of a first word is asked for.

    Raises:
        UserError: a first word with a second one that does not go with it.
    """
    first, *rest = arguments
    pairs = [entry.name for entry in catalog.CATALOG["verb"] if entry.name.startswith(f"{first} ")]
    if not pairs:
        return first, rest
    if not rest or rest[0] in _HELP:
        return "", []
    verb = f"{first} {rest[0]}"
    if verb not in pairs:
        raise unknown_name("verb", verb, pairs, where=PROGRAM)
    return verb, rest[1:]


def _overview(first: str = "") -> str:
    """What verbs there are, all or those that begin with one word."""
    entries = [entry for entry in catalog.CATALOG["verb"] if not first or entry.name.startswith(f"{first} ")]
    width = max(len(entry.name) for entry in entries)
    lines = [f"  {entry.name:<{width}}  {entry.line}" for entry in entries]
    if first:
        lines = [f"usage: {PROGRAM} {first} VERB ...", "", *lines, ""]
        return "\n".join([*lines, f"`{PROGRAM} {first} VERB --help` says what a verb takes."])
    return "\n".join(
        [
            f"usage: {PROGRAM} VERB ...",
            "",
            "From a few labelled histology tiles to many: image, nuclei and classes, and the proof of their worth.",
            "",
            *lines,
            "",
            f"`{PROGRAM} VERB --help` says what a verb takes; `{PROGRAM} --version` which version this is.",
        ]
    )


def _parse(
    verb: str, function: Callable[..., Any], arguments: list[str]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The verb's arguments; None if its help was asked for, and printed."""
    known = _options(function)
    for argument in arguments:
        option = argument.partition("=")[0].replace("_", "-")
        if option.startswith("--") and option not in known:
            raise unknown_name("option", option, known, where=f"{PROGRAM} {verb}")

    @wraps(function)
    def take(*positional: Any, **named: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(map(_at_home, positional)), {name: _at_home(value) for name, value in named.items()}

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parsed: tuple[tuple[Any, ...], dict[str, Any]] = tyro.cli(
                take,
                args=arguments,
                prog=f"{PROGRAM} {verb}",
                # A flag is off unless it is given; an option that takes a list is given once for each entry.
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.UseAppendAction),
            )
    except SystemExit as end:
        if not end.code:
            return None
        raise UserError(
            "the command line cannot be read",
            expected=f"what `{PROGRAM} {verb} --help` shows",
            got=_plain(said.getvalue()),
            where=" ".join([PROGRAM, verb, *arguments]),
        ) from None
    return parsed


def _options(function: Callable[..., Any]) -> set[str]:
    """The options of a verb; its positional arguments have no name on the command line."""
    hints = get_type_hints(function, include_extras=True)
    named = [name for name in signature(function).parameters if _POSITIONAL not in get_args(hints[name])[1:]]
    return {"--help", *(f"--{name.rstrip('_').replace('_', '-')}" for name in named)}


def _at_home(value: Any) -> Any:
    """A path whose "~" is the user's home: the shell knows it in a word of its own alone."""
    return value.expanduser() if isinstance(value, Path) else value


def _plain(box: str) -> str:
    """The words of the parser's message, without its frame, colours and advice."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", box).partition("For full helptext")[0]
    lines = [re.sub(r"[─-╿]+", " ", line).strip() for line in text.splitlines()[1:]]
    return " ".join(" ".join(lines).split())


def _fail(message: str, code: int) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
