"""If this failed, a baseline could be larger than what brokers take, or give up more than it must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.encoding import encode_profile
from stream_lineage.profile.fitting import fitted
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.profile.reading import quantile
from stream_lineage.wire.columns import Decoded, FieldColumn, Numbers, Texts
from stream_lineage.wire.text_buffer import text_buffer


def profile(fields: int) -> Profile:
    random = np.random.default_rng(1)
    builder = ProfileBuilder(ProfileOptions(hash_key=b"k", quantiles_k=200))
    columns = [FieldColumn(f"n{n}", 5_000, parts=[Numbers("number", random.normal(size=5_000))]) for n in range(fields)]
    words = [b"word %d" % word for word in random.integers(0, 200, 5_000)]
    columns.append(FieldColumn("words", 5_000, parts=[Texts("string", *text_buffer(words))]))
    builder.add(Decoded(5_000, columns, []))
    return builder.finish(Decoder.JSON, Decoder.OPAQUE, 1 << 30)


def test_sketches_that_would_not_become_smaller_stay() -> None:
    builder = ProfileBuilder(ProfileOptions(hash_key=b"k", quantiles_k=200))
    few, many = np.array([1.0, 2.0, 4.0]), np.random.default_rng(1).normal(size=50_000)
    columns = [FieldColumn("few", 3, parts=[Numbers("number", few)])]
    columns += [FieldColumn(f"many{n}", 50_000, parts=[Numbers("number", many)]) for n in range(20)]
    builder.add(Decoded(50_000, columns, []))
    whole = builder.finish(Decoder.JSON, Decoder.OPAQUE, 1 << 30)
    found = fitted(whole, len(encode_profile(whole)) * 2 // 3)
    assert len(encode_profile(found)) <= len(encode_profile(whole)) * 2 // 3
    assert found.fields[0] == whole.fields[0]
    assert found.fields[1].numeric != whole.fields[1].numeric


@pytest.mark.parametrize("share", [1.2, 0.9, 0.6, 0.3, 0.15, 0.05, 0.02, 0.0])
def test_it_fits(share: float) -> None:
    whole = profile(30)
    budget = int(len(encode_profile(whole)) * share)
    found = fitted(whole, budget)
    if share > 1:
        assert found == whole
        return
    bare = len(encode_profile(replace(whole, fields=())))
    assert len(encode_profile(found)) <= max(budget, bare + 16)
    assert len(found.fields) + found.truncated_fields == 31
    for field in found.fields:
        assert field.slots == 5_000
        median = quantile(field, 0.5)
        assert median is None or abs(median) < 0.25
    if share >= 0.3:
        assert found.truncated_fields == 0
        assert all(field.numeric is None or field.numeric.quantiles for field in found.fields)
