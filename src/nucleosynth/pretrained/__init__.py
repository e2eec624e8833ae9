"""Trained models that come with the package, each a run folder with a model card (MODEL_CARD.md): data, scores, limits.

    nucleosynth generate pretrained:he-tiny --n 16 --out pairs
    nucleosynth fit jointflow --from pretrained:he-tiny --data folder:my/tiles --run runs/mine --minutes 5

Made by benchmarks/pretrain.py, of tiles under CC0 and of drawn tissue alone.
"""

from pathlib import Path

HE_TINY = Path(__file__).with_name("he-tiny")
