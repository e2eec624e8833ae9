"""Folders that appear whole or not at all, and the messages of work that was cut short.

A new folder is filled under a temporary name beside its place and then renamed; what it replaces is removed last.
"""

import errno
import os
import shutil
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
        UserError: as in `check_free`.
        MachineError: the disk or the memory is full. Interrupted: the user stopped it. `folder` is as it was.
    """
    check_free(folder, ours, overwrite)
    temporary, old = (folder.with_name(f"_{folder.name}.{word}") for word in ("tmp", "old"))
    with cut_short(f"{folder} is as it was; run the same command again"):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            if folder.exists():
                os.replace(folder, old)
            os.replace(temporary, folder)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


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
