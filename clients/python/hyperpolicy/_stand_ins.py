"""
What a client acts on when the server gives no answer: the last action that it got (`hold`), or the model's safe action (`safe`), which
it learns from GetModel while there is a server. Both are remembered for a bounded number of models and clients.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from ._tensors import FloatArray
from .errors import HyperpolicyError
from .results import ActResult, FallbackReason, FallbackTaken, ModelDescription, Timing

T = TypeVar("T")

# Models with a version or label, clients of a version, and requests without a version, that are remembered.
_COUNT_MAX = 64
# Between two tries to learn the same.
_LEARN_MS_MIN = 1000
_NO_TIMING = Timing(0, 0, 0, 0)

# Asks the server for a description: the fields of the selection, and what is called with it, if it comes.
Describe = Callable[[dict[str, Any], Callable[[ModelDescription], None]], None]


def now_ms() -> float:
    """Monotonic."""
    return time.perf_counter() * 1000


@dataclass(slots=True, eq=False)
class InPlaceOf:
    """For which request; `selection` has `model` and at most one of `version` and `label`."""

    selection: dict[str, Any]
    # None where the server does not check it against the version that answers.
    fingerprint: str | None
    context_handle: str | None
    client_id: str
    # Of the observation.
    rows: int
    columns: int
    sequence: int
    fallback: str | None
    # Of an action that is held.
    age_ms_max: float

    @property
    def wants_one(self) -> bool:
        return self.fallback in ("hold", "safe")


def reason_of(error: BaseException) -> FallbackReason | None:
    """Why the client answers in place of the server; None for errors that say something about the request."""
    if not isinstance(error, HyperpolicyError):
        return None
    if error.kind == "deadline_exceeded":
        return "timeout"
    return "unavailable" if error.kind == "unavailable" else None


@dataclass(slots=True)
class _Held:
    of: InPlaceOf
    action: FloatArray
    version: int
    weight_age_ms: float
    at_ms: float


@dataclass(slots=True)
class _Answered:
    version: int
    action_size: int


@dataclass(slots=True)
class _Safe:
    asked_at_ms: float
    described: ModelDescription | None = None


class StandIns:
    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self._lock = threading.Lock()
        # By version and client: another version may have other actions.
        self._held: OrderedDict[Hashable, _Held] = OrderedDict()
        # What answered last where the request leaves the version open.
        self._answered: OrderedDict[Hashable, _Answered] = OrderedDict()
        self._safe: OrderedDict[Hashable, _Safe] = OrderedDict()

    def learn(self, selection: dict[str, Any]) -> None:
        """Learns the safe action of a model, unless it is known; does not wait for it."""
        # A handle's model has no name to ask by.
        if not selection.get("model"):
            return
        with self._lock:
            entry = self._safe.get(_which(selection)) or _Safe(asked_at_ms=-_LEARN_MS_MIN)
            if entry.described is not None or now_ms() - entry.asked_at_ms < _LEARN_MS_MIN:
                return
            entry.asked_at_ms = now_ms()
            _put(self._safe, _which(selection), entry)

        def learned(described: ModelDescription) -> None:
            entry.described = described

        # Where none comes, it is asked for again; until it is known, the request's own error is what its caller gets.
        self._describe(selection, learned)

    def keep(self, of: InPlaceOf, result: ActResult, took_ms: float) -> None:
        """
        Learns from an answer which version answers, and keeps a copy of its action for a client that is named, unless the server held it;
        `took_ms` is its age, from the request on.
        """
        with self._lock:
            if of.selection.get("version") is None:
                _put(self._answered, _whose(of), _Answered(result.version, result.action.shape[1]))
            if result.fallback is None and of.client_id:
                # Callers may change what they get, such as to scale it in place.
                held = _Held(of, result.action.copy(), result.version, result.weight_age_ms, now_ms() - took_ms)
                _put(self._held, _whose(of, result.version), held)
        if of.wants_one and of.selection.get("version") != result.version:
            self.learn({"model": of.selection.get("model", ""), "version": result.version})

    def stand_in(self, of: InPlaceOf, reason: FallbackReason) -> ActResult | None:
        """None where there is nothing to act on: the request wants none, or neither action is known."""
        if not of.wants_one:
            return None
        with self._lock:
            last = self._answered.get(_whose(of))
            version = of.selection.get("version") if last is None else last.version
            if of.fallback == "hold":
                holding = _holding(of, self._held.get(_whose(of, version)), reason)
                if holding is not None:
                    return holding
            described = self._described({**of.selection, "version": version}) or self._described(of.selection)
        if described is None or not _fits(of, len(described.observation.names), described.fingerprint):
            return None
        # Of an earlier version than the one that answered last, with other specs.
        if last is not None and last.action_size != len(described.safe_action):
            return None
        return _safely(of, described, reason)

    def _described(self, selection: dict[str, Any]) -> ModelDescription | None:
        known = self._safe.get(_which(selection))
        return None if known is None else known.described


def _holding(of: InPlaceOf, held: _Held | None, reason: FallbackReason) -> ActResult | None:
    if held is None or held.of.rows != of.rows or not _fits(of, held.of.columns, held.of.fingerprint):
        return None
    age_ms = now_ms() - held.at_ms
    if age_ms > of.age_ms_max:
        return None
    taken = FallbackTaken("hold", reason, age_ms)
    return _bare(of, held.version, held.weight_age_ms + age_ms, held.action.copy(), taken)


def _safely(of: InPlaceOf, described: ModelDescription, reason: FallbackReason) -> ActResult:
    action = np.tile(described.safe_action.astype(np.float32), (of.rows, 1))
    weight_age_ms = (datetime.now(UTC) - described.published_at).total_seconds() * 1000
    return _bare(of, described.version, weight_age_ms, action, FallbackTaken("safe", reason, 0))


def _bare(of: InPlaceOf, version: int, weight_age_ms: float, action: FloatArray, fallback: FallbackTaken) -> ActResult:
    return ActResult(
        version=version,
        weight_age_ms=weight_age_ms,
        sequence=of.sequence,
        # The server had no part in it.
        timing=_NO_TIMING,
        action=action,
        log_prob=None,
        seed=None,
        fallback=fallback,
    )


def _fits(of: InPlaceOf, columns: int, fingerprint: str | None) -> bool:
    """Whether an action may be for a request: two observations, or fingerprints, that differ are of other specs."""
    return of.columns == columns and (not of.fingerprint or not fingerprint or of.fingerprint == fingerprint)


def _whose(of: InPlaceOf, version: int | None = None) -> Hashable:
    """Of that version where one is given. A request without a model is of its handle's."""
    selection = of.selection if version is None else {**of.selection, "version": version}
    return _which(selection), None if selection.get("model") else of.context_handle, of.client_id


def _which(selection: dict[str, Any]) -> Hashable:
    return selection.get("model"), selection.get("version") or selection.get("label")


def _put(entries: OrderedDict[Hashable, T], key: Hashable, value: T) -> None:
    """The one put longest ago goes first."""
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > _COUNT_MAX:
        entries.popitem(last=False)
