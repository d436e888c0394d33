"""A gRPC call of ActStream whose answers a thread of its own reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import grpc

from ._connection import Connection, Link
from ._stream_core import StreamCore
from .errors import closed_error, unavailable


class SyncCall:
    """As _stream_core.Call."""

    def __init__(self, connection: Connection, headers: tuple[tuple[str, str], ...], core: StreamCore) -> None:
        self.heard_at_ms: float | None = None
        self._out: SimpleQueue[bytes | None] = SimpleQueue()
        self._connection = connection
        self._core = core
        self._link = connection.link("ActStream")
        self._stream = _opened(connection, self._link, iter(self._out.get, None), headers)
        threading.Thread(target=self._read, name="hyperpolicy stream", daemon=True).start()

    def send(self, data: bytes) -> None:
        self._out.put(data)

    def finish(self) -> None:
        self._out.put(None)

    def cancel(self) -> None:
        self._out.put(None)
        self._stream.cancel()

    def _read(self) -> None:
        error: Exception | None = None
        try:
            for data in self._stream:
                self._core.receive(self, data)
        except grpc.RpcError as cause:
            error = self._connection.error(self._link, cause, "ActStream", 0)
        except Exception as cause:  # noqa: BLE001: whatever ends the reading, what is pending settles
            error = cause
            self._stream.cancel()
        # Lets go of the library's thread that sends.
        self._out.put(None)
        self._core.end_call(self, error)


def _opened(connection: Connection, link: Link, out: Iterator[bytes], headers: tuple[tuple[str, str], ...]) -> Any:
    try:
        return link.act_stream(out, metadata=headers)
    except ValueError:
        # The channel was closed between two lines.
        raise closed_error("ActStream") if connection.closed else unavailable(
            "ActStream", f"a connection to {connection.address} that holds", "none", "Retry with backoff"
        ) from None
