"""A stream whose acts wait for their answers. May be used from several threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Unpack

from ._connection import void
from ._exchanges import Core
from ._stream_core import Outcome, StreamCore, StreamState
from ._stream_options import ActStreamEvent, StreamedActArguments
from ._sync_call import SyncCall
from .results import ActResult


class ActStream(StreamState):
    """Made by `PolicyClient.act_stream`. Every act settles within its time: with an answer, a fallback, or an error."""

    def __init__(self, core: Core[Any], given: Any) -> None:
        on_event = given.get("on_event")
        events: SimpleQueue[ActStreamEvent] = SimpleQueue()
        # Without a listener nobody would take them out of the queue.
        tell: Callable[[ActStreamEvent], None] = void if on_event is None else events.put
        self._core = StreamCore(core, given, tell, open_call=SyncCall, later=_later)
        if on_event is not None:
            threading.Thread(target=_tell, args=(events, on_event), name="hyperpolicy events", daemon=True).start()

    def act(self, **given: Unpack[StreamedActArguments]) -> ActResult:
        """Raises HyperpolicyError as `act` of the client; `superseded` where a newer request took its place. The stream goes on."""
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        pending = self._core.submit(given, outcomes.put)
        try:
            outcome = outcomes.get(timeout=pending.times.wait_ms / 1000)
        except Empty:
            self._core.expire(pending)
            outcome = outcomes.get()
        except BaseException:
            # An interrupt from the keyboard.
            self._core.drop(pending)
            raise
        return self._core.hand_over(pending, outcome)

    def close(self) -> None:
        """Sends no more; what is pending in other threads still settles. Returns when all has."""
        over = threading.Event()
        self._core.close(over.set)
        over.wait()

    def __enter__(self) -> ActStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _tell(events: SimpleQueue[ActStreamEvent], on_event: Callable[[ActStreamEvent], object]) -> None:
    """What a listener raises is its own, and told as what ends a thread is: the stream and its next events go on."""
    while True:
        event = events.get()
        try:
            on_event(event)
        except BaseException:  # noqa: BLE001: whatever it is
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        if event.kind == "ended":
            return


def _later(delay_s: float, action: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(delay_s, action)
    timer.daemon = True
    timer.start()
    return timer
