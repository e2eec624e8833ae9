"""Drawn H&E tissue with exact labels: the data set that needs no download.

Not a model of disease but a stand-in with the traits that methods must cope with: glands around lumina, nests, fibrous
stroma, lymphocyte clusters, fat and glass; nuclei that touch, and differ by class in size, shape and chromatin; stains
that differ from slide to slide. Kinds of tissue are in data/phantom_scenes.py, architecture in data/phantom_tissue.py,
nuclei and label in data/phantom_nuclei.py, colour in data/stain.py. Image and label come from the same coverage, so the
label is exact by construction.

Tile k depends on (seed, k) and the size alone, its slide's stain on (seed, slide) alone.
"""

import math
from collections.abc import Iterator
from urllib.parse import parse_qsl

import cv2
import numpy as np
from pydantic import Field as Option

from nucleosynth.config import Settings, resolve
from nucleosynth.data.findings import Note, strictly
from nucleosynth.data.phantom_fields import MARGIN, MPP, Field, blur, noise
from nucleosynth.data.phantom_nuclei import FINER, KINDS, Laid, chromatin, lay
from nucleosynth.data.phantom_scenes import SCENES, Scene
from nucleosynth.data.phantom_tissue import Tissue, draw_tissue
from nucleosynth.data.stain import Stain, draw_stain
from nucleosynth.errors import UserError
from nucleosynth.sample import Image, Sample

CLASS_NAMES = tuple(kind.name for kind in KINDS)
TILE, SLIDE, MIXTURE = range(3)
"""Streams of random numbers that share nothing."""


class Options(Settings):
    """What may stand after "phantom:"."""

    tiles: int = Option(default=24, ge=1)
    """How many."""
    size: int = Option(default=256, ge=32, le=4096)
    """Edge in px, at 0.5 um per px."""
    sources: int = Option(default=8, ge=1)
    """Slides: tile k is of slide k modulo this. The last quarter of two or more (one at least) is split "test"."""
    seed: int = Option(default=0, ge=0)
    """Another seed, other tissue."""


def read(where: str, _note: Note = strictly) -> Iterator[Sample]:
    """The drawn tiles in the order of k; `where` is "" or options such as "tiles=24&size=256&sources=8&seed=0".

    Raises:
        UserError: as `parse`, before anything is drawn.
    """
    options = parse(where)
    return (draw(options, k) for k in range(options.tiles))


def parse(where: str) -> Options:
    """Options from "name=value&name=value".

    Raises:
        UserError: not of that form, an unknown option (with the nearest known one), one given twice, or a bad value.
    """
    try:
        pairs = parse_qsl(where, keep_blank_values=True, strict_parsing=bool(where))
    except ValueError as error:
        raise _not_options(where, str(error)) from error
    if len(dict(pairs)) < len(pairs):
        raise _not_options(where, "an option twice")
    return resolve(Options(), dict(pairs), f"phantom:{where}")


def draw(options: Options, k: int) -> Sample:
    """Tile k; `options.tiles` plays no part."""
    rng = _stream(options.seed, TILE, k)
    slide = k % options.sources
    tests = max(options.sources // 4, min(options.sources - 1, 1))
    scene = scene_of(options.seed, k)
    tissue = draw_tissue(rng, scene, options.size)
    instances, laid = lay(tissue.nuclei, options.size)
    return Sample(
        sample_id=f"phantom_s{slide:02d}_{k}",
        image=photograph(rng, tissue, laid, draw_stain(_stream(options.seed, SLIDE, slide))),
        instances=instances,
        classes=np.array([each.nucleus.kind for each in laid], np.uint8),
        class_names=CLASS_NAMES,
        source=f"phantom/s{slide:02d}",
        mpp=MPP,
        tissue="drawn colon",
        split="test" if slide >= options.sources - tests else "train",
        caption=scene.caption,
        licence="CC0-1.0",
        provenance={"kind": "drawn", "seed": options.seed, "k": k},
    )


def scene_of(seed: int, k: int) -> Scene:
    """The kind of tissue of tile k: steps of sqrt(2) around a circle of shares, so that any run of tiles, and any
    slide's, has nearly the wanted mixture."""
    turn = (_stream(seed, MIXTURE, 0).random() + k * math.sqrt(2)) % 1
    ends = np.cumsum([scene.share for scene in SCENES])
    return SCENES[int(np.searchsorted(ends / ends[-1], turn, side="right"))]


def photograph(rng: np.random.Generator, tissue: Tissue, laid: list[Laid], stain: Stain) -> Image:
    """The image (h w 3) of a tissue and the nuclei laid on it: stain, light, lens and sensor."""
    amounts = np.stack([_finer(tissue.haematoxylin), _finer(tissue.eosin)], axis=-1)
    _draw_nuclei(rng, amounts, laid)
    # Light, not dye, adds up over a pixel: mix first, then average.
    light = cv2.resize(stain.mix(amounts), None, fx=1 / FINER, fy=1 / FINER, interpolation=cv2.INTER_AREA)
    light = blur(light, rng.uniform(0.35, 0.6))
    light += 0.5 * (light - blur(light, 1.2))  # scanners sharpen
    y, x = np.mgrid[-1 : 1 : len(light) * 1j, -1 : 1 : len(light) * 1j]
    lamp = 1 + 0.015 * (x * rng.normal() + y * rng.normal()) - 0.01 * (x**2 + y**2)
    seen = light * lamp[..., None] + rng.normal(0, 1.6, light.shape)
    return np.asarray(np.clip(np.round(seen), 0, 255), np.uint8)


def _draw_nuclei(rng: np.random.Generator, amounts: Field, laid: list[Laid]) -> None:
    """Add nuclei to the amounts (h w 2) of haematoxylin and eosin, the lowest first: overlaps are darker."""
    grain, clumps = noise(rng, len(amounts), 3), noise(rng, len(amounts), 6)
    covered = np.zeros_like(grain)
    for each in reversed(laid):
        under = amounts[each.box]
        under[..., 0] += each.cover * (chromatin(each, grain, clumps) - 0.5 * under[..., 0])
        under[..., 1] += each.cover * 0.025
        np.maximum(covered[each.box], each.cover, out=covered[each.box])
    amounts[..., 0] += 0.05 * blur(covered, 5)  # what lies out of focus casts a faint shadow


def _finer(field: Field) -> Field:
    """A field on the canvas, without its margin."""
    canvas = cv2.resize(field, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR)
    edge = FINER * MARGIN
    return np.asarray(canvas[edge:-edge, edge:-edge], np.float32)


def _stream(seed: int, stream: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, index)))


def _not_options(where: str, got: str) -> UserError:
    return UserError(
        "not options of drawn tissue",
        expected="name=value&name=value",
        got=got,
        where=f"phantom:{where}",
        mend="write for example phantom:tiles=8&seed=1",
    )
