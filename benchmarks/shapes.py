"""How large a shift of a field's numbers has to be for a window to show it, and how often one shows that is none.

    python benchmarks/shapes.py [--seed N] [--windows N] [--k N]

An hour on each of three days of windows of ten seconds goes through real KLL sketches into the reference that the
detector keeps of a field; then windows of the fourth day are compared with it, shifted by so many standard deviations.
The share of windows is printed that would be told, were such a distance not usual for the field.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from numpy.typing import NDArray

from stream_lineage.detect.metric_shape import Shape
from stream_lineage.detect.shift.digest import EVEN_RANKS, single
from stream_lineage.profile.quantiles import add_values, new_quantiles

DAY = 86_400.0
SHIFTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
RECORDS = (50, 400, 4_000)
DAYS = 3


def points(random: np.random.Generator, values: NDArray[np.float64], k: int) -> tuple[list[float], float]:
    """What a window keeps of its values, and the bound of its sketch."""
    sketch = new_quantiles(k)
    for part in np.array_split(values, 10):  # as the observations of ten seconds are merged
        one = new_quantiles(k)
        add_values(one, part, random)
        sketch.merge(one)
    error = float(sketch.normalized_rank_error(False)) if sketch.is_estimation_mode() else 0.0
    return single(sketch.get_quantiles(list(EVEN_RANKS), True)), error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--windows", type=int, default=200, help="for each cell")
    parser.add_argument("--k", type=int, default=64, help="size of the sketches")
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    print("| records of a window | " + " | ".join(f"{shift:g}" for shift in SHIFTS) + " |")
    print("| --- |" + " --- |" * len(SHIFTS))
    for records in RECORDS:
        shape = Shape()
        for day in range(DAYS):
            for number in range(360):
                kept, _ = points(random, random.normal(0, 1, records), options.k)
                shape.learn(day * DAY + 10 * number, kept, records)
        cells = []
        for shift in SHIFTS:
            told = 0
            for number in range(options.windows):
                kept, error = points(random, random.normal(shift, 1, records), options.k)
                found = shape.distance(DAYS * DAY + 10 * (number % 360), kept, records, error)
                told += found is not None and found.told
            cells.append(f"{100 * told / options.windows:.0f}%")
        print(f"| {records:,} | " + " | ".join(cells) + " |", flush=True)
    print(f"one hour of {DAYS} days: {len(json.dumps(shape.state())):,} bytes of state")


if __name__ == "__main__":
    main()
