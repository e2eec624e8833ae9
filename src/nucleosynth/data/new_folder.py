"""Folders that appear whole or not at all, and the messages of work that was cut short.

A new folder is filled in a temporary one beside its place, whose name begins with "_" and is nobody else's, and then
renamed. What it replaces is put aside before that and removed last, so that one of the two is always there.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nucleosynth.errors import Interrupted, MachineError, UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def check_free(folder: Path, ours: Callable[[Path], bool], overwrite: bool) -> None:
    """Refuse to write where something is that must not be lost.

    Raises:
        UserError: a file, or a folder that holds anything: unless `ours` says that this program wrote all of it and
            `overwrite` is on.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    mine = folder.is_dir() and ours(folder)
    if mine and overwrite:
        return
    raise UserError(
        "the output is there already" if mine else "the output folder holds other things",
        expected="a new or empty folder" + (", or --overwrite" if mine else ""),
        got="a file" if folder.is_file() else ", ".join(sorted(path.name for path in folder.iterdir())[:4]),
        where=str(folder),
        mend="give another folder" + (", or --overwrite to replace this one" if mine else ""),
    )


@contextmanager
def new_folder(folder: Path, ours: Callable[[Path], bool], overwrite: bool) -> Iterator[Path]:
    """A temporary folder to fill, which takes the place of `folder` at the end; removed if anything goes wrong.

    Raises:
        UserError: as in `check_free`, or `folder` is the current folder or holds it.
        MachineError: the disk or the memory is full. Interrupted: the user stopped it. `folder` is as it was.
    """
    check_free(folder, ours, overwrite)
    _check_not_current(folder)
    place = folder.resolve()
    with cut_short(f"{folder} is as it was; run the same command again"):
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f"_{place.name}.", dir=place.parent))
        new, old = beside / "new", beside / "old"
        try:
            new.mkdir()
            yield new
            _replace(place, new, old)
        finally:
            if place.exists() or not old.exists():
                shutil.rmtree(beside, ignore_errors=True)


def _replace(place: Path, new: Path, old: Path) -> None:
    """Put `new` into its place; what was there becomes `old`, and comes back if this fails."""
    try:
        if place.exists():
            os.replace(place, old)
        os.replace(new, place)
    except BaseException:
        if old.exists() and not place.exists():
            os.replace(old, place)
        raise


def _check_not_current(folder: Path) -> None:
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UserError(
            "the current folder cannot be replaced",
            expected="a folder of its own",
            got="the folder that the command runs in, or one around it",
            where=str(folder),
            mend="give the name of a new folder",
        )


@contextmanager
def cut_short(state: str | Callable[[], str]) -> Iterator[None]:
    """Turn a full disk, a full memory and a stop by the user into errors that say what is whole and how to go on.

    Around other uses of it, the outer one has the word: it is the outer command that the user gives again.
    """
    try:
        yield
    except MachineError as error:
        raise MachineError(f"{str(error).splitlines()[0]}\n  {_text(state)}") from error
    except (KeyboardInterrupt, Interrupted) as error:
        raise Interrupted(f"stopped\n  {_text(state)}") from error
    except MemoryError as error:
        raise MachineError(f"out of memory\n  {_text(state)}") from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise MachineError(f"no space left on the disk: {error.filename or error}\n  {_text(state)}") from error


def _text(state: str | Callable[[], str]) -> str:
    return state if isinstance(state, str) else state()
