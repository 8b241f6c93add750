"""What ``@transform_lineage`` costs: the same transformation of a million rows, tracked and not, in turns.

    python benchmarks/transformations.py
    python benchmarks/transformations.py --rows 100000 --rounds 5

The function is called again as soon as it returns, so what is measured beside it competes with it for the processors.
Rounds of a plain and a tracked turn of about a second each; medians, and the median of what a round's tracked turn took
more than its plain one. The goal: below 5% of the caller's time. Processor time holds all that is done beside it, too,
and tells more on a machine that has other work. ``looked at``: processor time of the frame that goes in and of the one
that comes out, by themselves.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from stream_lineage.frames.held import held
from stream_lineage.frames.recognise import library_of
from stream_lineage.sdk import run_counts, send_runs, transform_lineage

GOAL = 0.05
LEAST_CALLS = 2
TURN_SECONDS = 1.0
Work = Callable[[Any], Any]


def columns(rows: int) -> dict[str, Any]:
    """Eight columns: keys, numbers with nulls, texts, times."""
    random = np.random.default_rng(7)
    amounts = random.exponential(40, rows)
    amounts[random.random(rows) < 0.03] = np.nan
    return {
        "id": np.arange(rows),
        "user": random.integers(0, rows // 20, rows),
        "name": [f"user-{number:08d}" for number in range(rows)],
        "country": random.choice(["DE", "FR", "IT", "PL", "ES"], rows),
        "amount": amounts,
        "items": random.integers(1, 9, rows),
        "discount": random.random(rows),
        "at": np.datetime64("2026-01-01", "us") + random.integers(0, 86_400_000_000, rows).astype("timedelta64[us]"),
    }


def by_pandas(orders: Any) -> Any:
    """Features of orders: nulls filled, per user and country, ranked."""
    found = orders.assign(amount=orders["amount"].fillna(orders["amount"].median()))
    found["total"] = found["amount"] * found["items"] * (1 - found["discount"])
    users = found.groupby("user").agg(spent=("total", "sum"), orders=("id", "size"), last=("at", "max"))
    found = found.merge(users, on="user", how="left")
    found["share"] = found["total"] / found.groupby("country")["total"].transform("sum")
    found["rank"] = found["total"].rank()
    return found[found["total"] > 1].sort_values("at")


def by_polars(orders: Any) -> Any:
    """The same."""
    found = orders.with_columns(pl.col("amount").fill_nan(None))
    found = found.with_columns(pl.col("amount").fill_null(pl.col("amount").median()))
    found = found.with_columns((pl.col("amount") * pl.col("items") * (1 - pl.col("discount"))).alias("total"))
    users = found.group_by("user").agg(
        pl.col("total").sum().alias("spent"), pl.len().alias("orders"), pl.col("at").max().alias("last")
    )
    found = found.join(users, on="user", how="left")
    found = found.with_columns(
        (pl.col("total") / pl.col("total").sum().over("country")).alias("share"), pl.col("total").rank().alias("rank")
    )
    return found.filter(pl.col("total") > 1).sort("at")


def by_pyarrow(orders: Any) -> Any:
    """The same, without ranks."""
    amount = pc.fill_null(orders["amount"], 20.0)
    total = pc.multiply(pc.multiply(amount, pc.cast(orders["items"], "float64")), pc.subtract(1.0, orders["discount"]))
    found = orders.append_column("total", total)
    users = found.group_by("user").aggregate([("total", "sum"), ("id", "count"), ("at", "max")])
    found = found.join(users, "user")
    return found.filter(pc.greater(found["total"], 1)).sort_by("at")


def by_hand(orders: Any) -> Any:
    """The same of a list of dicts, without ranks."""
    spent: dict[int, float] = {}
    found = []
    for order in orders:
        total = (order["amount"] or 20.0) * order["items"] * (1 - order["discount"])
        spent[order["user"]] = spent.get(order["user"], 0.0) + total
        if total > 1:
            found.append({**order, "total": total})
    for order in found:
        order["spent"] = spent[order["user"]]
    return sorted(found, key=lambda order: order["at"])


@dataclass(frozen=True)
class Compared:
    """``clock`` seconds of a call in the caller's time and ``cpu`` seconds of all processors, plain and tracked, the
    medians of all rounds; ``more`` are the medians of what each round's tracked calls took more than its plain ones."""

    calls: int
    clock: tuple[float, float]
    cpu: tuple[float, float]
    more_clock: float
    more_cpu: float


