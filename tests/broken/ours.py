"""Broken plain folders, stores and CoNSeP folders."""

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import tifffile

from broken.cases import (
    Break,
    Case,
    array,
    bomb_mat,
    bomb_png,
    canary,
    claiming_npy,
    first,
    link_inside,
    link_out,
    mat,
    pickled_npy,
    picture,
    prefixed,
    text,
    windows_lines,
)
from drawn import drawn_sample
from nucleosynth.data import store


def _csv(root: Path, rows: str) -> None:
    for path in (root / "classes").glob("*.npy"):
        path.unlink()
    (root / "classes.csv").write_bytes(rows.encode())


def _rows(ending: str = "\n") -> str:
    samples = [drawn_sample(k) for k in range(4)]
    lines = [f"tile_{k},{i},{c or 'unknown'}" for k, s in enumerate(samples) for i, c in enumerate(s.classes, 1)]
    return ending.join(["name,id,class", *lines]) + ending


def _windows_paths(root: Path) -> None:
    for kind in ("images", "labels"):
        (root / kind / "a").mkdir()
        for path in (root / kind).glob("*.png"):
            path.rename(root / kind / "a" / path.name)
    (root / "meta.json").unlink()
    _csv(root, _rows().replace("tile_", "a\\tile_"))


def _many_nuclei(root: Path) -> None:
    side = 257
    instances = np.arange(1, side * side + 1, dtype=np.int32).reshape(side, side)
    tifffile.imwrite(root / "labels" / "tile_0.tif", instances.astype(np.uint32))
    (root / "labels" / "tile_0.png").unlink()
    np.save(root / "classes" / "tile_0.npy", np.ones(side * side, np.uint8))
    cv2.imwrite(str(root / "images" / "tile_0.png"), np.full((side, side, 3), 200, np.uint8))


def _empty(root: Path) -> None:
    picture(root, "labels/*.png", np.zeros_like)
    np.save(root / "classes" / "tile_0.npy", np.zeros(0, np.uint8))


def _meta(old: str, new: str) -> Break:
    return lambda root: text(root, "meta.json", old, new)


def _deep_toml(root: Path) -> None:
    (root / "meta.json").unlink()
    (root / "meta.toml").write_text("mpp = " + "[" * 50000 + "]" * 50000)


def _row_of_nucleus_2(row: str) -> Break:
    """classes.csv with another row for the second nucleus of the first tile."""
    return lambda root: _csv(root, re.sub("tile_0,2,.*", row, _rows()))


def _largest_class(root: Path) -> None:
    (root / "meta.json").unlink()
    array(root, "classes/*.npy", lambda classes: np.full(len(classes), 2**31 - 1, np.int64))


def _nested_outside(root: Path) -> None:
    for kind in ("images", "labels"):
        (root / kind / "slide").mkdir()
        for path in (root / kind).glob("tile_0.png"):
            path.rename(root / kind / "slide" / path.name)
    link_out("images/slide")(root)


def _nested_inside(root: Path) -> None:
    """A folder of tiles a slide, of which one is a link to where the user keeps it."""
    (root / "meta.json").unlink()
    for kind in ("images", "labels", "classes"):
        (root / "pool" / kind).mkdir(parents=True)
        for path in list((root / kind).glob("tile_0.*")):
            path.rename(root / "pool" / kind / path.name)
        (root / kind / "slide").symlink_to(root / "pool" / kind)


def _long_toml(root: Path) -> None:
    (root / "meta.json").unlink()
    (root / "meta.toml").write_text(f"mpp = {'1' * 5000}")


def _long_names(root: Path) -> None:
    (root / "meta.json").unlink()
    for path in [*root.rglob("tile_*.png"), *root.rglob("tile_*.npy")]:
        path.rename(path.with_stem("tile_" + "1" * 199 + path.stem[-1]))


def _zip_for_png(root: Path) -> None:
    with zipfile.ZipFile(root / "archive", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tile.png", bytes(1 << 20))
    (root / "archive").rename(root / "images" / "tile_0.png")


def _row(root: Path, change: object) -> None:
    """Rewrite the store with its first sample's row changed."""
    import pyarrow.parquet as pq

    path = first(root, "*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows[0])  # type: ignore[operator]
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)


def _other_classes(root: Path) -> None:
    store.write([replace(drawn_sample(), class_names=("a", "b", "c"))], root / "other")
    first(root / "other", "*.parquet").rename(root / "part-00000009.parquet")
    manifest = json.loads((root / "_store.json").read_text())
    (root / "_store.json").write_text(json.dumps({**manifest, "count": manifest["count"] + 1}))
    for path in (root / "other").iterdir():
        path.unlink()
    (root / "other").rmdir()


def _huge_ids(root: Path) -> None:
    path = first(root, "labels/*.png")
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.uint32)
    tifffile.imwrite(path.with_suffix(".tif"), np.where(label > 0, label + (1 << 31) - 100, 0).astype(np.uint32))
    path.unlink()


