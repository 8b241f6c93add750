"""What ``@transform_lineage`` costs: the same transformation of a million rows, tracked and not, in turns.

    python benchmarks/transformations.py
    python benchmarks/transformations.py --rows 100000 --turns 5

The function is called again as soon as it returns, so what is measured beside it competes with it for the processors.
The goal: below 5% of the time that a call takes, by the fastest turns, which other work on the machine has disturbed
least. Processor time holds all that is done beside it, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from stream_lineage.sdk import run_counts, send_runs, transform_lineage

GOAL = 0.05
CALLS = 2
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


def compared(plain: Work, tracked: Work, frame: Any, turns: int) -> tuple[float, float, float, float]:
    """Seconds of a call in the fastest turn, plain and tracked, and of processors."""
    found: dict[Work, list[tuple[float, float]]] = {plain: [], tracked: []}
    for turn in range(turns + 1):
        for work in (plain, tracked) if turn % 2 else (tracked, plain):
            clock, cpu = time.perf_counter(), time.process_time()
            for _ in range(CALLS):
                work(frame)
            seconds = (time.perf_counter() - clock) / CALLS
            assert send_runs(wait_seconds=600)  # what is left of it belongs to this turn's processor time
            if turn:  # the first one warms up
                found[work].append((seconds, (time.process_time() - cpu) / CALLS))
    plain_seconds, plain_cpu = map(min, zip(*found[plain], strict=True))
    seconds, cpu = map(min, zip(*found[tracked], strict=True))
    return plain_seconds, seconds, plain_cpu, cpu


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
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--frames", default="pandas,Polars,PyArrow,dicts", help="which of these")
    parser.add_argument("--keys", default="id,name", help="columns of which there is a checksum, each in turn")
    given = parser.parse_args()
    data = columns(given.rows)
    pandas = pd.DataFrame(data)
    cases: tuple[tuple[str, Work, Callable[[], Any]], ...] = (
        ("pandas", by_pandas, lambda: pandas),
        ("Polars", by_polars, lambda: pl.from_pandas(pandas)),
        ("PyArrow", by_pyarrow, lambda: pa.Table.from_pandas(pandas)),
        ("dicts", by_hand, lambda: pandas.to_dict("records")),
    )
    table = Table("frame", "key", "a call", "tracked", "more", "processors", "tracked", "goal")
    met = True
    with tempfile.TemporaryDirectory() as directory:
        send_runs(str(Path(directory) / "runs.ndjson"))
        for name, work, made in cases:
            if name not in given.frames.split(","):
                continue
            frame = made()
            for key in given.keys.split(","):
                tracked = transform_lineage(inputs=["orders"], outputs=["features"], key=key)(work)
                plain_seconds, seconds, plain_cpu, cpu = compared(work, tracked, frame, given.turns)
                more = seconds / plain_seconds - 1
                met = met and more < GOAL
                table.add_row(
                    name, key, f"{plain_seconds * 1e3:,.0f} ms", f"{seconds * 1e3:,.0f} ms", f"{more:+.1%}",
                    f"{plain_cpu * 1e3:,.0f} ms", f"{cpu * 1e3:,.0f} ms", "met" if more < GOAL else "NOT met",
                )  # fmt: skip
                print(name, key, f"{plain_seconds:.2f} s {more:+.1%}", file=sys.stderr)
            del frame
        microseconds = small()
    console = Console(width=120)
    console.print(
        f"{given.rows:,} rows of {len(data)} columns, {CALLS} calls a turn, the fastest of {given.turns} turns"
    )
    console.print(table)
    console.print(f"a call that does nothing takes {microseconds:.0f} us more")
    counts = run_counts()
    console.print(f"{counts}")
    assert counts.failed == counts.dropped == 0
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