def compared(plain: Work, tracked: Work, frame: Any, rounds: int) -> Compared:
    """In rounds of a turn of each, as many calls a turn as take a second."""
    started = time.perf_counter()
    plain(frame)
    calls = max(LEAST_CALLS, math.ceil(TURN_SECONDS / (time.perf_counter() - started)))
    tracked(frame)  # the first one warms up
    assert send_runs(wait_seconds=600)
    found: dict[Work, list[tuple[float, float]]] = {plain: [], tracked: []}
    for number in range(rounds):
        for work in (plain, tracked) if number % 2 else (tracked, plain):
            clock, cpu = time.perf_counter(), time.process_time()
            for _ in range(calls):
                work(frame)
            seconds = (time.perf_counter() - clock) / calls
            assert send_runs(wait_seconds=600)  # what is left of it belongs to this turn's processor time
            found[work].append((seconds, (time.process_time() - cpu) / calls))
    without, with_it = np.array(found[plain]), np.array(found[tracked])
    more_clock, more_cpu = np.median(with_it / without, axis=0) - 1
    (clock, cpu), (tracked_clock, tracked_cpu) = np.median(without, axis=0), np.median(with_it, axis=0)
    return Compared(calls, (clock, tracked_clock), (cpu, tracked_cpu), float(more_clock), float(more_cpu))


def looked_at(frame: Any, key: str) -> float:
    """Processor seconds that measuring a frame takes by itself, the least of some."""
    library, least = library_of(frame), math.inf
    assert library is not None
    for _ in range(3):
        started = time.process_time()
        held(frame, library, (key,)).measure()
        least = min(least, time.process_time() - started)
    return least


def small(calls: int = 200) -> float:
    """Microseconds that a call of a function that does nothing takes more, with nothing else to do at the same time."""

    def nothing(_: int) -> None:
        pass

    tracked = transform_lineage(job="nothing")(nothing)
    rounds = []
    for _ in range(7):
        started = time.perf_counter()
        for number in range(calls):
            tracked(number)
        rounds.append((time.perf_counter() - started) / calls)
        assert send_runs(wait_seconds=60)
    return min(rounds) * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", default="pandas,Polars,PyArrow,dicts", help="which of these")
    parser.add_argument("--keys", default="id,name", help="columns of which there is a checksum, each in turn")
    given = parser.parse_args()
    data = columns(given.rows)
    pandas = pd.DataFrame(data)
    cases: tuple[tuple[str, Work, Callable[[], Any], int], ...] = (
        ("pandas", by_pandas, lambda: pandas, given.rounds),
        ("Polars", by_polars, lambda: pl.from_pandas(pandas), given.rounds),
        ("PyArrow", by_pyarrow, lambda: pa.Table.from_pandas(pandas), given.rounds),
        ("dicts", by_hand, lambda: pandas.to_dict("records"), min(given.rounds, 2)),
    )
    table = Table("frame", "key", "calls", "a call", "tracked", "more", "processors", "tracked", "more", "looked at")
    met = True
    with tempfile.TemporaryDirectory() as directory:
        send_runs(str(Path(directory) / "runs.ndjson"))
        for name, work, made, rounds in cases:
            if name not in given.frames.split(","):
                continue
            frame = made()
            result = work(frame)
            for key in given.keys.split(",")[: 1 if name == "dicts" else None]:
                tracked = transform_lineage(inputs=["orders"], outputs=["features"], key=key)(work)
                found = compared(work, tracked, frame, rounds)
                met = met and found.more_clock < GOAL
                alone = [looked_at(each, key) * 1e3 for each in (frame, result)]
                table.add_row(
                    name, key, f"{rounds} x {found.calls}", *(f"{seconds * 1e3:,.0f} ms" for seconds in found.clock),
                    f"{found.more_clock:+.1%}", *(f"{seconds * 1e3:,.0f} ms" for seconds in found.cpu),
                    f"{found.more_cpu:+.1%}", " + ".join(f"{each:.0f}" for each in alone) + " ms",
                )  # fmt: skip
                print(name, key, f"{found.more_clock:+.1%} {found.more_cpu:+.1%}", file=sys.stderr)
            del frame, result
        microseconds = small()
    console = Console(width=120)
    console.print(f"{given.rows:,} rows of {len(data)} columns; rounds x calls")
    console.print(table)
    console.print(f"a call that does nothing takes {microseconds:.0f} us more")
    counts = run_counts()
    console.print(f"{counts}")
    assert counts.failed == counts.dropped == 0
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
