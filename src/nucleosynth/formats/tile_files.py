"""What the formats share that keep one file for each tile: images beside labels, and meta.json for all the rest.

    images/<name>.png            8-bit RGB
    labels/<name>.<suffix>       the label, as the format has it
    meta.json                    class names and, for each tile, mpp, tissue, source, split, licence, provenance ...

What other programs write is read too: labels in any of the format's own folders, or lying beside the images; without
meta.json (or a meta.toml) the class names are gathered from the labels, and nothing else is made up.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from nucleosynth.data.findings import REPAIRS, Note, each_tile, strictly
from nucleosynth.data.folder import same_names
from nucleosynth.data.images import IMAGE_SUFFIXES, encode_image, named_files, natural, read_image
from nucleosynth.data.meta import META, Meta, Tile, read_meta, said_of, tile_of
from nucleosynth.data.new_folder import new_folder
from nucleosynth.data.reader import existing_folder
from nucleosynth.data.rows import other_classes
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import Label
from nucleosynth.run import write_whole
from nucleosynth.sample import Sample

WRITTEN_BY = "nucleosynth"
IMAGES = ("images", "Images", "image", "")
"""Where images are looked for; "" is the folder itself."""


class ReadLabel(Protocol):
    """Read the label of a tile."""

    def __call__(self, path: Path, size: tuple[int, int], class_names: tuple[str, ...]) -> Label:
        """The label in a file, for an image of `size` (h w); raises UserError naming the file."""


@dataclass(frozen=True)
class LabelFiles:
    """How one format keeps a label in a file.

    folders: where other programs put these files, after "labels"; words: the class names that occur in a file, for
    folders that state none; write: the file's content.
    """

    name: str
    suffixes: tuple[str, ...]
    read: ReadLabel
    write: Callable[[Sample], bytes]
    words: Callable[[Path], Sequence[str]]
    folders: tuple[str, ...] = field(default=())


def read_tiles(where: str, files: LabelFiles, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a folder whose labels are such files, in natural order.

    Raises:
        UserError: no such folder, no tiles in it, an image without its label or the reverse; and, through `note`, a
            broken file or a label that contradicts itself or its image.
    """
    root = existing_folder(where, f"a folder with images/ and labels/*{files.suffixes[0]}")
    labels = _first(root, ("labels", "Labels", *files.folders, ""), files.suffixes)
    images = _first(root, IMAGES, IMAGE_SUFFIXES)
    if not labels:
        raise UserError(
            f"no {files.name} labels in the folder",
            expected=" or ".join(f"labels/*{suffix}" for suffix in files.suffixes),
            got=", ".join(sorted(path.name for path in root.iterdir())) or "an empty folder",
            where=str(root),
            mend="give the folder that holds images/ and labels/",
        )
    same_names("image", images, "label", labels)
    meta = read_meta(root, images)
    names = meta.class_names or _gathered(files, labels.values())
    yield from each_tile(partial(_sample, root, files, images, labels, names, meta), images, note)


def write_tiles(
    samples: Iterable[Sample],
    folder: Path | str,
    overwrite: bool,
    suffix: str,
    write: Callable[[Sample], bytes],
    more: Callable[[Path, Sample], None] = lambda _folder, _sample: None,
) -> int:
    """Write samples as such a folder, which appears when the last one is in it; the number of samples.

    A sample_id may contain "/": its tile then lies in a folder below images/ and labels/. more: writes further files of
    a sample below the folder.

    Raises:
        UserError: the folder holds something that this function did not write, or `overwrite` is off; a sample_id that
            is no file name, or twice the same; samples of different classes, or none; what `write` raises.
    """
    tiles: dict[str, Tile] = {}
    names: tuple[str, ...] = ()
    with new_folder(Path(folder), ours, overwrite) as temporary:
        for sample in samples:
            names = names or sample.class_names
            if sample.class_names != names:
                raise other_classes(names, sample.class_names, sample.sample_id)
            check_name(sample.sample_id, tiles)
            put(temporary / "images" / f"{sample.sample_id}.png", encode_image(sample.image))
            put(temporary / "labels" / f"{sample.sample_id}{suffix}", write(sample))
            more(temporary, sample)
            tiles[sample.sample_id] = tile_of(sample)
        if not tiles:
            raise UserError("nothing to write", expected="at least one sample", got="none", where=str(folder))
        write_meta(temporary, names, tiles)
    return len(tiles)


def write_meta(folder: Path, class_names: tuple[str, ...], tiles: Mapping[str, Tile]) -> None:
    """Write meta.json, last: it marks the folder, and what is in it now, as written by this program."""
    holds = tuple(sorted(path.name for path in folder.iterdir()))
    meta = Meta(class_names=class_names, tiles=dict(tiles), written_by=WRITTEN_BY, holds=holds)
    write_whole(folder / META, meta.model_dump_json(indent=1, exclude_none=True))


def put(path: Path, data: bytes) -> None:
    """Write a file into a folder that is made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def check_name(name: str, taken: Iterable[str]) -> None:
    """Check that a sample_id can be a file's name.

    Raises:
        UserError: it leads out of the folder, or is taken.
    """
    path = PurePosixPath(name)
    parts = name.split("/")
    if path.is_absolute() or "\\" in name or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise UserError("a sample_id that is no file name", expected="such as slide_1/tile_7", got=repr(name))
    if name in taken:
        raise UserError("two samples of one name", expected="every sample_id once", got=repr(name))


def ours(folder: Path) -> bool:
    """Whether a folder was written by this program, and holds nothing else: what --overwrite may replace."""
    try:
        meta = read_meta(folder)
    except UserError:
        return False
    return meta.written_by == WRITTEN_BY and {path.name for path in folder.iterdir()} <= {META, *meta.holds}


def with_repairs(sample: Sample, label: Label) -> Sample:
    """The sample, its quality telling what reading its label had to mend."""
    return replace(sample, quality={**sample.quality, REPAIRS: label.repairs}) if label.repairs else sample


def _sample(
    root: Path,
    files: LabelFiles,
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    names: tuple[str, ...],
    meta: Meta,
    name: str,
) -> Sample:
    image = read_image(images[name])
    size = image.shape[0], image.shape[1]
    label = files.read(labels[name], size, names)
    said = said_of(meta, name, size, names, f"{files.name}/{root.resolve().name}/{name}")
    return with_repairs(Sample(name, image, label.instances, label.classes, names, **said), label)


def _first(root: Path, folders: Iterable[str], suffixes: Iterable[str]) -> dict[str, Path]:
    """The files in the first of the folders that holds any."""
    for folder in folders:
        found = named_files(root / folder, suffixes)
        if found:
            return {name: path for name, path in found.items() if path.name != META}
    return {}


def _gathered(files: LabelFiles, paths: Iterable[Path]) -> tuple[str, ...]:
    """The class names of all files, in natural order; ("nucleus",) where none names any."""
    words = {word for path in paths for word in files.words(path)}
    return tuple(sorted(words, key=natural)) or ("nucleus",)
