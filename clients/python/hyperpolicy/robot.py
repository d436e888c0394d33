"""
A control loop at a fixed rate: observes, asks the server, applies a command, on a grid of periods that does not drift. Whatever becomes of
the server, every cycle has a command.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._checks import check_function, check_integer, check_number, check_time, shown
from ._commander import Commander, CommandMode
from ._connection import WAIT_MS_MAX
from ._stand_ins import now_ms
from ._stream_core import Outcome, Pending
from ._tensors import FloatArray, TensorLike
from .errors import HyperpolicyError, invalid_argument
from .results import ActResult
from .stream import ActStream

__all__ = ["Commander", "CommandMode", "Controller", "Cycle", "CycleSummary", "Observed"]

_CYCLE_COUNT_MAX = 60_000


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """
    An observation, [O], that was there before it was asked for, as one that a sensor brings at its own pace. It was made at `observed_at_ms`,
    milliseconds of `time.perf_counter`: its age counts from then.
    """

    observation: TensorLike
    observed_at_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """
    One cycle; times are milliseconds of `time.perf_counter`. `index` counts the periods since the start; it was due at `due_ms`, began
    `jitter_ms` after that, and took `took_ms` until its command was applied. `age_ms` is that of the newest answer's observation; `latency_ms`
    from its own request to the answer, None where none came while it waited; `version` gave the newest answer. `missed`: the next cycle was
    due by then. `skipped_count` periods before it were passed over. `problem` is the kind of the newest error since the last answer.
    """

    index: int
    due_ms: float
    jitter_ms: float
    took_ms: float
    mode: CommandMode
    age_ms: float
    latency_ms: float | None
    version: int
    missed: bool
    skipped_count: int
    problem: str | None
    command: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class CycleSummary:
    """Of the cycles in the log. `jitter_ms` has p50, p99, p999 and max, `latency_ms` p50 and p99; `modes` counts cycles by mode."""

    cycle_count: int
    cycles_per_second: float
    jitter_ms: dict[str, float]
    latency_ms: dict[str, float]
    missed_count: int
    skipped_count: int
    modes: dict[str, int]


class Controller:
    """
    `stream` gives the actions: open it with `resume`, and with `newest_wins`, so that the server answers no request that is overtaken. `observe`
    makes an observation, [O], once a cycle, which counts as made when it is returned, unless it is an `Observed`; `apply` gets the command, [A], and
    the cycle. A cycle waits `answer_ms_max` for the answer to its own observation; a later one serves the next cycles. `safe_policy`, where no single action is safe, gives the safe action for an observation, [A], in
    place of `safe_action`: it is called once a cycle, and while the loop stands still its last one stays. The others are those of `Commander`.

    Unless given: `age_ms_max` is ten periods, `ramp_ms` twenty, `interpolation_ms` 0, `watchdog_ms` three periods, `answer_ms_max` half of one.
    """

    def __init__(
        self,
        stream: ActStream,
        *,
        safe_action: Any,
        observe: Callable[[], TensorLike | Observed],
        apply: Callable[[FloatArray, Cycle], object],
        safe_policy: Callable[[TensorLike], Any] | None = None,
        period_ms: float = 10,
        answer_ms_max: float | None = None,
        age_ms_max: float | None = None,
        ramp_ms: float | None = None,
        interpolation_ms: float = 0,
        watchdog_ms: float | None = None,
        log_cycle_count_max: int = _CYCLE_COUNT_MAX,
    ) -> None:
        """Raises invalid_argument naming the option."""
        for name, function in (("observe", observe), ("apply", apply)):
            check_function(f"Controller {name}", function)
        if safe_policy is not None:
            check_function("Controller safe_policy", safe_policy)
        self._stream = stream
        self._observe, self._apply, self._safe_policy = observe, apply, safe_policy
        self._period_ms = period = check_time("Controller period_ms", period_ms)
        self._age_ms_max = 10 * period if age_ms_max is None else age_ms_max
        self._answer_ms_max = period / 2 if answer_ms_max is None else check_time("Controller answer_ms_max", answer_ms_max)
        self._commander = Commander(
            safe_action=safe_action,
            age_ms_max=self._age_ms_max,
            ramp_ms=20 * period if ramp_ms is None else ramp_ms,
            interpolation_ms=interpolation_ms,
            watchdog_ms=3 * period if watchdog_ms is None else watchdog_ms,
        )
        count = check_integer("Controller log_cycle_count_max", log_cycle_count_max, 1, 2**31 - 1)
        self._cycles: deque[Cycle] = deque(maxlen=count)
        # What the threads of the stream and those that ask for commands share.
        self._lock = threading.Lock()
        self._pending: deque[Pending] = deque()
        self._version = 0
        self._problem: str | None = None

    def run(self, cycle_count: int | None = None, stop: threading.Event | None = None) -> CycleSummary:
        """
        Runs in the caller's thread until the count of cycles or the event. The last command stays applied: see to it that the actuators are left
        as they should be. What `observe`, `safe_policy` and `apply` raise ends it. Raises invalid_argument where the count is none, or the time of an
        observation is still to come.
        """
        if cycle_count is not None:
            check_integer("Controller run cycle_count", cycle_count, 0, 2**53 - 1)
        begin_ms = now_ms()
        due = done = 0
        while (cycle_count is None or done < cycle_count) and not (stop is not None and stop.is_set()):
            _sleep_until(begin_ms + due * self._period_ms)
            # Where the loop stood still, the periods that are wholly over are passed over: their observations cannot be made any more.
            index = max(due, int((now_ms() - begin_ms) / self._period_ms))
            self._cycle(index, begin_ms + index * self._period_ms, index - due)
            due, done = index + 1, done + 1
        return self.summary()

    def command(self) -> FloatArray:
        """
        What actuators that are faster than the loop get now, [A]: interpolated, and on the way to safe where the loop stands still. From any
        thread.
        """
        with self._lock:
            return self._commander.command(now_ms())

    def cycles(self) -> list[Cycle]:
        """Those in the log, oldest first."""
        return list(self._cycles)

    def summary(self) -> CycleSummary:
        """Of the cycles in the log."""
        return _summary(self.cycles())

    def _cycle(self, index: int, due_ms: float, skipped_count: int) -> None:
        start_ms = now_ms()
        observed = _observed(self._observe(), now_ms())
        observation, observed_at_ms = observed.observation, observed.observed_at_ms
        latencies, settled = self._ask(observation, observed_at_ms)
        if self._safe_policy is not None:
            # Computed while the answer is on its way.
            safe_action = self._safe_policy(observation)
            with self._lock:
                self._commander.set_safe_action(safe_action)
        settled.wait(_wait_s(start_ms + self._answer_ms_max))
        with self._lock:
            at_ms = now_ms()
            mode = self._commander.decide(at_ms, observed_at_ms)
            cycle = Cycle(
                index=index,
                due_ms=due_ms,
                jitter_ms=start_ms - due_ms,
                took_ms=at_ms - start_ms,
                mode=mode,
                age_ms=self._commander.age_ms(at_ms),
                latency_ms=latencies[0] if latencies else None,
                version=self._version,
                missed=at_ms >= due_ms + self._period_ms,
                skipped_count=skipped_count,
                problem=self._problem,
                command=self._commander.command(at_ms),
            )
        self._apply(cycle.command, cycle)
        self._cycles.append(cycle)

    def _ask(self, observation: TensorLike, observed_at_ms: float) -> tuple[list[float], threading.Event]:
        """Sends a request. Returns what gets the time that its answer took, and the event that it has settled."""
        latencies: list[float] = []
        settled = threading.Event()
        asked_at_ms = now_ms()

        def settle(outcome: Outcome) -> None:
            """In a thread of the stream, which what is raised here would end."""
            try:
                if isinstance(outcome, BaseException):
                    self._miss(outcome)
                else:
                    self._take(outcome, observed_at_ms)
                    latencies.append(now_ms() - asked_at_ms)
            except Exception as error:  # noqa: BLE001: without an answer that fits, the commander decides
                self._miss(error)
            finally:
                settled.set()

        try:
            self._expire()
            given = {"observation": observation, "timeout_ms": self._age_ms_max}
            self._pending.append(self._stream._core.submit(given, settle))  # noqa: SLF001: of one package
        except Exception as error:  # noqa: BLE001: whatever it is, the cycle has its command
            self._miss(error)
            settled.set()
        return latencies, settled

    def _take(self, result: ActResult, observed_at_ms: float) -> None:
        """Raises failed_precondition where the action is not [A]."""
        with self._lock:
            if self._commander.take(result.action[0], observed_at_ms):
                self._version = result.version
            self._problem = None

    def _miss(self, error: BaseException) -> None:
        """There is no answer, for that reason."""
        kind = error.kind if isinstance(error, HyperpolicyError) else "internal"
        if kind == "superseded":
            return
        with self._lock:
            self._problem = kind

    def _expire(self) -> None:
        """Requests whose time is over settle."""
        at_ms = now_ms()
        while self._pending:
            first = self._pending[0]
            if first.settle is not None:
                if at_ms - first.sent_at_ms < first.times.wait_ms:
                    return
                self._stream._core.expire(first)  # noqa: SLF001: of one package
            self._pending.popleft()


def _observed(given: TensorLike | Observed, at_ms: float) -> Observed:
    """Raises invalid_argument: a time of another clock, by which no age could be told."""
    if not isinstance(given, Observed):
        return Observed(given, at_ms)
    where = "Controller observe observed_at_ms"
    observed_at_ms = check_number(where, given.observed_at_ms)
    if math.isfinite(observed_at_ms) and observed_at_ms <= at_ms:
        return given
    expected = f"a time of time.perf_counter in milliseconds, at most {at_ms}"
    raise invalid_argument(where, expected, shown(given.observed_at_ms), "Read 1000 * time.perf_counter() where it is made")


def _sleep_until(at_ms: float) -> None:
    remaining_s = _wait_s(at_ms)
    if remaining_s > 0:
        time.sleep(remaining_s)


def _wait_s(until_ms: float) -> float:
    return min(max(0.0, until_ms - now_ms()), WAIT_MS_MAX) / 1000


def _summary(cycles: list[Cycle]) -> CycleSummary:
    starts = [cycle.due_ms + cycle.jitter_ms for cycle in cycles]
    took_ms = starts[-1] - starts[0] if starts else 0.0
    jitter = np.array([cycle.jitter_ms for cycle in cycles] or [0.0])
    latency = np.array([cycle.latency_ms for cycle in cycles if cycle.latency_ms is not None] or [0.0])
    modes: dict[str, int] = dict.fromkeys(("fresh", "hold", "ramp", "safe"), 0)
    for cycle in cycles:
        modes[cycle.mode] += 1
    quantiles = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return CycleSummary(
        cycle_count=len(cycles),
        cycles_per_second=1000 * (len(cycles) - 1) / took_ms if took_ms > 0 else 0.0,
        jitter_ms={name: _quantile(jitter, part) for name, part in quantiles.items()},
        latency_ms={name: _quantile(latency, quantiles[name]) for name in ("p50", "p99")},
        missed_count=sum(cycle.missed for cycle in cycles),
        skipped_count=sum(cycle.skipped_count for cycle in cycles),
        modes=modes,
    )


def _quantile(values: Any, part: float) -> float:
    ordered = np.sort(values)
    return float(ordered[min(len(ordered) - 1, int(part * len(ordered)))])
