"""The three things that travel down the street: Sample, Layout and Condition.

A Sample is one tile with everything known of it; a Layout is a point pattern of nuclei; a Condition is what a method
may be given. All are validated when they are built; the square's eight symmetries and crops are
exact for every field.

Axes: arrays are (h w ...), y down, x right, in pixels. Pixel centres have integer coordinates, so a tile spans
x in [-0.5, w - 0.5]. Images are uint8 RGB. Nucleus k of an instance map has its class in `classes[k - 1]`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError

Image = NDArray[np.uint8]
"""(h w 3) uint8, RGB, 0..255."""
Instances = NDArray[np.int32]
"""(h w) int32, 0 background, nucleus ids from 1."""
Classes = NDArray[np.uint8]
"""(n,) uint8: 1..C, or 0 for a nucleus of unknown type."""
LabelledAs = Literal["masks", "points", "derived"]
Symmetry = int
"""0..7: rotate by 90 degrees counter-clockwise (symmetry % 4) times, then flip left-right if symmetry >= 4."""


def transform_array(array: NDArray[Any], symmetry: Symmetry) -> NDArray[Any]:
    """One of the square's eight symmetries on the first two axes of an array (a copy, C-contiguous)."""
    turned = np.rot90(array, symmetry % 4)
    return np.ascontiguousarray(turned[:, ::-1] if symmetry >= 4 else turned)


def transform_points(xy: NDArray[np.float32], size: tuple[int, int], symmetry: Symmetry) -> NDArray[np.float32]:
    """The same symmetry on points: xy (m 2) in px of a tile of `size` (h w); pixel centres land on pixel centres."""
    x, y = xy[:, 0], xy[:, 1]
    height, width = size
    for _ in range(symmetry % 4):
        x, y = y, width - 1 - x
        height, width = width, height
    if symmetry >= 4:
        x = width - 1 - x
    return np.stack([x, y], axis=1).astype(np.float32)


def renumbered(instances: NDArray[Any]) -> tuple[Instances, NDArray[np.int64]]:
    """The ids that occur renumbered to 1..n in ascending order, and what they were: (n,); ids may be of any size.

    Example:
        >>> renumbered(np.array([[0, 9], [3, 9]]))
        (array([[0, 2],
               [1, 2]], dtype=int32), array([3, 9]))
    """
    highest = int(instances.max(initial=0))
    if highest > 4 * instances.size + 255:  # wide gaps: counting would take more memory than sorting
        present = np.unique(instances).astype(np.int64)
        present = present[present > 0]
        return (np.searchsorted(present, instances) + (instances > 0)).astype(np.int32), present
    counts = np.bincount(instances.ravel(), minlength=1)
    counts[0] = 0
    present = np.flatnonzero(counts)
    lookup = np.zeros(len(counts), np.int32)
    lookup[present] = np.arange(1, len(present) + 1)
    return lookup[instances], present


def without_gaps(instances: NDArray[Any], classes: Classes) -> tuple[Instances, Classes]:
    """Renumber the ids that occur to 1..n in ascending order; `classes` (indexed by old id - 1) follows.

    Example:
        >>> without_gaps(np.array([[0, 3]]), np.array([1, 1, 2], np.uint8))
        (array([[0, 1]], dtype=int32), array([2], dtype=uint8))
    """
    instances, present = renumbered(instances)
    return instances, np.asarray(classes[present - 1], np.uint8)


