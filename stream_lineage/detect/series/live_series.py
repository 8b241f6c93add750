"""A series under observation: the state of a detector as a living object."""

from __future__ import annotations

import math

from stream_lineage.detect.detector import State
from stream_lineage.detect.series.clock import DAY, SeriesClock
from stream_lineage.detect.series.excursion import Excursion
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.novelty import HOURS, Novelty
from stream_lineage.detect.series.ramp import Ramp
from stream_lineage.detect.series.season import Season, slots_of
from stream_lineage.detect.series.spread import Spread, least_effect, scale_floor
from stream_lineage.detect.series.stuck import Stuck
from stream_lineage.detect.series.verdict import Phase, Verdict

_FURTHEST = 1e100
_FEWEST = 12  # values before which nothing can be told
_WARM_SECONDS = 2 * DAY
_WARM_VALUES = 24
_YOUNG_SECONDS = 3 * DAY
_HELD_BACK = 30  # values for which a novel one is not yet remembered
_NOVEL = 0.3
_OF_ALL = 0.02  # of the standard deviation of all values: no level is more certain
_RULES = 8  # four, to either side
_ECHO = 0.1  # novelty that goes on counts more than a novel moment
_LASTING = 16.0
_FIRST_DAY = 0.15  # what the first day tells of how far values lie out
_FIRST_DAY_VALUES = 50
_FEW_MOVES = 8
_MOST_UNTRIED = 6.5
"""Of a series that has hardly moved yet nobody knows how it moves: a single step of it is never far out."""
_SURPRISES = 5.0
"""How many more alarms there are than the tails that were seen let expect: the first burst of a series that will turn
out to burst comes from nowhere. Measured; docs/backtest.md has the figures."""
_STOOD = 60
"""Values after which a ratio that never moved is one that does not."""
_MONTH = 30 * DAY
_RESET = 4.0  # scales
_FIRST_WEEKEND = 0.15  # of a day's range: what a type of day may differ by that was not seen yet


