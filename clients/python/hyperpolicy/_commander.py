"""
What a robot's actuators get at each time, as a function of the answers so far: the newest action while it is young enough, then a ramp to
the safe action. Knows neither clock nor network. The TypeScript commander (clients/robot/commander.ts) keeps the same cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ._checks import check_time
from ._tensors import FloatArray
from .errors import HyperpolicyError, invalid_argument

# `fresh`: the answer to the cycle's own observation. `hold`: that to an earlier one, still young enough. `ramp`: on the way to the safe
# action. `safe`: there, or nothing was ever answered.
CommandMode = Literal["fresh", "hold", "ramp", "safe"]


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    action: FloatArray
    observed_at_ms: float


class Commander:
    """Times are milliseconds of one monotonic clock. Not safe to share between threads."""

    def __init__(
        self, *, safe_action: Any, age_ms_max: float, ramp_ms: float, interpolation_ms: float, watchdog_ms: float
    ) -> None:
        """
        `safe_action`, [A], is where a ramp ends, `ramp_ms` after its start, until `set_safe_action` gives another. An action is applied until its
        observation is `age_ms_max` old, and never after; one action goes over into the next within `interpolation_ms`; without a cycle for
        `watchdog_ms` the ramp begins too. Raises invalid_argument naming the option.
        """
        self._safe = _safe_action(safe_action)
        self._age_ms_max = check_time("Commander age_ms_max", age_ms_max)
        self._ramp_ms = check_time("Commander ramp_ms", ramp_ms, or_zero=True)
        self._interpolation_ms = check_time("Commander interpolation_ms", interpolation_ms, or_zero=True)
        self._watchdog_ms = check_time("Commander watchdog_ms", watchdog_ms)
        self._newest: _Answer | None = None
        # From `from` to `target` since `set_at_ms`, and to the safe action since `expires_at_ms`.
        self._from = self._safe
        self._target = self._safe
        self._set_at_ms = 0.0
        self._expires_at_ms = -math.inf

    def take(self, action: FloatArray, observed_at_ms: float) -> bool:
        """
        Takes an answer, [A], which is kept; one to no newer observation than that of the newest is dropped. Returns whether it is the newest now.
        Raises failed_precondition where it is not [A]: an answer of another model.
        """
        if action.shape != self._safe.shape:
            expected = f"{self._safe.size} values, as the safe action has"
            raise HyperpolicyError("failed_precondition", "Commander action", expected, f"{action.size}")
        if self._newest is not None and observed_at_ms <= self._newest.observed_at_ms:
            return False
        self._newest = _Answer(action, observed_at_ms)
        return True

    def set_safe_action(self, action: Any) -> None:
        """From now on commands go to this safe action, [A], also those that are there already. Raises invalid_argument."""
        self._safe = _safe_action(action, self._safe.size)

    def decide(self, now_ms: float, observed_at_ms: float) -> CommandMode:
        """A cycle, whose observation was made at `observed_at_ms`: the newest answer is what to apply from now on."""
        newest = self._newest
        if newest is None or now_ms - newest.observed_at_ms > self._age_ms_max:
            return "ramp" if now_ms - self._expires_at_ms < self._ramp_ms else "safe"
        if newest.action is not self._target or now_ms > self._expires_at_ms:
            self._from = self.command(now_ms)
            self._target = newest.action
            self._set_at_ms = now_ms
        self._expires_at_ms = min(now_ms + self._watchdog_ms, newest.observed_at_ms + self._age_ms_max)
        return "fresh" if newest.observed_at_ms >= observed_at_ms else "hold"

    def command(self, now_ms: float) -> FloatArray:
        """What actuators get, [A]. May be asked at any time between cycles."""
        if now_ms <= self._expires_at_ms:
            return self._acting(now_ms)
        part = _share(now_ms - self._expires_at_ms, self._ramp_ms)
        return _between(self._acting(self._expires_at_ms), self._safe, part)

    def age_ms(self, now_ms: float) -> float:
        """Age of the newest answer's observation; infinite where there is none."""
        return math.inf if self._newest is None else now_ms - self._newest.observed_at_ms

    def _acting(self, now_ms: float) -> FloatArray:
        return _between(self._from, self._target, _share(now_ms - self._set_at_ms, self._interpolation_ms))


def _safe_action(action: Any, size: int | None = None) -> FloatArray:
    """A copy, of so many values where `size` is given."""
    given: FloatArray = np.array(action, dtype=np.float32)
    fits = given.ndim == 1 and given.size > 0 if size is None else given.shape == (size,)
    if not fits or not np.isfinite(given).all():
        raise invalid_argument("Commander safe action", f"{size or 'one or more'} finite values", f"{given.tolist()}")
    return given


def _share(elapsed_ms: float, duration_ms: float) -> float:
    """How much of a duration is over, from 0 to 1."""
    if elapsed_ms >= duration_ms:
        return 1.0
    return 0.0 if elapsed_ms <= 0 else elapsed_ms / duration_ms


def _between(start: FloatArray, end: FloatArray, part: float) -> FloatArray:
    if part == 1:
        return end.copy()
    result: FloatArray = (start + np.float32(part) * (end - start)).astype(np.float32)
    return result
