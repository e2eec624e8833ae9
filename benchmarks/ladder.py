"""Fewer and fewer evaluations: a flow and its student at each rung, what a pair costs and what it is worth.

    python benchmarks/ladder.py RUN STUDENT ... DATA [--judge JUDGE] [--n 192] [--json FILE] [--stores FOLDER]

RUN is a run of jointflow, STUDENT one or more taught by it (`nucleosynth distil`), DATA what they were trained on, with
splits, JUDGE a run of `nucleosynth segment fit` on its training split. Pairs from nothing, of the same conditions
and noise at each rung, beside training crops; real crops and held-out ones stand in the first lines. Seconds are of
these pairs on this machine, the reading of nuclei with them, the least of two rounds; GFLOP are counted at 256^2.

    FD, KID      of features of the encoder `texture`          contrast    haematoxylin of nuclei, share of real
    FSD          of class proportions, per cent                AJI, PQ     the judge's, against the pairs' own labels
    counts       nuclei too many or too few, share of those    painted     contrast of images for held-out labels,
                 asked for                                                 share of real
    labels       AJI of labels made for held-out crops' images

--stores writes the pairs of each rung, for `nucleosynth study --arm real+STORE`.
"""

import argparse
import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import likeness
from likeness import proportions
from nucleosynth.data.reader import read
from nucleosynth.data.store import open_for_writing
from nucleosynth.data.tiles import resample
from nucleosynth.metrics.instance import mean, scores
from nucleosynth.metrics.proportions import fsd
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from pairs import changed, contrast, crops, off

FLOW, STUDENT = (32, 16, 8, 4, 2, 1), (16, 8, 4, 2, 1)
COLUMNS = ("GFLOP", "seconds", "FD", "KID", "FSD", "contrast", "counts", "AJI", "PQ", "painted", "labels")
COUNTED_PX = 256


def main() -> None:
    """One line a rung."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("data")
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--n", type=int, default=192)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--stores", type=Path)
    options = parser.parse_args()
    bench = Bench(options.runs[0], options.data, options.judge, options.n, options.batch)
    rows = {"training crops": bench.row(bench.again), "held-out crops": bench.row(bench.held_out)}
    print(f"{'':<34}" + "".join(f"{name:>10}" for name in COLUMNS))
    for name, row in rows.items():
        show(name, row)
    for place, folder in enumerate(options.runs):
        run = Run.open(folder)
        student = run.record.settings["role"] == "student"
        for rung in STUDENT if student else FLOW:
            name = f"{folder.name}, {rung} evaluations"
            made, rows[name] = bench.rung(run, rung)
            show(name, rows[name])
            if options.stores:
                write(options.stores / f"{place}_{folder.name}_{rung}", made, rung)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


class Bench:
    """The tiles, the conditions and the judge that all rungs share."""

    def __init__(self, run: Path, data: str, judge: Path | None, n: int, batch: int) -> None:
        self.n, self.batch = n, batch
        model = changed(Run.open(run), ())
        train, test = (
            [tile if model.mpp is None else resample(tile, model.mpp) for tile in read(data, split)]
            for split in ("train", "test")
        )
        self.real, self.again = crops(train, 2 * n, 1, model), crops(train, n, 2, model)
        self.held_out = crops(test, n, 3, model)
        self.full = [tile for tile in self.held_out if len(tile.classes)][: n // 2]
        self.look = likeness.judge_of(judge, model.class_names, test) if judge else None

    def rung(self, run: Run, evaluations: int) -> tuple[list[Sample], dict[str, float]]:
        """The pairs of a run at so many evaluations, and their line; images for labels take as many, two at least."""
        guided = f"sampling.guided_steps={max(evaluations // 2, 1)}"
        model = changed(run, (f"sampling.steps={evaluations}", guided, f"student.steps={evaluations}"))
        asked = list(islice(model.default_conditions(7), self.n))
        list(self._made(model, asked[: self.batch]))
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            made = self._made(model, asked)
            seconds.append((time.perf_counter() - began) / self.n)
        told = [(t.size, t.mpp, t.class_names) for t in self.full]
        painted = self._made(
            model,
            [Condition(*a, instances=t.instances, classes=t.classes) for a, t in zip(told, self.full, strict=True)],
        )
        read_off = self._made(
            model, [Condition(*a, image=t.image, source=t.source) for a, t in zip(told, self.full, strict=True)]
        )
        stages = type(model).cost(model.settings, COUNTED_PX, max(len(model.facts.classes), 1))
        pairs = [scores(true.instances, found.instances) for true, found in zip(self.full, read_off, strict=True)]
        aji = mean(pairs)["aji"].value
        return made, {
            "GFLOP": sum(stage.gflop for stage in stages),
            "seconds": min(seconds),
            **self.row(made),
            "counts": off(asked, made),
            "painted": contrast(painted) / contrast(self.full),
            "labels": float("nan") if aji is None else aji,
        }

    def row(self, tiles: Sequence[Sample]) -> dict[str, float]:
        """What tiles of any origin have in common."""
        found = likeness.distances(tiles, self.real, {})
        fd, kid = (next(value for key, value in found.items() if key.startswith(f"{name}, ")) for name in ("fd", "kid"))
        known = {"FD": fd, "KID": kid}
        known |= {
            "FSD": fsd(proportions(self.real), proportions(tiles)),
            "contrast": contrast(tiles) / contrast(self.real),
        }
        if self.look:
            agreed = likeness.consistency(self.look, tiles, self.held_out)
            known |= {"AJI": agreed["consistency, aji"], "PQ": agreed["consistency, pq"]}
        return known

    def _made(self, model: Any, asked: Sequence[Condition]) -> list[Sample]:
        return list(model.generate(iter(asked), 7, count=len(asked), batch=self.batch))


def show(name: str, row: dict[str, float]) -> None:
    """A line; what it has not is left open."""
    print(f"{name:<34}" + "".join(f"{row[c]:>10.3f}" if c in row else f"{'':>10}" for c in COLUMNS), flush=True)


def write(folder: Path, tiles: Sequence[Sample], rung: int) -> None:
    """The pairs of a rung as a store."""
    with open_for_writing(folder, {"evaluations": rung}, len(tiles), len(tiles), True) as store:
        store.write(store.missing()[0], list(tiles))


if __name__ == "__main__":
    main()