class LiveSeries:
    """Give it one value after the other; ``state`` is JSON from which another one goes on exactly alike."""

    __slots__ = (
        "_bar",
        "_block",
        "_block_seconds",
        "_clock",
        "_echo",
        "_excursion",
        "_extra",
        "_fewest_of_slot",
        "_kind",
        "_knows_days",
        "_novelty",
        "_pending",
        "_ramp",
        "_season",
        "_seen",
        "_slot_seconds",
        "_slots",
        "_spread",
        "_steps",
        "_stuck",
        "_window",
    )

    def __init__(self, state: State, kind: SeriesKind, sensitivity: float, window_seconds: float) -> None:
        now = state["now"]
        self._kind = kind
        self._window = window_seconds
        self._slots = slots_of(window_seconds)
        self._slot_seconds = DAY / self._slots
        self._block_seconds = block_seconds(window_seconds)
        per_slot = max(1.0, self._slot_seconds / window_seconds)
        self._fewest_of_slot = min(_FEWEST, per_slot / 4)
        self._clock = SeriesClock(now["clock"], window_seconds)
        self._season = Season(now["season"], state["days"], self._slots)
        self._spread = Spread(now["spread"], state["spread"], self._slots, per_slot)
        self._novelty = Novelty(now["novelty"], state["novelty"])
        chance = sensitivity / _SURPRISES * self._block_seconds / _MONTH / _RULES
        bounded = kind is SeriesKind.COUNT
        self._excursion = Excursion(now["excursion"], chance, self._block_seconds / window_seconds, bounded)
        self._block: int | None = now["block"]
        self._seen: int = now["seen"]
        self._echo: float = now["echo"]
        self._stuck = Stuck(now["stuck"])
        self._ramp = Ramp(now["ramp"])
        self._extra: float = now["extra"]
        self._knows_days: bool = now["knows_days"]
        self._bar: float = now["bar"]
        self._steps: int = now["steps"]
        self._pending: list[list[float]] = [list(each) for each in now["pending"]]

    @staticmethod
    def initial() -> State:
        return {
            "now": {
                "clock": SeriesClock.initial(),
                "season": Season.initial(),
                "spread": Spread.initial(),
                "novelty": Novelty.initial(),
                "excursion": Excursion.initial(),
                "block": None,
                "seen": 0,
                "echo": 0.0,
                "stuck": Stuck.initial(),
                "ramp": Ramp.initial(),
                "extra": 0.0,
                "knows_days": False,
                "bar": 4.0,
                "steps": 3,
                "pending": [],
            },
            "days": "",
            "spread": "",
            "novelty": "",
        }

    def state(self) -> State:
        return {
            "now": {
                "clock": self._clock.state(),
                "season": self._season.state(),
                "spread": self._spread.state(),
                "novelty": self._novelty.state(),
                "excursion": self._excursion.state(),
                "block": self._block,
                "seen": self._seen,
                "echo": self._echo,
                "stuck": self._stuck.state(),
                "ramp": self._ramp.state(),
                "extra": self._extra,
                "knows_days": self._knows_days,
                "bar": self._bar,
                "steps": self._steps,
                "pending": [list(each) for each in self._pending],
            },
            "days": self._season.days_text(),
            "spread": self._spread.table_text(),
            "novelty": self._novelty.text(),
        }

    @property
    def ramps(self) -> bool:
        """Whether it only ever rises, or falls, but for where it starts again: then its height says nothing."""
        return self._ramp.ramps

    def observe(self, at: float, value: float | None, weight: float = 1.0) -> Verdict:
        """What to say of the value at ``at`` (seconds since the epoch); null where the window holds no data."""
        excursion = self._excursion
        if value is None or value != value:  # noqa: PLR0124  (not a number)
            return self._nothing(0.0)
        if not -_FURTHEST <= value <= _FURTHEST:
            value = min(max(value, -_FURTHEST), _FURTHEST)
        if not 1e-6 <= weight <= 1e12:
            weight = min(max(weight, 1e-6), 1e12) if weight == weight else 1.0  # noqa: PLR0124
        now = self._clock.advance(at)
        if now is None:
            hour = int(at % DAY / DAY * HOURS) % HOURS if math.isfinite(at) else 0
            return self._nothing(self._novelty.score(value, hour))
        hour = int(now % DAY / DAY * HOURS) % HOURS
        novel = self._novelty.score(value, hour)
        self._echo += _ECHO * (novel - self._echo)
        was_open = excursion.open
        self._go_on(now)
        season, spread = self._season, self._spread
        self._seen += 1
        if not season.seen and not season.points:
            season.take(value, anomalous=False)
            self._remember(value, hour, novel)
            return self._nothing(0.0)
        within = (now % self._slot_seconds + self._window / 2) / self._slot_seconds
        expected = season.expected(within if within < 1.0 else 1.0)
        residual = value - expected
        floor = scale_floor(self._kind, expected, weight)
        if self._kind is SeriesKind.LEVEL:
            floor += _OF_ALL * math.sqrt(self._novelty.moment)
        scale = spread.scale(residual, floor) + self._extra
        if weight != spread.weight:
            scale *= self._small_sample(weight)
        off = season.beyond(within, value, residual, scale)
        deviation = off / scale
        if (deviation >= _RESET or deviation <= -_RESET) and self._ramp.fell(off):  # a counter starts again, from here
            self._shift(residual)
            season.restart()
            residual = off = deviation = 0.0
        if spread.moved < _FEW_MOVES and not -_MOST_UNTRIED <= deviation <= _MOST_UNTRIED:
            deviation = min(max(deviation, -_MOST_UNTRIED), _MOST_UNTRIED)
        matters = self._seen > _FEWEST and abs(off) >= least_effect(self._kind, expected)
        stuck = self._stuck.take(value) if self._kind is SeriesKind.LEVEL else 0.0
        untried = self._kind is SeriesKind.RATIO and spread.moved < _FEW_MOVES and self._seen > _STOOD
        alert = excursion.judge(now, residual, deviation, matters, self._bar, self._steps, stuck, untried)
        if alert and not was_open and self._ramp.fell(off):  # so it does where that is less plain
            self._shift(residual)
            season.restart()
            excursion.close()
            alert = False
        if excursion.returned:
            self._shift(excursion.returned)
            excursion.returned = 0.0
        if alert:
            excursion.take(residual)
            spread.disown()
            if now - excursion.since <= self._slot_seconds:
                spread.reach(residual)
        else:
            spread.take(residual, floor)
            self._remember(value, hour, novel)
        season.take(value, anomalous=alert)
        phase: Phase = "open" if alert else "close" if was_open else "quiet"
        lasting = 4 * excursion.average * excursion.average
        odd = lasting / (lasting + _LASTING)
        if stuck:
            odd = max(odd, stuck / (stuck + 1))
        score = (2 * novel + 2 * self._echo + odd) / 5
        return Verdict(score, alert, expected, scale, deviation, self._warming_up(), phase)

    def _go_on(self, now: float) -> None:
        slot = int(now // self._slot_seconds)
        season = self._season
        if slot != season.slot and not season.put_off(slot, self._fewest_of_slot):
            ended = season.slot
            shifted = season.turn(slot)
            self._spread.turn(ended, slot)
            if self._kind is SeriesKind.LEVEL:
                self._ramp.turn(season.ended)
            if shifted is not None and self._excursion.open:
                self._excursion.shifted(shifted)
                self._accept(now)
            age = self._clock.age
            if not self._knows_days and age >= DAY:
                self._knows_days = True  # the first day was judged without knowing how days go
                self._excursion.forget(_FIRST_DAY)
                self._spread.count = min(self._spread.count, _FIRST_DAY_VALUES)
            self._bar = 1.0 + 3.0 * max(0.0, 1.0 - age / _YOUNG_SECONDS) ** 2
            self._steps = 1 if age >= _YOUNG_SECONDS else 2 if age >= _YOUNG_SECONDS / 2 else 3
            self._extra = 0.0 if season.known_weekday(slot) else _FIRST_WEEKEND * season.amplitude
        block = int(now // self._block_seconds)
        if block != self._block:
            if self._block is not None:
                self._excursion.turn(1.0 if not self._extra else _FIRST_DAY)
            self._block = block

    def _accept(self, now: float) -> None:
        """Declare what lasts the new normal."""
        excursion = self._excursion
        patience = max(min(self._clock.age / 4, DAY), 7200.0, 20 * self._window)
        by = excursion.settled(now, patience)
        if by is None:
            return
        self._shift(by)
        self._spread.mean = max(self._spread.mean, excursion.wild)
        excursion.accept(now, by)
        self._stuck = Stuck(Stuck.initial())

    def _shift(self, by: float) -> None:
        season = self._season
        if self._kind is SeriesKind.COUNT and season.level > 0 and season.level + by > 0:
            season.shift(0.0, (season.level + by) / season.level)
        else:
            season.shift(by, 1.0)

    def _remember(self, value: float, hour: int, novel: float) -> None:
        pending = self._pending
        if novel > _NOVEL:
            pending.append([self._seen + _HELD_BACK, value, hour])
        else:
            self._novelty.learn(value, hour)
        while pending and pending[0][0] <= self._seen:
            _, held, of = pending.pop(0)
            self._novelty.learn(held, int(of))

    def _small_sample(self, weight: float) -> float:
        """What to widen the scale by for a value of fewer samples than usual."""
        spread = self._spread
        usual = spread.weight or weight
        spread.weight = usual + (weight - usual) / min(self._seen, 100)
        if self._kind is SeriesKind.COUNT or weight >= usual:
            return 1.0
        return math.sqrt(usual / weight)

    def _warming_up(self) -> bool:
        return self._clock.age < _WARM_SECONDS or self._seen < _WARM_VALUES

    def _nothing(self, score: float) -> Verdict:
        alert = self._excursion.open
        return Verdict(score, alert, None, None, None, self._warming_up(), "open" if alert else "quiet")


def block_seconds(window_seconds: float) -> float:
    """How long the blocks are whose maxima make the thresholds: eight windows, ten minutes at least."""
    return max(8 * window_seconds, 600.0)
