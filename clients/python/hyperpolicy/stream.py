"""A stream whose acts wait for their answers. May be used from several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Unpack

from ._exchanges import Core
from ._stream_core import Outcome, StreamCore, StreamState
from ._stream_options import ActStreamEvent, StreamedActArguments
from ._sync_call import SyncCall
from .results import ActResult


class ActStream(StreamState):
    """Made by `PolicyClient.act_stream`. Every act settles within its time: with an answer, a fallback, or an error."""

    def __init__(self, core: Core[Any], given: Any) -> None:
        self._events: SimpleQueue[ActStreamEvent] = SimpleQueue()
        self._core = StreamCore(core, given, self._events.put, open_call=SyncCall, later=_later)
        if given.get("on_event") is not None:
            threading.Thread(target=self._tell, args=(given["on_event"],), name="hyperpolicy events", daemon=True).start()

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

    def _tell(self, on_event: Any) -> None:
        """What a listener raises is its own, and not the stream's; it ends the telling, as in any thread."""
        while True:
            event = self._events.get()
            on_event(event)
            if event.kind == "ended":
                return


def _later(delay_s: float, action: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(delay_s, action)
    timer.daemon = True
    timer.start()
    return timer