@dataclass(frozen=True, eq=False)
class Layout:
    """A point pattern of nuclei: xy (m 2) float32 in px, classes (m,) uint8, of a tile of `size` (h w)."""

    xy: NDArray[np.float32]
    classes: Classes
    size: tuple[int, int]
    class_names: tuple[str, ...]
    mpp: float | None = None

    def __post_init__(self) -> None:
        height, width = self.size
        if self.xy.ndim != 2 or self.xy.shape[1] != 2 or self.xy.dtype != np.float32:
            raise UserError(
                "points are not a list of x, y",
                expected="float32 (m, 2)",
                got=_form(self.xy),
                mend="give x and y of each point",
            )
        inside = (self.xy >= -0.5).all() and (self.xy <= np.array([width - 0.5, height - 0.5])).all()
        if not inside:
            raise UserError(
                "a point lies outside its tile",
                expected=f"x in [-0.5, {width - 0.5}], y in [-0.5, {height - 0.5}]",
                got=f"x {self.xy[:, 0].min()}..{self.xy[:, 0].max()}, y {self.xy[:, 1].min()}..{self.xy[:, 1].max()}",
                mend="clip the points, or give the size of the tile that they belong to",
            )
        _check_classes(self.classes, len(self.xy), self.class_names, "")

    def transform(self, symmetry: Symmetry) -> "Layout":
        """One of the square's eight symmetries."""
        size = self.size[::-1] if symmetry % 2 else self.size
        return replace(self, xy=transform_points(self.xy, self.size, symmetry), size=size)

    def crop(self, top: int, left: int, height: int, width: int) -> "Layout":
        """The points inside a window, in the window's coordinates.

        A point between two windows is the right or lower one's; on the tile's own border it is the last one's, so that
        windows side by side hold every point exactly once.
        """
        begin, end = np.array([[left, top], [left + width, top + height]])
        below = (self.xy < end - 0.5) | (end == self.size[::-1])
        keep = ((self.xy >= begin - 0.5) & below).all(axis=1)
        xy = (self.xy[keep] - begin).astype(np.float32)
        return replace(self, xy=xy, classes=self.classes[keep], size=(height, width))


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled tile. See the module for axes and units; `mpp` is micrometres per pixel, None where unknown.

    instances: ids 1..n without gaps; classes: entry k - 1 for nucleus k, 0 = unknown type (counts for segmentation,
    masked in type losses and scores). source: the slide or patient, a unit that no split cuts. labelled_as: "masks",
    "points" (then `points` holds them) or "derived" (masks grown from points: never a judge's truth unsaid).
    class_scheme: what was merged into these classes, as a text ("" = nothing: the classes are the data set's own).
    quality: what is known of how good the tile is; "repairs" counts what reading it had to mend.
    provenance: {"kind": "real"} or {"kind": "synthetic", generator, preset, without (parts left out, if any),
    checkpoint, seed, k, condition, training_sources [{source, licence, inherited: true where training began from a run
    that knew it}]}.

    Raises:
        UserError: a field is of the wrong shape, type or range, or two fields contradict each other.
    """

    sample_id: str
    image: Image
    instances: Instances
    classes: Classes
    class_names: tuple[str, ...]
    source: str
    mpp: float | None = None
    tissue: str = "unknown"
    stain: str = "H&E"
    split: str = ""
    class_scheme: str = ""
    caption: str = ""
    licence: str = "unknown"
    labelled_as: LabelledAs = "masks"
    points: Layout | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=lambda: {"kind": "real"})

    def __post_init__(self) -> None:
        where = f"sample {self.sample_id!r}"
        _check_image(self.image, where)
        if self.instances.shape != self.image.shape[:2]:
            raise UserError(
                "label and image differ in size",
                expected=f"an instance map of {self.image.shape[:2]}, as the image",
                got=str(self.instances.shape),
                where=where,
                mend="pair the label with the image that it was drawn on, or resample one of them",
            )
        nuclei = check_instances(self.instances, where)
        _check_classes(self.classes, nuclei, self.class_names, where)
        if not self.sample_id or not self.source:
            raise UserError(
                "a sample without a name",
                expected="sample_id and source",
                got="an empty text",
                where=where,
                mend="name both",
            )
        if self.mpp is not None and not 0 < self.mpp < float("inf"):
            raise UserError(
                "bad resolution",
                expected="mpp > 0 (micrometres per pixel)",
                got=str(self.mpp),
                where=where,
                mend="about 0.25 at 40x",
            )
        if self.labelled_as == "points" and self.points is None:
            raise UserError(
                "no points",
                expected="points, as labelled_as says",
                got="None",
                where=where,
                mend="give points, or say masks",
            )

    @property
    def size(self) -> tuple[int, int]:
        """(h w) in px."""
        return self.instances.shape[0], self.instances.shape[1]

    def transform(self, symmetry: Symmetry) -> "Sample":
        """One of the square's eight symmetries, exact for every field."""
        return replace(
            self,
            image=transform_array(self.image, symmetry),
            instances=transform_array(self.instances, symmetry),
            points=self.points.transform(symmetry) if self.points else None,
        )

    def flip(self) -> "Sample":
        """Mirror left and right."""
        return self.transform(4)

    def rotate(self, quarter_turns: int) -> "Sample":
        """Rotate counter-clockwise by quarter turns."""
        return self.transform(quarter_turns % 4)

    def crop(self, top: int, left: int, height: int, width: int) -> "Sample":
        """The window [top, top + height) x [left, left + width), ids renumbered without gaps.

        Raises:
            UserError: the window leaves the tile.
        """
        if min(top, left) < 0 or height < 1 or width < 1 or top + height > self.size[0] or left + width > self.size[1]:
            raise UserError(
                "the window leaves the tile",
                expected=f"a window inside {self.size}",
                got=f"top {top}, left {left}, height {height}, width {width}",
                where=f"sample {self.sample_id!r}",
            )
        window = np.s_[top : top + height, left : left + width]
        instances, classes = without_gaps(self.instances[window], self.classes)
        return replace(
            self,
            image=np.ascontiguousarray(self.image[window]),
            instances=instances,
            classes=classes,
            points=self.points.crop(top, left, height, width) if self.points else None,
        )


@dataclass(frozen=True, eq=False)
class Condition:
    """What a method may be given; every field but the size is optional, None where nothing is asked.

    size: (h w) in px at `mpp`; known: (h w) bool, True where a pixel of the given image or label is to be kept;
    begin: an image that is painted over, where `image` is one that is kept; methods that start from noise ignore it;
    counts: nuclei wanted of each class (C,), or (C + 1,) where the last are those of unknown type; proportions: their
    shares of the tile's area, 0..1; reference: an image of any size at `mpp`, of the wanted stain and style; name,
    source and licence: where it comes from ("" when it is made up, joined by "; " where there are several);
    operations: what was done to it since.
    """

    size: tuple[int, int]
    mpp: float | None = None
    class_names: tuple[str, ...] = ()
    tissue: str | None = None
    stain: str | None = None
    points: Layout | None = None
    instances: Instances | None = None
    classes: Classes | None = None
    image: Image | None = None
    begin: Image | None = None
    known: NDArray[np.bool_] | None = None
    caption: str | None = None
    counts: NDArray[np.int64] | None = None
    proportions: NDArray[np.float64] | None = None
    reference: Image | None = None
    name: str = ""
    source: str = ""
    licence: str = ""
    operations: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        where = f"condition {self.name!r}"
        for label in ("image", "begin", "instances", "known"):
            array = getattr(self, label)
            if array is not None and array.shape[:2] != self.size:
                raise UserError(
                    f"{label} of another size",
                    expected=str(self.size),
                    got=str(array.shape),
                    where=where,
                    mend="crop or resample",
                )
        if self.known is not None and (self.known.dtype != bool or self.known.ndim != 2):
            raise UserError("known is no mask", expected="bool (h, w)", got=_form(self.known), where=where)
        if self.points is not None and self.points.size != self.size:
            raise UserError(
                "points of another size",
                expected=str(self.size),
                got=str(self.points.size),
                where=where,
                mend="crop or resample",
            )
        number = len(self.class_names)
        if self.counts is not None and (self.counts.shape not in ((number,), (number + 1,)) or (self.counts < 0).any()):
            raise UserError(
                "counts do not fit the classes",
                expected=f"{number} numbers of nuclei, one more where the last are of unknown type, none below 0",
                got=str(self.counts.tolist()),
                where=where,
            )
        shares = self.proportions
        if shares is not None and (
            shares.shape not in ((number,), (number + 1,)) or shares.min(initial=0) < 0 or shares.sum() > 1 + 1e-6
        ):
            raise UserError(
                "proportions do not fit the classes",
                expected=f"{number} shares of the area, one more where the last is of unknown type, 1 at most in sum",
                got=str(shares.tolist()),
                where=where,
            )
        for image in (self.image, self.begin, self.reference):
            if image is not None:
                _check_image(image, where)
        if (self.instances is None) != (self.classes is None):
            raise UserError(
                "half a label",
                expected="instances and classes together",
                got="one of them",
                where=where,
                mend="give both",
            )
        if self.instances is not None and self.classes is not None:
            _check_classes(self.classes, check_instances(self.instances, where), self.class_names, where)

    def given(self) -> frozenset[str]:
        """The names of the fields that ask for something (size, mpp, names and what to begin from apart)."""
        names = (
            *("tissue", "stain", "points", "instances", "image", "known"),
            *("caption", "counts", "proportions", "reference"),
        )
        return frozenset(name for name in names if getattr(self, name) is not None)


def check_instances(instances: NDArray[Any], where: str) -> int:
    """The number of nuclei of a valid instance map.

    Raises:
        UserError: not int32, not 2-D, a negative id, or ids with gaps.
    """
    if instances.ndim != 2 or instances.dtype != np.int32:
        mend = "store instance ids as integers" if instances.dtype.kind == "f" else "convert with .astype(np.int32)"
        raise UserError("not an instance map", expected="int32 (h, w)", got=_form(instances), where=where, mend=mend)
    low = int(instances.min(initial=0))
    if low < 0:
        raise UserError(
            "a negative id",
            expected="0 background, nuclei from 1",
            got=str(low),
            where=where,
            mend="number nuclei from 1",
        )
    sizes = np.bincount(instances.ravel(), minlength=1)[1:]
    if not sizes.all():
        raise UserError(
            "ids with gaps",
            expected=f"ids 1..{np.count_nonzero(sizes)}",
            got=f"largest id {len(sizes)}, id {int(np.argmin(sizes)) + 1} missing",
            where=where,
            mend="renumber with nucleosynth.sample.without_gaps",
        )
    return len(sizes)


def _check_image(image: NDArray[Any], where: str) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise UserError(
            "not an RGB image", expected="uint8 (h, w, 3)", got=_form(image), where=where, mend="save it as 8-bit RGB"
        )


def _check_classes(classes: NDArray[Any], nuclei: int, class_names: tuple[str, ...], where: str) -> None:
    if classes.shape != (nuclei,) or classes.dtype != np.uint8:
        raise UserError(
            "classes do not fit the nuclei",
            expected=f"uint8 ({nuclei},)",
            got=_form(classes),
            where=where,
            mend="give each nucleus one class",
        )
    if nuclei and int(classes.max()) > len(class_names):
        raise UserError(
            "a class out of range",
            expected=f"0 (unknown) or 1..{len(class_names)} ({', '.join(class_names) or 'no class is named'})",
            got=f"class {int(classes.max())} of nucleus {int(classes.argmax()) + 1}",
            where=where,
            mend="name all classes, or correct the label",
        )


def _form(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"
