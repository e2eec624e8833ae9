"""What the formats share: images/<name>.png, and meta.json for all that the format itself has no place for.

    images/<name>.png            8-bit RGB
    labels/<name>.<suffix>       the label of a tile, as the format has it; or one file of all labels
    meta.json                    class names and, for each tile, mpp, tissue, source, split, licence, provenance ...

What other programs write is read too: labels in any of the format's own folders, or lying beside the images; without
meta.json (or a meta.toml) the class names are gathered from the labels, and nothing else is made up.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from nucleosynth.data.files import existing_folder, named_files, natural, same_names, some_of
from nucleosynth.data.findings import Finding, Note, each_tile, strictly, with_repairs
from nucleosynth.data.images import IMAGE_SUFFIXES, encode_image, read_image
from nucleosynth.data.meta import META, Meta, Tile, in_order, own_source, read_meta, said_of, tile_of
from nucleosynth.data.new_folder import new_folder
from nucleosynth.data.rows import other_classes
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.instances.canvas import Label
from nucleosynth.run import write_whole
from nucleosynth.sample import Image, Sample

WRITTEN_BY = "nucleosynth"
IMAGES = ("images", "Images", "image", "")
"""Where images are looked for; "" is the folder itself."""
NUCLEUS = ("nucleus",)
"""The class of every nucleus where none is named."""
MOST_CLASSES = 255


class ReadLabel(Protocol):
    """Read the label of a tile."""

    def __call__(self, path: Path, size: tuple[int, int], class_names: tuple[str, ...] | None) -> Label:
        """The label in a file, for an image of `size` (h w); raises UserError naming the file.

        Where `class_names` is None, no file of the folder names a class: every nucleus is then of class 1.
        """


@dataclass(frozen=True)
class LabelFiles:
    """How one format keeps a label in a file.

    words: the class names that occur in a file, for folders that state none; folders: where other programs put these
    files, after "labels"; pictures: folders of pictures that are no images of tiles; image: reads the image that such a
    file holds, for folders without images.
    """

    name: str
    suffixes: tuple[str, ...]
    read: ReadLabel
    words: Callable[[Path], Sequence[str]]
    folders: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    image: Callable[[Path], Image] | None = None


def read_tiles(where: str, files: LabelFiles, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a folder whose labels are such files, in natural order.

    Raises:
        UserError: no such folder, no tiles in it, an image without its label or the reverse; and, through `note`, a
            broken file or a label that contradicts itself or its image.
    """
    root = existing_folder(where, f"a folder with images/ and labels/*{files.suffixes[0]}")
    labels = first_files(root, ("labels", "Labels", *files.folders, *IMAGES), files.suffixes)
    if not labels:
        raise nothing_found(root, f"{files.name} labels", " or ".join(f"labels/*{suffix}" for suffix in files.suffixes))
    images = first_files(root, IMAGES, IMAGE_SUFFIXES, files.pictures)
    if not images and files.image:
        load, images, whole = files.image, labels, list(labels)
    else:
        load = read_image
        whole = same_names("image", images, "label", labels, note)
    meta = read_meta(root, [*images, *labels])
    names = meta.class_names if meta.class_names is not None else _gathered(files, labels.values(), root)

    def sample(name: str) -> Sample:
        image = load(images[name])
        label = files.read(labels[name], (image.shape[0], image.shape[1]), names)
        return sample_of(name, image, label, names, meta, files.name, note)

    yield from each_tile(sample, in_order(whole, meta), note)


def sample_of(
    name: str, image: Image, label: Label, class_names: tuple[str, ...] | None, meta: Meta, dataset: str, note: Note
) -> Sample:
    """The Sample of a tile: what its label and meta.json say; where no source is named, it is its own.

    What reading the label had to mend is told, and added to what meta.json says was mended before.
    """
    names = NUCLEUS if class_names is None else class_names
    said = said_of(meta, name, (image.shape[0], image.shape[1]), names, own_source(dataset, name, image))
    if label.repairs:
        said["quality"] = with_repairs(said.get("quality", {}), label.repairs)
    for words, count in label.repairs.items():
        note(Finding("repaired", name, words, count=count))
    return Sample(name, image, label.instances, label.classes, names, **said)


def write_tiles(
    samples: Iterable[Sample],
    folder: Path | str,
    overwrite: bool,
    suffix: str,
    write: Callable[[Sample], bytes],
    more: Callable[[Path, Sample], None] = lambda _folder, _sample: None,
    by_name: bool = False,
) -> int:
    """Write samples as such a folder; the number of samples. See `write_folder` for what is raised.

    A sample_id may contain "/": its tile then lies in a folder below images/ and labels/. write: the content of a
    label's file; more: writes further files of a sample below the folder.
    """
    return write_folder(samples, folder, overwrite, partial(_put_tiles, suffix=suffix, write=write, more=more), by_name)


def write_folder(
    samples: Iterable[Sample],
    folder: Path | str,
    overwrite: bool,
    write: Callable[[Path, Iterator[Sample]], None],
    by_name: bool = False,
) -> int:
    """Write samples as a folder that appears when the last one is in it; the number of samples.

    write: takes the folder to fill and the samples, which are checked one by one as they are asked for. by_name: the
    format tells classes by their names, so each needs one of its own.

    Raises:
        UserError: the folder holds something that this function did not write, or `overwrite` is off; a sample_id that
            is no file name, or twice the same; samples of different classes, or none; what `write` raises.
    """
    tiles: dict[str, Tile] = {}
    names: list[tuple[str, ...]] = []

    def checked() -> Iterator[Sample]:
        for sample in samples:
            if not names:
                names.append(sample.class_names)
                check_class_names(sample.class_names, by_name)
            for found in (sample.class_names, sample.points.class_names if sample.points else names[0]):
                if found != names[0]:
                    raise other_classes(names[0], found, sample.sample_id)
            check_name(sample.sample_id, tiles)
            tiles[sample.sample_id] = tile_of(sample)
            yield sample

    with new_folder(Path(folder), ours, overwrite) as temporary:
        write(temporary, checked())
        if not tiles:
            raise UserError(
                "nothing to write",
                expected="at least one sample",
                got="none",
                where=str(folder),
                mend="check what the samples are read from",
            )
        write_meta(temporary, names[0], tiles)
    return len(tiles)


