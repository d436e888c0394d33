"""
A gRPC call of ActStream whose answers are taken where the library has them first: in its own thread, by what it calls to read a message. A caller
then waits for one thread less than where the library's iterator passes answers on. The iterator is read by a thread of the call, which
only asks for the next answer, and learns of the end.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import grpc

from ._connection import Connection
from ._stream_core import StreamCore
from .errors import closed_error, unavailable


class SyncCall:
    """As _stream_core.Call."""

    def __init__(self, connection: Connection, headers: tuple[tuple[str, str], ...], core: StreamCore) -> None:
        self.heard_at_ms: float | None = None
        self._out: SimpleQueue[bytes | None] = SimpleQueue()
        self._connection = connection
        self._core = core
        # What went wrong with an answer.
        self._fault: Exception | None = None
        self._link = connection.link("ActStream")
        self._stream = self._opened(headers)
        threading.Thread(target=self._read, name="hyperpolicy stream", daemon=True).start()

    def send(self, data: bytes) -> None:
        self._out.put(data)

    def finish(self) -> None:
        self._out.put(None)

    def cancel(self) -> None:
        self._out.put(None)
        self._stream.cancel()

    def _take(self, data: bytes) -> bytes:
        """In the library's thread, with its lock of the call. What it raises would end as the library's words: the reader raises it."""
        try:
            self._core.receive(self, data)
        except Exception as fault:  # noqa: BLE001: whatever it is, it ends the call
            self._fault = fault
        return data

    def _read(self) -> None:
        error: Exception | None = None
        try:
            for _ in self._stream:
                if self._fault is not None:
                    raise self._fault
        except grpc.RpcError as cause:
            error = self._connection.error(self._link, cause, "ActStream", 0)
        except Exception as cause:  # noqa: BLE001: whatever ends the reading, what is pending settles
            error = cause
            self._stream.cancel()
        # Lets go of the library's thread that sends.
        self._out.put(None)
        self._core.end_call(self, error)

    def _opened(self, headers: tuple[tuple[str, str], ...]) -> Any:
        try:
            return self._link.act_stream(self._take)(iter(self._out.get, None), metadata=headers)
        except ValueError:
            # The channel was closed between two lines.
            if self._connection.closed:
                raise closed_error("ActStream") from None
            expected = f"a connection to {self._connection.address} that holds"
            raise unavailable("ActStream", expected, "none", "Retry with backoff") from None
