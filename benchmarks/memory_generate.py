"""Does the memory of `generate` grow with the number of pairs? One run makes few and many, each in its own process.

    python benchmarks/memory_generate.py RUN [FEW MANY [OPTION ...]]

Options are those of `nucleosynth generate`, such as --size 128. Prints the peak of the largest process either way, and
their ratio, which is to be below 1.05.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

FEW, MANY = 64, 1024
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    """Print the peaks and their ratio."""
    run, *rest = sys.argv[1:]
    numbers = [int(each) for each in rest[:2]] or [FEW, MANY]
    few, many = (peak_mb(run, number, rest[2:]) for number in numbers)
    for number, peak in zip(numbers, (few, many), strict=True):
        print(f"generate --n {number}: peak {peak:.0f} MB")
    print(f"ratio {many / few:.3f}")


def peak_mb(run: str, number: int, options: list[str]) -> float:
    """The largest process's peak, MB, while so many pairs are made; a process of its own sees no other children's."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "nucleosynth", "generate", run, "--n", str(number), "--device", "cpu"]
        command += ["--out", str(Path(place) / "pairs"), *options]
        found = subprocess.run([sys.executable, "-c", MEASURE, *command], check=True, capture_output=True, text=True)
    return int(found.stdout) / 1024


if __name__ == "__main__":
    main()
