"""What profiling costs: six-field columns at 100,000 records a batch, and small batches of wide topics.

    python benchmarks/profiles.py [--records N] [--rounds N]

Prints nanoseconds per record by part, beside a plain Python profile of the same values (and Polars, where installed),
and milliseconds for 100 fields and 20 records. Ratios are of one run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from stream_lineage.model.profile import Decoder
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.distinct import DistinctSketch
from stream_lineage.profile.encoding import encode_profile
from stream_lineage.profile.frequent import grouped
from stream_lineage.profile.hashing import hasher_of
from stream_lineage.profile.merge import merge_profiles
from stream_lineage.profile.moments import Moments
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.profile.quantiles import add_values, new_quantiles
from stream_lineage.wire.columns import PADDING, Batch, Decoded, FieldColumn, Numbers, Texts

OPTIONS = ProfileOptions(hash_key=b"benchmark")


def texts(values: list[str]) -> Texts:
    encoded = [value.encode() for value in values]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    data = np.frombuffer(b"".join(encoded) + bytes(PADDING), np.uint8)
    return Texts("string", data, np.cumsum(lengths) - lengths, lengths)


def six_fields(records: int, seed: int = 1) -> Decoded:
    """Two longs, a double, two low-cardinality strings, a nullable int."""
    random = np.random.default_rng(seed)
    present = random.random(records) > 0.1
    ages = random.integers(0, 90, int(present.sum()))
    columns = [
        FieldColumn("id", records, parts=[Numbers("integer", np.arange(10**9, 10**9 + records))]),
        FieldColumn("user", records, parts=[Numbers("integer", random.integers(0, 100_000, records))]),
        FieldColumn("amount", records, parts=[Numbers("number", random.gamma(2.0, 50.0, records))]),
        FieldColumn("country", records, parts=[texts(random.choice(["US", "DE", "FR", "GB"], records).tolist())]),
        FieldColumn("event", records, parts=[texts(random.choice(["click", "view", "purchase"], records).tolist())]),
        FieldColumn("age", records, nulls=int((~present).sum()), parts=[Numbers("integer", ages)]),
    ]
    return Decoded(records, columns, [])


def wide(fields: int, records: int) -> Decoded:
    """Half numbers, half strings."""
    random = np.random.default_rng(2)
    columns = []
    for number in range(fields):
        path = f"customer.attribute_{number:03d}"
        if number % 2:
            words = [f"value {word}" for word in random.integers(0, 8, records).tolist()]
            columns.append(FieldColumn(path, records, parts=[texts(words)]))
        else:
            columns.append(FieldColumn(path, records, parts=[Numbers("number", random.normal(size=records))]))
    return Decoded(records, columns, [])


def best(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def profiled(decoded: Decoded, budget: int = 1 << 20) -> bytes:
    builder = ProfileBuilder(OPTIONS)
    builder.add(decoded)
    return encode_profile(builder.finish(Decoder.COLUMNAR, Decoder.OPAQUE, budget))


def plain_python(rows: list[list[object]]) -> list[object]:
    """The same questions with dict, Counter and statistics, column by column."""
    out: list[object] = []
    for column in rows:
        values = [value for value in column if value is not None]
        if isinstance(values[0], str):
            lengths = [len(value) for value in values if isinstance(value, str)]
            out.append((Counter(values), min(lengths), max(lengths), statistics.fmean(lengths)))
        else:
            numbers = [float(value) for value in values if isinstance(value, (int, float))]
            mean = statistics.fmean(numbers)
            quartiles = statistics.quantiles(numbers, n=100)
            squares = sum((number - mean) ** 2 for number in numbers)
            out.append((min(numbers), max(numbers), mean, squares, quartiles, len(set(values))))
    return out


def polars_profile(frame: object) -> object:
    import polars

    assert isinstance(frame, polars.DataFrame)
    out = []
    for name, kind in frame.schema.items():
        column = polars.col(name)
        if kind == polars.String:
            out += [column.str.len_bytes().min().alias(f"{name}1"), column.str.len_bytes().mean().alias(f"{name}2")]
            out += [column.value_counts().implode().alias(f"{name}3")]
        else:
            out += [column.min().alias(f"{name}1"), column.max().alias(f"{name}2"), column.mean().alias(f"{name}3")]
            out += [column.var().alias(f"{name}4"), column.approx_n_unique().alias(f"{name}5")]
            out += [column.quantile(rank / 10).alias(f"{name}q{rank}") for rank in range(1, 10)]
    return frame.select(out)


def table(decoded: Decoded) -> list[list[object]]:
    rows: list[list[object]] = []
    for column in decoded.columns:
        (part,) = column.parts
        if isinstance(part, Numbers):
            rows.append([*part.values.tolist(), *[None] * column.nulls])
        else:
            assert isinstance(part, Texts)
            data = part.data.tobytes()
            pairs = zip(part.starts.tolist(), part.lengths.tolist(), strict=True)
            rows.append([data[start : start + length].decode() for start, length in pairs])
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=9)
    settings = arguments.parse_args()
    records, rounds = settings.records, settings.rounds
    decoded = six_fields(records)

    def show(name: str, seconds: float) -> None:
        print(f"{name:52s} {seconds / records * 1e9:9.1f} ns per record")

    whole = best(lambda: profiled(decoded), rounds)
    show("six fields, whole profile, encoded", whole)
    for column in decoded.columns:
        show(f"  field {column.path}", best(lambda c=column: profiled(Decoded(records, [c], [])), rounds))

    hasher = hasher_of(OPTIONS.hash_key)
    integers = decoded.columns[1].parts[0].values
    doubles = decoded.columns[2].parts[0].values
    strings = decoded.columns[4].parts[0]
    hashes = hasher.integers(integers)
    names = hasher.texts(strings.data, strings.starts, strings.lengths)
    show("  part: hash of integers", best(lambda: hasher.integers(integers), rounds))
    columns = (strings.data, strings.starts, strings.lengths)
    show("  part: hash of short strings", best(lambda: hasher.texts(*columns), rounds))
    show("  part: distinct sketch of hashes", best(lambda: DistinctSketch(10).add(hashes), rounds))
    show("  part: categories of hashes", best(lambda: grouped(names, 256), rounds))
    show("  part: moments", best(lambda: Moments.of(doubles), rounds))
    show("  part: quantiles, thinned", best(lambda: add_values(new_quantiles(64), doubles), rounds))
    show("  part: quantiles, value by value", best(lambda: new_quantiles(64).update(doubles), rounds))
    batch = Batch(*columns)
    show("distinct raw keys", best(lambda: ProfileBuilder(OPTIONS).add_keys(batch), rounds))

    rows = table(decoded)
    plain = best(lambda: plain_python(rows), min(rounds, 3))
    show(f"plain Python profile ({plain / whole:.1f} times)", plain)
    try:
        import polars
    except ImportError:
        print("Polars is not installed")
    else:
        frame = polars.DataFrame({str(number): row for number, row in enumerate(rows)})
        seconds = best(lambda: polars_profile(frame), rounds)
        show(f"Polars, all cores, no sketches ({seconds / whole:.1f} times)", seconds)

    for fields, few in ((100, 20), (300, 20), (100, 300)):
        small = wide(fields, few)
        full = best(lambda s=small: profiled(s), rounds * 5)
        tight = best(lambda s=small: profiled(s, 64 * 1024), rounds * 5)
        sizes = len(profiled(small)), len(profiled(small, 64 * 1024))
        print(
            f"{fields} fields, {few} records: {full * 1e3:.2f} ms and {sizes[0]:,} bytes; "
            f"within 64 KB {tight * 1e3:.2f} ms and {sizes[1]:,} bytes"
        )
    builder = ProfileBuilder(OPTIONS)
    builder.add(decoded)
    one = builder.finish(Decoder.COLUMNAR, Decoder.OPAQUE, 1 << 20)
    print(f"merging two six-field profiles: {best(lambda: merge_profiles(one, one), rounds * 5) * 1e6:.0f} us")


if __name__ == "__main__":
    main()
