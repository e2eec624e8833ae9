"""The pictures of a page, written into it: each PNG as text, so that the page needs no file beside it."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

from nucleosynth.report.results import Gallery, Picture, Results

LARGEST = 60_000_000
"""Bytes of pictures in a page; what is beyond, in further folds, is named and lies beside it."""


class Embedded:
    """Which pictures of a folder a page shows: those of the first fold before those of others, up to `LARGEST` bytes.

    shown: file -> bytes; missing: files that the folder lacks; beyond: those that the page has no room for.
    """

    def __init__(self, results: Results, folder: Path, largest: int = LARGEST) -> None:
        self.folder, self.shown = folder, dict[str, int]()
        self.missing, self.beyond = list[str](), list[str]()
        for name in dict.fromkeys(picture.file for picture in all_pictures(results)):
            path = folder / name
            if not path.is_file():
                self.missing.append(name)
            elif sum(self.shown.values()) + path.stat().st_size > largest:
                self.beyond.append(name)
            else:
                self.shown[name] = path.stat().st_size

    @property
    def size(self) -> int:
        """Bytes of all that are shown."""
        return sum(self.shown.values())

    def __call__(self, picture: Picture) -> str:
        """What an `img` shows; "" for a picture that is missing or beyond."""
        if picture.file not in self.shown:
            return ""
        return "data:image/png;base64," + b64encode((self.folder / picture.file).read_bytes()).decode()


def all_pictures(results: Results) -> Iterator[Picture]:
    """Every picture of a study, those of the first fold first."""
    yield from _of(results.galleries)
    for fold in results.folds:
        for part in (part for part in results.parts if part.fold == fold):
            yield from (*part.truths, *part.pairs)
        for judged in (judged for judged in results.judgements if judged.fold == fold):
            yield from judged.pictures
        for maker in (maker for maker in results.makers if maker.fold == fold):
            yield from maker.pairs
            yield from _of(maker.galleries)


def _of(galleries: tuple[Gallery, ...]) -> Iterator[Picture]:
    return (picture for gallery in galleries for row in gallery.rows for picture in row.pictures)
