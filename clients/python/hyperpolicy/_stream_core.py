"""
The client's side of ActStream: an answer per request, in order. Every request settles, whatever becomes of the server: with its answer,
a fallback, or an error. Over one gRPC call while that lasts, then over another, where the stream may go on. Who waits for an outcome, and
how, is the clients' own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from . import _messages as messages
from . import _requests as requests
from . import _responses as responses
from ._exchanges import Core, parsed
from ._stand_ins import InPlaceOf, now_ms, reason_of
from ._stream_options import ActStreamEvent, Times, check_stream, check_streamed_act, times_of
from ._tensors import Sender, row_count, row_size
from .errors import HyperpolicyError, closed_error, late_error, named_error, old_error, unavailable
from .results import ActResult, FallbackReason

# Requests that wait for the server, those that have settled without it included.
_PENDING_COUNT_MAX = 1024
# A call that is silent for so long, though something is pending, is given up where another may follow.
_SILENCE_MS_MAX = 1000
# Between the last answer and the server's end of a stream that was closed.
_FAREWELL_MS = 1000
# Of the client's own stand-ins, whose age was looked at.
_OWN_REASONS = ("timeout", "unavailable", "age")

Outcome = ActResult | BaseException


@dataclass(slots=True, eq=False)
class Pending:
    """A request until its answer comes; it may have settled before."""

    of: InPlaceOf
    sent_at_ms: float
    times: Times
    # None once it has settled. Called with the lock held: it may only pass the outcome on.
    settle: Callable[[Outcome], None] | None


class Call(Protocol):
    """
    One gRPC call of ActStream: messages out, messages in, one end. A stream may have several after each other. It tells its core what it
    receives, and then that it has ended.
    """

    heard_at_ms: float | None

    def send(self, data: bytes) -> None: ...

    def finish(self) -> None:
        """Sends no more; what was sent is still answered."""

    def cancel(self) -> None:
        """
        Ends at once. What it then tells is of a call that the stream has left. Called without the core's lock: while a message is received, the
        call may hold a lock of its own and wait for that one.
        """


class Timer(Protocol):
    def cancel(self) -> None: ...


class StreamCore:
    """All methods may be called from any thread, where its calls and timers may."""

    def __init__(
        self,
        core: Core[Any],
        given: Mapping[str, Any],
        tell: Callable[[ActStreamEvent], None],
        *,
        open_call: Callable[[Any, tuple[tuple[str, str], ...], StreamCore], Call],
        later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        """`open_call` opens a call with its header fields; `later` calls after so many seconds. Raises invalid_argument naming the option."""
        check_stream("ActStream", given)
        self._connection = core.connection
        self._stand_ins = core.stand_ins
        self._client_timeout_ms = core.told_timeout_ms
        self._sender = Sender("ActStream", core.connection.address)
        self._options = dict(given)
        self._tell = tell
        self._open_call = open_call
        self._later = later
        self._lock = threading.RLock()
        self._call: Call | None = None
        self._pending: deque[Pending] = deque()
        self._sequence = 0
        # Whether a server has taken it on, and with which version.
        self._begun = False
        self.version: int | None = None
        self._lost_at_ms: float | None = None
        self.closed = False
        self.ended = False
        self.error: BaseException | None = None
        self._farewell: Timer | None = None
        self._over_listeners: list[Callable[[], None]] = []
        self._forget = self._connection.on_close(lambda: self._cut(closed_error("ActStream")))
        if not self._connection.closed:
            # The connection is under way before the first request.
            self._connection.link("ActStream")

    def submit(self, given: Mapping[str, Any], settle: Callable[[Outcome], None]) -> Pending:
        """
        Sends a request. `settle` is called once, from any thread; `hand_over` makes of its outcome what the caller gets. Raises for what is
        wrong with the request; the stream goes on.
        """
        with self._lock:
            if self._connection.closed:
                raise closed_error("ActStream")
            if self.closed:
                raise self.error or _stream_over()
            check_streamed_act("Act", self._options, given)
            times = times_of(self._options, given, self._client_timeout_ms)
            request = messages.ActStreamRequest()
            act = request.act
            requests.set_inputs(act, "Act", given)
            act.budget_us = times.budget_us
            if len(self._pending) >= _PENDING_COUNT_MAX:
                raise _too_many_pending()
            of = InPlaceOf(
                selection=self._selection(),
                # Of the first request alone: versions that follow are not checked.
                fingerprint=None if self._options.get("follow") else self._options.get("fingerprint"),
                context_handle=given.get("context_handle"),
                client_id=self._options.get("client_id") or "",
                rows=row_count(act.observation),
                columns=row_size(act.observation),
                sequence=self._sequence + 1,
                fallback=given.get("fallback"),
                age_ms_max=times.age_ms_max,
            )
            pending = Pending(of, now_ms(), times, settle)
            if of.wants_one:
                self._stand_ins.learn(of.selection)
            if self.ended:
                self._replace(pending, self.error or _stream_over())
                return pending
            act.client_id = of.client_id
            act.sequence = of.sequence
            if self._call is None:
                own = {name: self._options.get(name) for name in ("fingerprint", "client_id")}
                act.MergeFrom(messages.ActRequest(**requests.common_fields("Act", {**of.selection, **own})))
            request.follow = self._options.get("follow", False)
            request.newest_wins = self._options.get("newest_wins", False)
            data = self._connection.encoded("ActStream", request)
            if self._call is None:
                self._call = self._open(given)
            self._sequence = of.sequence
            self._pending.append(pending)
            self._call.send(data)
            return pending

    def _selection(self) -> dict[str, Any]:
        """Which version is asked for: once one has answered, it stays."""
        if self.version is not None:
            return {"model": self._options["model"], "version": self.version}
        return {name: self._options[name] for name in requests.SELECTION_NAMES if self._options.get(name) is not None}

    def _open(self, given: Mapping[str, Any]) -> Call:
        key = requests.routing_key({**given, "client_id": self._options.get("client_id")})
        headers = self._connection.metadata(self._options.get("metadata"), key)
        return self._open_call(self._connection, headers, self)

    def hand_over(self, pending: Pending, outcome: Outcome) -> ActResult:
        """What the caller gets, at the time when it gets it: not what has become too old since. Raises the error that it settled with."""
        if isinstance(outcome, BaseException):
            raise outcome
        taken = outcome.fallback
        if taken is not None and taken.reason in _OWN_REASONS:
            return outcome
        age_ms = max(now_ms() - pending.sent_at_ms, 0 if taken is None else taken.age_ms)
        if age_ms <= pending.times.age_ms_max:
            return outcome
        return self._otherwise(pending.of, old_error("ActStream", pending.times.age_ms_max, age_ms), "age")

    def receive(self, call: Call, data: bytes) -> None:
        response = parsed(self._sender, messages.ActStreamResponse, data)
        kind = response.WhichOneof("result")
        if kind is None:
            raise self._sender.unusable("a response with neither an answer nor an error")
        result = getattr(response, kind)
        with self._lock:
            if call is not self._call:
                return
            call.heard_at_ms = now_ms()
            own = self._answered(result.sequence)
            if own is None:
                return
            if kind == "error":
                self._go_on(0)
                self._settle(own, named_error(result.status, result.text))
                return
            if not self._options.get("follow") and self.version is None and result.version > 0:
                self.version = result.version
            self._go_on(result.version)
            self._deliver(own, result)

    def _answered(self, sequence: int) -> Pending | None:
        """Takes the request out, and those before it, which were superseded: the server answers in order."""
        if self._pending and self._pending[0].of.sequence == sequence:
            return self._pending.popleft()
        if not any(pending.of.sequence == sequence for pending in self._pending):
            return None
        while True:
            pending = self._pending.popleft()
            if pending.of.sequence == sequence:
                return pending
            self._settle(pending, _superseded())

    def _go_on(self, version: int) -> None:
        """The server has it in hand, for the first time or again."""
        self._begun = True
        if self._lost_at_ms is None:
            return
        self._tell(ActStreamEvent("resumed", version=version, lost_ms=now_ms() - self._lost_at_ms))
        self._lost_at_ms = None

    def _deliver(self, own: Pending, response: Any) -> None:
        if own.settle is None:
            return
        try:
            result = responses.act_result(self._sender, response, own.of.rows)
        except HyperpolicyError as error:
            self._settle(own, error)
            return
        self._stand_ins.keep(own.of, result, now_ms() - own.sent_at_ms)
        self._settle(own, result)

    def expire(self, own: Pending) -> None:
        """Its time is over: it settles now, unless it has."""
        with self._lock:
            given_up = self._expired(own)
        if given_up is not None:
            given_up.cancel()

    def _expired(self, own: Pending) -> Call | None:
        """Returns the call that is given up with it."""
        if own.settle is None:
            return None
        self._replace(own, late_error("ActStream", self._connection.address, own.times.wait_ms))
        call = self._call
        if call is None:
            return None
        if call.heard_at_ms is None:
            if any(pending.settle is not None for pending in self._pending):
                return None
            # Nothing came of it yet, and nobody waits for it: what was sent is not to be answered later.
            self._call = None
            self._pending.clear()
            return call
        if not self._options.get("resume"):
            return None
        since_ms = max(call.heard_at_ms, self._pending[0].sent_at_ms if self._pending else 0)
        # Its own wait counts whole: a timer may fire a little early by the clock that is read here.
        waited_ms = own.times.wait_ms if call.heard_at_ms < own.sent_at_ms else 0
        if max(now_ms() - since_ms, waited_ms) < _SILENCE_MS_MAX:
            return None
        self.end_call(call, unavailable("ActStream", f"an answer of {self._connection.address}", "silence"))
        return call

    def drop(self, own: Pending) -> None:
        """Its caller has given it up."""
        with self._lock:
            self._settle(own, closed_error("ActStream"))

    def end_call(self, call: Call, cause: Exception | None) -> None:
        """The call is over, and what was sent over it with it. `cause` is None where the server has ended it well."""
        error = cause or _ended()
        with self._lock:
            if call is not self._call:
                return
            self._call = None
            lost, self._pending = self._pending, deque()
            for pending in lost:
                self._replace(pending, error)
            if self.closed:
                self._end(None)
            # A stream that no server has taken on is where it was: a first request that is refused costs only itself.
            elif self._begun and not self._options.get("resume"):
                self._end(error)
            elif self._begun and self._lost_at_ms is None:
                self._lost_at_ms = now_ms()
                self._tell(ActStreamEvent("lost", error=error))

    def _end(self, error: BaseException | None) -> None:
        """`error` is None where it was closed."""
        if self.ended:
            return
        self.ended = True
        self.error = self.error or error
        if self._farewell is not None:
            self._farewell.cancel()
        self._forget()
        self._tell(ActStreamEvent("ended", error=error))
        for listener in self._over_listeners:
            listener()

    def close(self, over: Callable[[], None]) -> None:
        """Sends no more; what is pending still settles. Calls `over` when all has."""
        with self._lock:
            if self.ended:
                self.closed = True
                over()
                return
            self._over_listeners.append(over)
            if self.closed:
                return
            self.closed = True
            if self._call is None:
                self._end(None)
                return
            self._call.finish()
            self._bid_farewell()

    def _bid_farewell(self) -> None:
        """A server that does not end what was closed is not waited for."""
        waits = self.ended or any(pending.settle is not None for pending in self._pending)
        if waits or self._call is None or self._farewell is not None:
            return
        call = self._call
        self._farewell = self._later(_FAREWELL_MS / 1000, lambda: self._leave(call))

    def _leave(self, call: Call) -> None:
        self.end_call(call, None)
        call.cancel()

    def _cut(self, reason: Exception) -> None:
        """Ends at once, from this side."""
        with self._lock:
            self.closed = True
            if self.ended:
                return
            self.error = reason
            call, self._call = self._call, None
            pending, self._pending = self._pending, deque()
            for one in pending:
                self._settle(one, reason)
            self._end(reason)
        if call is not None:
            call.cancel()

    def _otherwise(self, of: InPlaceOf, error: BaseException, reason: FallbackReason | None = None) -> ActResult:
        """What a request gets in place of an answer. Raises `error` where there is nothing."""
        why = reason or reason_of(error)
        result = None if why is None else self._stand_ins.stand_in(of, why)
        if result is None:
            raise error
        return result

    def _replace(self, own: Pending, error: BaseException) -> None:
        if own.settle is None:
            return
        try:
            self._settle(own, self._otherwise(own.of, error))
        except BaseException as refused:  # noqa: BLE001: it is `error`
            self._settle(own, refused)

    def _settle(self, own: Pending, outcome: Outcome) -> None:
        """A request settles once."""
        settle, own.settle = own.settle, None
        if settle is not None:
            settle(outcome)
        if self.closed:
            self._bid_farewell()


class StreamState:
    """What a stream tells of itself, whether its acts wait or are awaited."""

    _core: StreamCore

    @property
    def closed(self) -> bool:
        """No more requests are taken: `close` was called, or the client was closed."""
        return self._core.closed

    @property
    def ended(self) -> bool:
        """No more requests are answered by a server: the stream was closed, or was lost without `resume`."""
        return self._core.ended

    @property
    def error(self) -> BaseException | None:
        """Why it ended; None where it did not, or was closed."""
        return self._core.error

    @property
    def version(self) -> int | None:
        """The version that it began with; None before the first answer, and where it follows."""
        return self._core.version


def _stream_over() -> HyperpolicyError:
    where = "ActStream: the stream has ended"
    return HyperpolicyError("failed_precondition", where, "an open one", "one that was closed", "Open another")


def _ended() -> HyperpolicyError:
    return unavailable("ActStream", "a stream that goes on", "its end", "Open another")


def _superseded() -> HyperpolicyError:
    return HyperpolicyError("superseded", "ActStream", "the newest request", "one that a newer superseded")


def _too_many_pending() -> HyperpolicyError:
    expected = f"at most {_PENDING_COUNT_MAX} requests that the server has not answered"
    remedy = "Wait for answers, or open the stream with newest_wins"
    return HyperpolicyError("resource_exhausted", "ActStream", expected, "one more", remedy)