CASES = [
    Case(
        "folder", "image of one channel", "not an RGB image", lambda r: picture(r, "images/*.png", lambda a: a[..., 0])
    ),
    Case(
        "folder",
        "image of 16 bits",
        "not an RGB image",
        lambda r: picture(r, "images/*.png", lambda a: a * np.uint16(9)),
    ),
    Case("folder", "image with alpha", "", lambda r: picture(r, "images/*.png", lambda a: np.dstack([a, a[..., :1]]))),
    Case(
        "folder",
        "label in colour",
        "not an instance map",
        lambda r: picture(r, "labels/*.png", lambda a: np.dstack([a] * 3)),
    ),
    Case(
        "folder",
        "label of another size",
        "differ in size|differ",
        lambda r: picture(r, "labels/*.png", lambda a: a[:-1]),
    ),
    Case(
        "folder",
        "label without nuclei but classes",
        "classes do not fit",
        lambda r: picture(r, "labels/*.png", np.zeros_like),
    ),
    Case("folder", "tile without nuclei", "", _empty),
    Case("folder", "ids over 65535", "", _many_nuclei),
    Case(
        "folder",
        "classes as fractions",
        "not instance ids|whole",
        lambda r: array(r, "classes/*.npy", lambda a: a + 0.5),
    ),
    Case(
        "folder",
        "class beyond the names",
        "class out of range",
        lambda r: array(r, "classes/*.npy", lambda a: a + np.uint8(9)),
    ),
    Case(
        "folder",
        "negative classes",
        "not instance ids|0 background",
        lambda r: array(r, "classes/*.npy", lambda a: -a.astype(int) - 1),
    ),
    Case(
        "folder", "classes that need pickle", "broken file", lambda r: pickled_npy(first(r, "classes/*.npy"), canary(r))
    ),
    Case(
        "folder",
        "classes that claim a terabyte",
        "broken file",
        lambda r: claiming_npy(first(r, "classes/*.npy"), (1 << 38,)),
    ),
    Case("folder", "image that claims 3.6 gigapixels", "too large", lambda r: bomb_png(first(r, "images/*.png"))),
    Case("folder", "label that claims 3.6 gigapixels", "too large", lambda r: bomb_png(first(r, "labels/*.png"))),
    Case("folder", "archive under the name of an image", "broken file", _zip_for_png),
    Case(
        "folder",
        "two images of one name",
        "two files of one name",
        lambda r: tifffile.imwrite(r / "images" / "tile_0.tif", np.zeros((4, 4, 3), np.uint8)),
    ),
    Case("folder", "meta.json with a BOM", "", lambda r: prefixed(r, "meta.json", b"\xef\xbb\xbf")),
    Case("folder", "meta.json with CRLF", "", lambda r: windows_lines(r, "meta.json")),
    Case("folder", "meta.json that is a list", "not a table", lambda r: (r / "meta.json").write_text("[1]")),
    Case(
        "folder",
        "meta.json with a key too many",
        "not permitted",
        lambda r: text(r, "meta.json", '"tissue"', '"tisue"'),
    ),
    *(
        Case(
            "folder",
            f"meta.json with mpp {mpp}",
            "a bad value for 'tiles.tile_0.mpp'",
            _meta('"mpp": 0.25', f'"mpp": {mpp}'),
        )
        for mpp in ("0.0", "-1", "Infinity", "NaN")
    ),
    Case(
        "folder",
        "meta.json with a point of class 257",
        "a bad value for 'tiles.tile_0.points.0.2'",
        _meta('"mpp": 0.25', '"mpp": 0.25, "points": [[1.0, 2.0, 257]]'),
    ),
    Case(
        "folder",
        "meta.json nested 50000 deep",
        "not a JSON file",
        lambda r: (r / "meta.json").write_text('{"tiles":' * 50000 + "{}" + "}" * 50000),
    ),
    Case("folder", "meta.toml nested 50000 deep", "not a TOML file", _deep_toml),
    Case("folder", "images outside", "a link out of the folder", link_out("images")),
    Case("folder", "labels outside", "a link out of the folder", link_out("labels")),
    Case("folder", "classes outside", "a link out of the folder", link_out("classes")),
    Case("folder", "a folder of images outside", "a link out of the folder", _nested_outside),
    Case("folder", "images at another place of the folder", "", link_inside("images")),
    Case("folder", "a folder of tiles at another place of the folder", "", _nested_inside),
    Case("folder", "meta.toml with a number of 5000 digits", "not a TOML file|a bad value", _long_toml),
    Case("folder", "name of 5000 digits", "unknown tile", lambda r: _csv(r, _rows() + f"{'1' * 5000},1,1\n")),
    Case("folder", "names of 200 digits", "", _long_names),
    Case("folder", "classes.csv with a superscript as id", "a bad row", _row_of_nucleus_2("tile_0,²,1")),
    Case("folder", "classes.csv with a superscript as class", "unknown class '²'", _row_of_nucleus_2("tile_0,2,²")),
    Case("folder", "classes.csv with an id of 5000 digits", "a bad row", _row_of_nucleus_2(f"tile_0,{'2' * 5000},1")),
    Case(
        "folder",
        "classes.csv with a class of 5000 digits",
        "unknown class '111",
        _row_of_nucleus_2(f"tile_0,2,{'1' * 5000}"),
    ),
    Case(
        "folder",
        "classes.csv with class 2147483647",
        "a class out of range",
        _row_of_nucleus_2("tile_0,2,2147483647"),
    ),
    Case("folder", "class 2147483647 without names", "a class out of range", _largest_class),
    Case(
        "folder",
        "meta.json with mpp as a word",
        "bad value",
        lambda r: text(r, "meta.json", '"mpp": 0.25', '"mpp": "fine"'),
    ),
    Case("folder", "classes.csv", "", lambda r: _csv(r, _rows())),
    Case("folder", "classes.csv with BOM and CRLF", "", lambda r: _csv(r, "\ufeff" + _rows("\r\n"))),
    Case("folder", "classes.csv with an id twice", "a bad row", lambda r: _csv(r, _rows() + "tile_0,1,1\n")),
    Case(
        "folder",
        "classes.csv without a nucleus",
        "classes do not fit",
        lambda r: _csv(r, _rows().replace("tile_0,2,", "tile_1,999,", 1)),
    ),
    Case("folder", "classes.csv of another tile", "unknown tile", lambda r: _csv(r, _rows() + "tile_9,1,1\n")),
    Case("folder", "classes.csv with Windows paths", "", _windows_paths),
    Case("folder", "ids near two billion", "", _huge_ids),
    Case("consep", "map of fractions", "not instance ids", mat(inst_map=np.full((40, 48), 0.5))),
    Case("consep", "training tiles outside", "a link out of the folder", link_out("Train")),
    Case("consep", "test images outside", "a link out of the folder", link_out("Test/Images")),
    Case("consep", "training tiles at another place of the folder", "", link_inside("Train")),
    Case("consep", "map of NaN", "not instance ids", mat(inst_map=np.full((40, 48), np.nan))),
    Case("consep", "map of complex numbers", "broken file", mat(inst_map=np.full((40, 48), 1j))),
    Case("consep", "map in a cell array", "broken file", mat(inst_map=np.array([[1, "a"]], object))),
    Case(
        "consep",
        "map of three dimensions",
        "differ in size|not an instance map",
        mat(inst_map=np.ones((40, 48, 2)), inst_type=np.ones((1, 1))),
    ),
    Case("consep", "classes beyond seven", "classes do not fit", mat(inst_type=np.full((20, 1), 8.0))),
    Case("consep", "too few classes", "classes do not fit", mat(inst_type=np.ones((1, 1)))),
    Case("consep", "map that claims 3 GB", "at most 1 GiB", lambda r: bomb_mat(first(r, "*.mat"))),
    Case(
        "consep",
        "MATLAB 7.3",
        "version 7.3",
        lambda r: first(r, "*.mat").write_bytes(
            b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM" + bytes(99)
        ),
    ),
    Case(
        "store", "image that is no PNG", "broken file", lambda r: _row(r, lambda row: row["image"].update(bytes=b"no"))
    ),
    Case(
        "store",
        "no image at all",
        "broken file|no image",
        lambda r: _row(r, lambda row: row["image"].update(bytes=None)),
    ),
    Case("store", "classes too few", "classes do not fit", lambda r: _row(r, lambda row: row["classes"].pop())),
    Case(
        "store", "provenance that is no JSON", "broken|JSON", lambda r: _row(r, lambda row: row.update(provenance="{"))
    ),
    Case(
        "store",
        "a point at no place",
        "point",
        lambda r: _row(r, lambda row: row.update(points=[{"x": float("nan"), "y": 1.0, "class": 1}])),
    ),
    Case("store", "shards of different classes", "shards of different stores", _other_classes),
]
