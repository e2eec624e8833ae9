"""The kinds of tissue that are drawn, as numbers."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Scene:
    """One kind of tissue: lengths in um, densities per 1000 um^2 of tile, shares 0..1."""

    caption: str
    share: float
    """Of the tiles."""
    gland: float = 0.0
    """Distance of neighbouring glands; 0 for no epithelium."""
    occupied: float = 1.0
    """Share of their places that hold one."""
    wall: float = 18.0
    """Height of the epithelium; inf for solid nests."""
    layers: int = 1
    """Rows of nuclei in it."""
    elongation: float = 1.0
    """Of its nuclei, at constant area."""
    goblets: float = 0.0
    """Share of its cells with a mucin vacuole."""
    mitoses: float = 0.0
    """Share of its nuclei."""
    spindles: float = 2.0
    lymphocytes: float = 1.3
    clusters: int = 1
    """Of lymphocytes."""
    looseness: float = 0.4
    """0 dense collagen, 1 oedematous."""
    fat: float = 0.0
    gap: float = 0.03
    """Empty glass."""
    vessels: float = 1.0
    """Mean number of capillaries."""


SCENES = (
    Scene(
        "crypts with goblet cells in loose inflamed stroma",
        share=0.22,
        gland=72,
        wall=19,
        goblets=0.55,
        mitoses=0.008,
        spindles=1.6,
        lymphocytes=2.5,
        clusters=2,
        looseness=0.7,
    ),
    Scene(
        "crowded dysplastic glands",
        share=0.22,
        gland=88,
        wall=24,
        layers=3,
        elongation=1.25,
        goblets=0.08,
        mitoses=0.02,
        looseness=0.5,
    ),
    Scene("solid nests of large vesicular nuclei", share=0.18, gland=82, wall=inf, mitoses=0.025),
    Scene("fibrous stroma with spindle cells", share=0.14, spindles=3.4, lymphocytes=0.4, clusters=0, looseness=0.1),
    Scene(
        "dense lymphoid infiltrate beside a gland",
        share=0.12,
        gland=70,
        occupied=0.4,
        goblets=0.3,
        mitoses=0.008,
        spindles=1.2,
        lymphocytes=8,
        clusters=6,
        looseness=0.6,
    ),
    Scene("fat with thin septa", share=0.07, lymphocytes=0.6, fat=0.7),
    Scene("nearly empty, the edge of the tissue", share=0.05, spindles=1.5, lymphocytes=0.4, clusters=0, gap=0.75),
)
