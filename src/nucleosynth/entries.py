"""An entry of the catalog, and the metrics among its entries, which are the most.

Nothing here imports anything until it is asked for.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One line of the catalog. `target` is "module:attribute" inside the package."""

    name: str
    target: str
    line: str
    paper: str = ""
    licence: str = ""

    def load(self) -> Any:
        """Import and return the object."""
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(f"nucleosynth.{module}"), attribute)


METRICS = (
    Entry(
        "instance",
        "metrics.instance:scores",
        "Dice, Dice2, AJI, AJI+, DQ, SQ, PQ of one pair of label maps",
        "Kirillov et al., Panoptic segmentation, CVPR 2019; Kumar et al., IEEE TMI 2017",
    ),
    Entry(
        "classification",
        "metrics.classification:scores",
        "F_d, Acc, F_c by paired centroids, pooled",
        "Graham et al., HoVer-Net, Medical Image Analysis 2019",
    ),
    Entry(
        "pannuke",
        "metrics.aggregation:pannuke",
        "bPQ and mPQ: over classes, images, then tissues",
        "Gamper et al., PanNuke Dataset Extension, Insights and Baselines, arXiv:2003.10778",
    ),
    Entry(
        "conic",
        "metrics.aggregation:conic",
        "mPQ+ and R2: pooled over images by class, then over classes",
        "Graham et al., CoNIC, arXiv:2111.14485",
    ),
    Entry(
        "micro",
        "metrics.aggregation:micro",
        "the instance scores of all images and classes in one table",
        "Kirillov et al., Panoptic segmentation, CVPR 2019",
    ),
    Entry(
        "separation",
        "metrics.separation:separation",
        "mDice of nuclei told apart on perfect maps, by three algorithms; run by benchmarks/separation.py",
        "Min et al., CoSyn, ECCV 2024",
    ),
    Entry(
        "shapes",
        "metrics.shapes:shape_distances",
        "size, shape and spacing of nuclei: Wasserstein distances of two sets of labels",
        "Ramdas et al., On Wasserstein two-sample testing, Entropy 2017",
    ),
    Entry(
        "counts",
        "metrics.counts:count_distances",
        "nuclei of each class in an image: total variation of two sets of labels",
        "Levin and Peres, Markov Chains and Mixing Times, 2017",
    ),
    Entry(
        "layout",
        "metrics.layout:layout_distances",
        "nuclei of each class in a layout, distances to neighbours: Wasserstein distances, and the spread of real ones",
        "Ramdas et al., On Wasserstein two-sample testing, Entropy 2017",
    ),
    Entry(
        "fsd",
        "metrics.proportions:fsd",
        "Frechet distance between class proportions in per cent",
        "Min et al., CoSyn, ECCV 2024",
    ),
    Entry(
        "kid",
        "metrics.kernel:kid",
        "kernel distance between image features, unbiased",
        "Binkowski et al., Demystifying MMD GANs, ICLR 2018",
    ),
    Entry(
        "fd",
        "metrics.frechet:frechet_distance",
        "Frechet distance between image features: FID with Inception, FD-<encoder> with any other",
        "Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017",
    ),
    Entry(
        "fd_infinity",
        "metrics.frechet:fd_infinity",
        "the Frechet distance at infinitely many images, by extrapolation",
        "Chong and Forsyth, Effectively unbiased FID and Inception score, CVPR 2020",
    ),
    Entry(
        "precision_recall",
        "metrics.neighbours:precision_recall",
        "share of synthetic images among the real ones' neighbours, and of real ones among theirs",
        "Kynkaanniemi et al., Improved precision and recall metric, NeurIPS 2019",
    ),
    Entry(
        "density_coverage",
        "metrics.neighbours:density_coverage",
        "how densely real images surround synthetic ones, and how many of them have any near",
        "Naeem et al., Reliable fidelity and diversity metrics, ICML 2020",
    ),
    Entry(
        "retrieval",
        "metrics.retrieval:retrieval",
        "share of images that find their caption among the first few, or captions their image",
        "Karpathy and Fei-Fei, Deep visual-semantic alignments, CVPR 2015",
    ),
    Entry(
        "is",
        "metrics.inception_score:inception_score",
        "Inception Score from class probabilities, 10 splits",
        "Salimans et al., Improved techniques for training GANs, NeurIPS 2016",
    ),
    Entry(
        "copies",
        "metrics.copies:copies",
        "distance of tiles to the nearest training crop, beside that of held-out real tiles",
        "Carlini et al., Extracting training data from diffusion models, USENIX Security 2023",
    ),
    Entry(
        "contrast",
        "metrics.contrast:nuclear_contrast",
        "haematoxylin inside each nucleus against the ring around it: do image and label agree?",
        "Ruifrok and Johnston, Anal Quant Cytol Histol 2001",
    ),
    Entry(
        "consistency",
        "metrics.consistency:consistency",
        "what another segmenter sees in synthetic images against their labels, beside held-out real tiles",
        "Graham et al., HoVer-Net, Medical Image Analysis 2019",
    ),
)
