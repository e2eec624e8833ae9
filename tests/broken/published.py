"""Broken copies of the published data sets."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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
from releases import monuseg, puma

LAUGHS = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10 if k else "ha" * 50}">' for k in range(12))


def _region(vertices: str) -> Break:
    def change(root: Path) -> None:
        first(root, "*.xml").write_text(monuseg.xml_of([vertices]))

    return change


def _vertices(*pairs: tuple[object, object]) -> str:
    return "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in pairs)


def _tif(pattern: str, change: Callable[[np.ndarray], np.ndarray]) -> Break:
    def rewritten(root: Path) -> None:
        path = first(root, pattern)
        tifffile.imwrite(path, change(tifffile.imread(path)))

    return rewritten


def _words(pattern: str, content: str) -> Break:
    return lambda root: first(root, pattern).write_text(content)


def _nuclei(*features: dict[str, object]) -> Break:
    def change(root: Path) -> None:
        first(root, "*.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))

    return change


def _ring(*vertices: tuple[float, float]) -> dict[str, object]:
    return puma.feature("nuclei_tumor", {"type": "Polygon", "coordinates": [[list(vertex) for vertex in vertices]]})


def _laughing(root: Path) -> None:
    path = first(root, "*.xml")
    whole = path.read_text().replace('Id="1" Type="4"', 'Id="1" Name="&l11;" Type="4"')
    path.write_text(f"<!DOCTYPE Annotations [{LAUGHS}]>\n{whole}")


def _outside_entity(root: Path) -> None:
    path = first(root, "*.xml")
    whole = path.read_text().replace('Id="1" Type="4"', 'Id="1" Name="&x;" Type="4"')
    path.write_text(f'<!DOCTYPE Annotations [<!ENTITY x SYSTEM "file:///etc/hostname">]>\n{whole}')


def _both_arrays_and_tables(root: Path) -> None:
    (root / "data").mkdir()
    pq.write_table(pa.table({"image": [1]}), root / "data" / "fold1-00000-of-00001.parquet")


def _overlap(root: Path) -> None:
    array(root, "masks.npy", lambda masks: np.where(np.arange(6) == 1, masks.max(axis=-1, keepdims=True) * 7, masks))


CASES = [
    Case("monuseg", "NaN coordinates", "region", _region(_vertices((1, 1), ("nan", 5), (9, 9)))),
    Case("monuseg", "coordinates that are words", "region", _region(_vertices((1, 1), ("far", 5), (9, 9)))),
    Case("monuseg", "vertex without Y", "region", _region('<Vertex X="1"/><Vertex X="2"/><Vertex X="3"/>')),
    Case("monuseg", "region of two points", "fewer than 3 points", _region(_vertices((1, 1), (9, 9)))),
    Case("monuseg", "region without points", "fewer than 3 points", _region("")),
    Case(
        "monuseg", "region that crosses itself", "cross themselves", _region(_vertices((0, 0), (8, 8), (8, 0), (0, 8)))
    ),
    Case("monuseg", "region over the border", "cut at its border", _region(_vertices((-5, 1), (5, 1), (5, 9)))),
    Case("monuseg", "region outside", "without a pixel", _region(_vertices((500, 1), (505, 1), (505, 9)))),
    Case("monuseg", "entities that explode", "xml", _laughing),
    Case("monuseg", "entity from another file", "xml", _outside_entity),
    Case("monuseg", "XML of another kind", "xml", _words("*.xml", "<svg/>")),
    Case("monuseg", "byte order mark", "", lambda r: prefixed(r, "*.xml", b"\xef\xbb\xbf")),
    Case("monuseg", "Windows lines", "", lambda r: windows_lines(r, "*.xml")),
    Case("monuseg", "no resolution", "resolution", lambda r: text(r, "*.xml", monuseg.MPP, "")),
    Case("monuseg", "resolution as a word", "resolution", lambda r: text(r, "*.xml", '"0.252"', '"fine"')),
    Case("monuseg", "image of one channel", "not an RGB image", lambda r: picture(r, "*.png", lambda a: a[..., 0])),
    Case("monuseg", "image that claims 3.6 gigapixels", "too large", lambda r: bomb_png(first(r, "*.png"))),
    Case("kumar", "map of fractions", "not instance ids", mat(inst_map=np.full((40, 48), 0.5))),
    Case("kumar", "test tiles outside", "a link out of the folder", link_out("test_diff")),
    Case("kumar", "map of another size", "size", mat(inst_map=np.ones((9, 9)))),
    Case("kumar", "map that claims 3 GB", "at most 1 GiB", lambda r: bomb_mat(first(r, "*.mat"))),
    Case("lizard", "class of no kind", "classes do not fit", mat(**{"class": np.full((20, 1), 7)})),
    Case("lizard", "labels outside", "a link out of the folder", link_out("Lizard_Labels")),
    Case("lizard", "ids of other nuclei", "classes do not fit", mat(id=np.arange(900, 916)[:, None])),
    Case("lizard", "no classes", "class missing", mat(**{"class": None})),
    Case("lizard", "split 4", "a bad row", lambda r: text(r, "info.csv", ",1\r\n", ",4\r\n")),
    Case("lizard", "tile twice in info.csv", "a bad row", lambda r: text(r, "info.csv", "dpath_2", "dpath_1")),
    Case("lizard", "info.csv without a tile", "no row for a tile", lambda r: text(r, "info.csv", "glas_1", "glas_9")),
    Case("lizard", "info.csv in UTF-16", "info.csv", lambda r: prefixed(r, "info.csv", b"\xff\xfe")),
    Case("puma", "NaN coordinates", "outline 1", _nuclei(_ring((1, 1), (9, float("nan")), (9, 9)))),
    Case("puma", "outline that crosses itself", "cross themselves", _nuclei(_ring((0, 0), (8, 8), (8, 0), (0, 8)))),
    Case("puma", "outline over the border", "cut at its border", _nuclei(_ring((-5, 1), (5, 1), (5, 9)))),
    Case("puma", "class of no kind", "unknown class", _nuclei(puma.square("nuclei_tumour", 2, 2))),
    Case("puma", "no nuclei", "", _nuclei()),
    Case("puma", "images outside", "a link out of the folder", link_out(puma.IMAGES)),
    Case("endonuke", "images outside", "out of", link_out("dataset/images")),
    Case("endonuke", "labels outside", "out of", link_out("dataset/labels")),
    Case("endonuke", "two numbers in a line", "line 1", _words("9.txt", "3 4\n")),
    Case("endonuke", "class 3", "line 1", _words("9.txt", "3 4 3\n")),
    Case("endonuke", "point outside", "line 2", _words("9.txt", "3 4 1\n900 4 1\n")),
    Case("endonuke", "NaN coordinates", "line 1", _words("9.txt", "nan 4 1\n")),
    Case("endonuke", "no points", "without a point", _words("9.txt", "")),
    Case(
        "endonuke",
        "floats, Windows lines, byte order mark",
        "",
        lambda r: first(r, "9.txt").write_bytes(b"\xef\xbb\xbf30.0 40.0 0\r\n100 60 1\r\n"),
    ),
    Case("endonuke", "point twice", "whose nucleus they share", _words("9.txt", "30 40 0\n30 40 0\n")),
    Case(
        "endonuke",
        "YAML that would run code",
        "unique.yaml",
        lambda r: first(r, "unique.yaml").write_text(
            f"images_lists: !!python/object/apply:os.system ['touch {canary(r)}']\n"
        ),
    ),
    Case("endonuke", "YAML of another kind", "unique.yaml", _words("unique.yaml", "- 1\n- 2\n")),
    Case(
        "endonuke",
        "list that leads out",
        "images.txt|out of",
        lambda r: text(r, "images.txt", "..\\..\\images\\9.png", "../../../../../etc/hostname"),
    ),
    Case(
        "endonuke",
        "lists of different lengths",
        "images.txt|labels.txt|unique",
        lambda r: text(r, "labels.txt", "../../labels/bulk/ptg1/9.txt\n", ""),
    ),
    Case("nuinsseg", "mask of another size", "differ in size", _tif("*.tif", lambda a: a[:-1])),
    Case("nuinsseg", "an organ outside", "a link out of the folder", link_out("human bladder")),
    Case("nuinsseg", "mask of fractions", "not instance ids", _tif("*.tif", lambda a: a + np.float32(0.5))),
    Case("nuinsseg", "mask in colour", "not an instance map", _tif("*.tif", lambda a: np.dstack([a] * 3))),
    Case(
        "nuinsseg",
        "ids over 65535",
        "",
        _tif("*.tif", lambda a: np.where(a > 0, a.astype(np.uint32) + 99999, 0).astype(np.uint32)),
    ),
    Case("nuinsseg", "no nuclei", "", _tif("*.tif", np.zeros_like)),
    Case("dsb2018", "mask of another size", "size", lambda r: picture(r, "masks/*.png", lambda a: a[:-1])),
    Case("dsb2018", "a tile outside", "a link out of the folder", link_out("stage1_train/0ab0")),
    Case("dsb2018", "images of a tile outside", "a link out of the folder", link_out("stage1_train/0ab0/images")),
    Case("dsb2018", "masks of a tile outside", "a link out of the folder", link_out("stage1_train/0ab0/masks")),
    Case("dsb2018", "a tile at another place of the folder", "", link_inside("stage1_train/0ab0")),
    Case("dsb2018", "empty mask", "without a pixel", lambda r: picture(r, "masks/*.png", np.zeros_like)),
    Case(
        "dsb2018",
        "masks that overlap",
        "claimed by two nuclei",
        lambda r: cv2.imwrite(str(first(r, "m0.png").parent / "m9.png"), np.full((40, 48), 255, np.uint8)),
    ),
    Case("dsb2018", "image that claims 3.6 gigapixels", "too large", lambda r: bomb_png(first(r, "images/0ab0.png"))),
    Case(
        "pannuke",
        "masks of seven channels",
        "masks.npy",
        lambda r: array(r, "masks.npy", lambda a: np.concatenate([a, a[..., :1]], axis=-1)),
    ),
    Case("pannuke", "a fold outside", "a link out of the folder", link_out("Fold 1")),
    Case("pannuke", "images in grey", "images.npy", lambda r: array(r, "images.npy", lambda a: a[..., 0])),
    Case("pannuke", "images of fractions", "whole numbers", lambda r: array(r, "images.npy", lambda a: a / 255)),
    Case("pannuke", "images of NaN", "whole numbers", lambda r: array(r, "images.npy", lambda a: a * np.nan)),
    Case("pannuke", "masks of NaN", "not instance ids", lambda r: array(r, "masks.npy", lambda a: a * np.nan)),
    Case("pannuke", "one mask too few", "masks.npy|images.npy", lambda r: array(r, "masks.npy", lambda a: a[:-1])),
    Case("pannuke", "nuclei in two channels", "claimed by two nuclei", _overlap),
    Case("pannuke", "masks in Fortran order", "", lambda r: array(r, "masks.npy", np.asfortranarray)),
    Case("pannuke", "masks as bytes", "", lambda r: array(r, "masks.npy", lambda a: a.astype(np.uint8))),
    Case("pannuke", "tissues that need pickle", "types.npy", lambda r: pickled_npy(first(r, "types.npy"), canary(r))),
    Case("pannuke", "masks that need pickle", "masks.npy", lambda r: pickled_npy(first(r, "masks.npy"), canary(r))),
    Case(
        "pannuke",
        "masks that claim a terabyte",
        "masks.npy",
        lambda r: claiming_npy(first(r, "masks.npy"), (1 << 20, 256, 256, 6)),
    ),
    Case("pannuke", "arrays and Parquet files", "as arrays and as Parquet", _both_arrays_and_tables),
]