def put_image(folder: Path, sample: Sample) -> None:
    """Write the image of a sample below a folder."""
    put(folder / "images" / f"{sample.sample_id}.png", encode_image(sample.image))


def write_meta(folder: Path, class_names: tuple[str, ...], tiles: Mapping[str, Tile]) -> None:
    """Write meta.json, last: it marks the folder, and what is in it now, as written by this program."""
    holds = tuple(sorted(path.name for path in folder.iterdir()))
    meta = Meta(class_names=class_names, tiles=dict(tiles), written_by=WRITTEN_BY, holds=holds)
    # Python's own writer keeps NaN in a quality; pydantic's would turn it into null.
    write_whole(folder / META, json.dumps(meta.model_dump(exclude_none=True), indent=1))


def put(path: Path, data: bytes) -> None:
    """Write a file into a folder that is made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def check_name(name: str, taken: Iterable[str]) -> None:
    """Check that a sample_id can be a file's name.

    Raises:
        UserError: it leads out of the folder, holds a control character, or is taken.
    """
    path = PurePosixPath(name)
    odd = any(part in ("", ".", "..") or part.startswith(".") for part in name.split("/"))
    absolute = path.is_absolute() or PureWindowsPath(name).is_absolute()
    if odd or absolute or "\\" in name or any(ord(letter) < 32 for letter in name):
        raise UserError(
            "a sample_id that is no file name",
            expected="such as slide_1/tile_7",
            got=repr(name),
            mend="rename that sample",
        )
    if name in taken:
        raise UserError(
            "two samples of one name", expected="every sample_id once", got=repr(name), mend="rename one of the samples"
        )


def check_class_names(class_names: tuple[str, ...], by_name: bool) -> None:
    """Check that classes can be told by their names, where a format does so.

    Raises:
        UserError: a class without a name, or two of one name.
    """
    if by_name and ("" in class_names or len(set(class_names)) < len(class_names)):
        raise UserError(
            "classes that their names do not tell apart",
            expected="a name of its own for each class",
            got=", ".join(map(repr, class_names)),
            mend="rename them with --classes, or take a format that numbers classes, such as folder",
        )


def class_of(word: str, class_names: tuple[str, ...] | None, where: str) -> int:
    """The class that a label names: 0 for "", an unknown type; 1 where no class is named at all (None).

    Raises:
        UserError: a name that is not in the list; `where` names the file.
    """
    if class_names is None:
        return 1
    if not word:
        return 0
    if word not in class_names:
        raise unknown_name("class", word, class_names, where)
    return class_names.index(word) + 1


def named_classes(words: Iterable[str], where: str) -> tuple[str, ...] | None:
    """Class names in their order, each once; None where there is none.

    Raises:
        UserError: more than 255 of them.
    """
    names = tuple(dict.fromkeys(words))
    if len(names) > MOST_CLASSES:
        raise UserError(
            "too many classes",
            expected=f"at most {MOST_CLASSES}",
            got=f"{len(names)}: {', '.join(names[:3])} ...",
            where=where,
            mend="check that the classes are types of nuclei, not names of single ones",
        )
    return names or None


def ours(folder: Path) -> bool:
    """Whether a folder was written by this program, and holds nothing else: what --overwrite may replace."""
    try:
        meta = read_meta(folder)
    except UserError:
        return False
    return meta.written_by == WRITTEN_BY and {path.name for path in folder.iterdir()} <= {META, *meta.holds}


def first_files(
    root: Path, folders: Iterable[str], suffixes: Iterable[str], apart: tuple[str, ...] = ()
) -> dict[str, Path]:
    """The files, by name, in the first of the folders that holds any; meta.json and what is in `apart` are left out."""
    for folder in folders:
        named = named_files(root / folder, suffixes, root)
        found = {
            name: path for name, path in named.items() if path.name != META and not {*name.split("/")[:-1]} & {*apart}
        }
        if found:
            return found
    return {}


def nothing_found(root: Path, what: str, expected: str) -> UserError:
    """The error for a folder that holds nothing of a format."""
    return UserError(
        f"no {what} in the folder",
        expected=expected,
        got=some_of(root),
        where=str(root),
        mend="give the folder that holds images/ and the labels",
    )


def _put_tiles(
    folder: Path,
    samples: Iterator[Sample],
    suffix: str,
    write: Callable[[Sample], bytes],
    more: Callable[[Path, Sample], None],
) -> None:
    for sample in samples:
        put_image(folder, sample)
        put(folder / "labels" / f"{sample.sample_id}{suffix}", write(sample))
        more(folder, sample)


def _gathered(files: LabelFiles, paths: Iterable[Path], root: Path) -> tuple[str, ...] | None:
    """The class names of all files, in natural order; None where none names any."""
    words: set[str] = set()
    for path in paths:
        with suppress(UserError):  # told when the tile itself is read
            words |= set(files.words(path))
    return named_classes(sorted(words, key=natural), str(root))
