"""Does a CLIP know which caption goes with which tile? Retrieval on tiles that its training has not seen.

    nucleosynth fit clip --data consep:CONSEP --run R --minutes 5
    python benchmarks/clip_retrieval.py R consep:CONSEP [--split test] [--classes SCHEME] [--clip SPEC] [--json FILE]

R is a run of `nucleosynth fit clip`: its settings say the size of windows, its facts which captions they have. Windows
lie next to each other in the held-out tiles. Images look for their caption among all different ones, captions for an
image that has them; beside each share stands what an order without knowledge would give. --clip takes another pair than
the run's own ("quiltnet", "open_clip:FOLDER"), --split all a store without splits, as `generate` makes them. Refuses
tiles of sources that the run was trained on.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from nucleosynth.data.reader import read
from nucleosynth.encoders import clip_pair
from nucleosynth.encoders.clip_pair import ClipPair
from nucleosynth.methods.clip import ClipSettings, OwnClip, every_window
from nucleosynth.methods.painting import network_image
from nucleosynth.metrics.retrieval import retrieval
from nucleosynth.run import Run
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of

BATCH, SEED = 64, 11


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    parser.add_argument("--split", default="test")
    parser.add_argument("--classes", help="the class scheme that the run was trained in")
    parser.add_argument("--clip", help="another pair than the run's own")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    run = Run.open(options.run)
    tiles = list(read(options.data, None if options.split == "all" else options.split, options.classes))
    seen = {each.source for each in run.record.training_sources} & {tile.source for tile in tiles}
    if seen:
        raise SystemExit(f"not held out: {', '.join(sorted(seen))}")
    found = measure(run, clip_pair.load(options.clip or f"own:{options.run}"), tiles)
    for way, numbers in found.items():
        print("\n".join(f"{way + ', ' + name:<36}{value:.3f}" for name, value in numbers.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def measure(run: Run, pair: ClipPair, tiles: list[Sample]) -> dict[str, dict[str, float]]:
    """Both ways, and how many there are of each."""
    settings, tell = ClipSettings.model_validate(run.record.settings), OwnClip.tell(run)
    windows = list(every_window(settings.resampled(tiles), settings.tile))
    said = [tell(window, generator_of(SEED, k)) for k, window in enumerate(windows)]
    different = list(dict.fromkeys(said))
    images = np.concatenate([embedded(pair, windows[first : first + BATCH]) for first in range(0, len(windows), BATCH)])
    cosines = images @ normalised(pair.text(different)).T
    right = np.array(said)[:, None] == np.array(different)
    return {
        "there are": {"windows": float(len(windows)), "different captions": float(len(different))},
        "caption of an image": retrieval(cosines, right),
        "image of a caption": retrieval(cosines.T, right.T),
    }


@torch.inference_mode()
def embedded(pair: ClipPair, windows: list[Sample]) -> np.ndarray:
    """(n d) vectors of length 1."""
    return normalised(pair.image(torch.from_numpy(np.stack([network_image(each.image) for each in windows]))).embedding)


def normalised(vectors: torch.Tensor) -> np.ndarray:
    """Of length 1."""
    return torch.nn.functional.normalize(vectors, dim=1).numpy()


if __name__ == "__main__":
    main()
