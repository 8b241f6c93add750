"""What of an effect remains when a cause is known: what else changed at the nodes that the cause leads to.

Where two causes meet, the first one hides the second: what deviates there began with the first. But the second one
changes it once more, or changes something else. What the first cause explains is taken away here, so that the same
search can be made for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from stream_lineage.explain.descent import among
from stream_lineage.explain.deviation import Scaled
from stream_lineage.explain.recording import Recording
from stream_lineage.explain.scales import Scales
from stream_lineage.explain.symptoms import FAINT, STRONG, Deviation, Symptoms

_MOST_CHANGES = 3
"""So many later changes of a series at most."""
_SPREADS = 3.0
"""A ratio of 1 is a change of so many standard errors."""
_UNSURE = 8.0
"""Places of a change that explain less by no more than this (in squared spreads) are as likely."""
_OF_FIRST = 0.03
"""A later change is this part of the first one, at least."""


class Remainder(Mapping[str, tuple[Deviation, ...]]):
    """The deviations of nodes, less what causes explain: worked out where it is asked for.

    ``causes`` are the deviations of the causes, all metrics of each; ``led_to`` the nodes that these lead to, of which
    nobody knows which changes belong together: each counts from the first to the last. ``without`` are left out: the
    causes, and what is upstream.
    """

    def __init__(
        self,
        recording: Recording,
        known: Symptoms,
        causes: tuple[Deviation, ...],
        led_to: frozenset[str],
        without: frozenset[str],
    ) -> None:
        self._recording, self._known = recording, known
        self._causes, self._led_to, self._without = causes, led_to, without
        self._left: dict[str, tuple[Deviation, ...]] = {}
        likely = (each for node in sorted(led_to - without) for each in known.deviations.get(node, ()))
        self._scales = Scales(recording, known, filter(_may_change, likely))

    def __getitem__(self, node: str) -> tuple[Deviation, ...]:
        if node in self._without:
            return ()
        own = self._known.deviations[node]
        if node not in self._led_to:
            return own
        changes = (*own, *self.left(node))
        first, last = min(each.earliest for each in changes), max(each.latest for each in changes)
        return tuple(replace(each, earliest=first, latest=last) for each in own)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known.deviations)

    def __len__(self) -> int:
        return len(self._known.deviations)

    def left(self, node: str) -> tuple[Deviation, ...]:
        """What no cause explains of a node that one leads to: what changed later, or in another metric."""
        if node not in self._left:
            found: list[Deviation] = []
            for each in self._known.deviations.get(node, ()):
                found += later_changes(self._recording, self._known, each, self._scales)
                found += [] if self._explained(each) else [each]
            self._left[node] = tuple(each for each in found if each.ratio >= STRONG)
        return self._left[node]

    def _explained(self, deviation: Deviation) -> bool:
        return any(
            (among(deviation.measure, [cause.measure]) or self._else(deviation, cause))
            and deviation.latest >= cause.earliest - max(self._known.step, deviation.step, cause.step)
            for cause in self._causes
        )

    def _else(self, deviation: Deviation, cause: Deviation) -> bool:
        """Whether a cause can only be seen in another metric there, and there only in another one than its own."""
        measured = self._known.measured
        return not among(cause.measure, measured.get(deviation.name.node, ())) and not among(
            deviation.measure, measured.get(cause.name.node, ())
        )


def later_changes(recording: Recording, known: Symptoms, deviation: Deviation, scales: Scales) -> list[Deviation]:
    """Where what deviates changes once more before the breach, each as a deviation by itself from what it was until
    then."""
    if not _may_change(deviation) or (in_scale := scales.of(deviation)) is None:
        return []
    at, (row, scaled) = recording.breach.at, in_scale
    when = row.timing
    times = when.times
    first = int(np.searchsorted(times, deviation.latest - at - 1e-6))
    last = int(np.searchsorted(times, deviation.last - at + 1e-6, side="right"))
    before = float(scaled.residuals[max(0, first - 8) : first].mean()) if first else 0.0
    found: list[Deviation] = []
    stretches = [(first, last)]
    while stretches and len(found) < _MOST_CHANGES:
        low, high = stretches.pop()
        change = _change(scaled, low, high, before)
        if change is None:
            continue
        ratio, place, earliest, latest = change
        stretches += [(low, place), (place, high)]
        if times[earliest] > max(known.step, when.step):
            continue  # what comes after the breach is not what was noticed
        usual, changed = (float(np.median(deviation.series.values[a:b])) for a, b in ((low, place), (place, high)))
        found.append(
            replace(
                deviation,
                ratio=ratio,
                shape="shift",
                onset=at + float(times[place]),
                earliest=at + float(times[earliest]),
                latest=at + float(times[latest]),
                usual=usual,
                found=changed,
            )
        )
    return found


def _may_change(deviation: Deviation) -> bool:
    return deviation.ratio >= STRONG and deviation.shape not in ("silence", "spike", "spread")


def _change(scaled: Scaled, low: int, high: int, before: float) -> tuple[float, int, int, int] | None:
    """Of a stretch the place that best parts it in two levels, with how sure that is, the last point that is surely of
    the first and the first that is surely of the second."""
    part = scaled.residuals[low:high]
    count = len(part)
    if count < 3:
        return None
    left = np.arange(1, count)
    sums = np.cumsum(part)
    means = sums[:-1] / left, (sums[-1] - sums[:-1]) / (count - left)
    apart = np.abs(means[1] - means[0])
    rough = float(np.median(np.abs(np.diff(part)))) / 0.954
    noise = max(scaled.spread, rough)
    inflation = (1 + scaled.memory) / (1 - scaled.memory)
    error = noise * np.sqrt(np.minimum(1, inflation / left) + np.minimum(1, inflation / (count - left)))
    gains = (apart / noise) ** 2 * left * (count - left) / count
    best = int(np.argmax(gains))
    ratio = float(apart[best] / (_SPREADS * error[best]))
    if ratio < FAINT or apart[best] < _OF_FIRST * abs(float(means[0][best]) - before):
        return None
    near = set(np.flatnonzero(gains[best] - gains <= min(_UNSURE * inflation, 0.25 * gains[best])).tolist())
    earliest = latest = best
    while earliest - 1 in near:
        earliest -= 1
    while latest + 1 in near:
        latest += 1
    return min(ratio, 1e6), low + best + 1, low + earliest, low + latest + 1
