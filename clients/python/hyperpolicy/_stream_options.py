"""What a stream and its requests may be given, and how long each may take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from ._checks import check_boolean, check_function, check_metadata, check_names, check_time, shown
from ._connection import WAIT_MS_MAX
from ._requests import INPUT_NAMES, UINT32_MAX, ActInputs, ModelSelection, check_budget, check_hold, common_fields
from .errors import invalid_argument


@dataclass(frozen=True, slots=True)
class ActStreamEvent:
    """
    `lost`: the connection or the server is gone, with `error`; what was pending has failed, or has its fallback; the next act opens the
    stream again. `resumed`: the first answer since, by `version`, after `lost_ms`. `ended`: nothing is answered any more, because of
    `error` unless it was closed.
    """

    kind: Literal["lost", "resumed", "ended"]
    error: BaseException | None = None
    version: int | None = None
    lost_ms: float | None = None


class StreamedActArguments(ActInputs, total=False):
    """One request of a stream; where times are not given, the stream's hold."""

    timeout_ms: float | None


class ActStreamArguments(ModelSelection, total=False):
    """
    `follow`: the newest version at each time. `newest_wins`: where several requests wait, only the newest is answered. `resume`: open again
    after a loss, with the version that it began with, unless it follows. `on_event` is called in a thread of its own, or in the event loop
    of an asyncio client.
    """

    fingerprint: str | None
    client_id: str | None
    timeout_ms: float | None
    age_ms_max: float | None
    follow: bool
    newest_wins: bool
    resume: bool
    on_event: Callable[[ActStreamEvent], object] | None
    metadata: Mapping[str, str] | None


_FIXED_NAMES = ("model", "version", "label", "fingerprint", "client_id")
_TIME_NAMES = ("timeout_ms", "age_ms_max")
_FLAG_NAMES = ("follow", "newest_wins", "resume")
_STREAM_NAMES = (*_FIXED_NAMES, *_FLAG_NAMES, "on_event", "metadata", *_TIME_NAMES)
_STREAMED_NAMES = (*_FIXED_NAMES, *INPUT_NAMES, *_TIME_NAMES)


def check_stream(where: str, given: Mapping[str, Any]) -> None:
    """Raises invalid_argument naming the option."""
    check_names(where, given, _STREAM_NAMES)
    common_fields(where, given)
    for name in _FLAG_NAMES:
        check_boolean(f"{where} {name}", given.get(name, False))
    on_event = given.get("on_event")
    if on_event is not None:
        check_function(f"{where} on_event", on_event)
    if given.get("metadata") is not None:
        check_metadata(f"{where} metadata", given["metadata"])
    _check_times(where, given)


def check_streamed_act(where: str, stream: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises invalid_argument naming the option."""
    check_names(where, given, _STREAMED_NAMES)
    _check_times(where, given)
    if "budget_us" in given:
        check_budget(where, given["budget_us"])
    for name in _FIXED_NAMES:
        if given.get(name) is None or given[name] == stream.get(name):
            continue
        expected = f"that of the stream, {shown(stream.get(name))}, or none"
        raise invalid_argument(f"{where} {name}", expected, shown(given[name]), "Open a stream for each")
    check_hold(where, given.get("fallback"), stream.get("client_id"))


def _check_times(where: str, given: Mapping[str, Any]) -> None:
    for name in _TIME_NAMES:
        if given.get(name) is not None:
            check_time(f"{where} {name}", given[name])


# Of a request without a budget, where neither stream nor client say how long.
_TIMEOUT_MS = 1000
# For the way of an answer that comes when its budget is over.
_WAY_MS = 50
# How long before its timeout, whoever names that, a request without a budget is answered by the server's fallback.
_MARGIN_MS = 10


@dataclass(slots=True, eq=False)
class Times:
    """`wait_ms` until the request settles."""

    wait_ms: float
    age_ms_max: float
    budget_us: int


def times_of(stream: Mapping[str, Any], given: Mapping[str, Any], client_timeout_ms: float | None) -> Times:
    """`client_timeout_ms` is what the client was made with; None where it was not told."""
    age_ms_max = _either(given.get("age_ms_max"), _either(stream.get("age_ms_max"), math.inf))
    named = _either(given.get("timeout_ms"), stream.get("timeout_ms"))
    budget_us = given.get("budget_us", 0)
    wait_ms = min(_timeout_ms(named, budget_us / 1000, client_timeout_ms), age_ms_max, WAIT_MS_MAX)
    # The server's own stand-in knows more than the client's: it comes first where there is a server.
    if budget_us == 0 and given.get("fallback") in ("hold", "safe"):
        budget_us = min(UINT32_MAX, math.ceil((wait_ms - min(_MARGIN_MS, wait_ms / 2)) * 1000))
    return Times(wait_ms, age_ms_max, budget_us)


def _timeout_ms(named: float | None, budget_ms: float, client_timeout_ms: float | None) -> float:
    if named is not None:
        return named
    if budget_ms == 0:
        return _TIMEOUT_MS if client_timeout_ms is None else client_timeout_ms
    with_way = budget_ms + max(_WAY_MS, budget_ms / 2)
    return with_way if client_timeout_ms is None else min(client_timeout_ms, with_way)


def _either(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
