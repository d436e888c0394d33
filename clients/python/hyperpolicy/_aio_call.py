"""A gRPC call of ActStream whose answers one task of the event loop reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

import grpc
import grpc.aio

from ._aio_connection import AioConnection
from ._stream_core import StreamCore
from .errors import lost_error

# The library's words for a message that it could not send.
_UNSENT = "Internal error from Core"
# Between that and the status of the call.
_STATUS_S_MAX = 0.1


class AioCall:
    """As _stream_core.Call."""

    def __init__(self, connection: AioConnection, headers: tuple[tuple[str, str], ...], core: StreamCore) -> None:
        self.heard_at_ms: float | None = None
        # The library takes one message after another.
        self._out: deque[bytes] = deque()
        self._is_finished = False
        self._writer: asyncio.Task[None] | None = None
        self._connection = connection
        self._core = core
        self._loop = asyncio.get_running_loop()
        self._link = connection.link("ActStream")
        self._stream = connection.stream(self._link, headers)
        # What the call ended with.
        self._status: asyncio.Future[tuple[grpc.StatusCode, str | None]] = self._loop.create_future()
        self._stream.add_done_callback(self._note_status)
        connection.spawn(self._read())

    def send(self, data: bytes) -> None:
        self._out.append(data)
        self._go_on()

    def finish(self) -> None:
        self._is_finished = True
        self._go_on()

    def cancel(self) -> None:
        self._out.clear()
        self._stream.cancel()

    def _go_on(self) -> None:
        # A task of its own: where an act is cancelled while it is sent, the library would end the whole call.
        if self._writer is None or self._writer.done():
            self._writer = self._loop.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._out:
                await self._stream.write(self._out.popleft())
            if self._is_finished:
                await self._stream.done_writing()
        except (Exception, asyncio.CancelledError):  # noqa: BLE001: how the call ended is read
            self._out.clear()

    async def _read(self) -> None:
        error: Exception | None = None
        try:
            while (data := await self._stream.read()) is not grpc.aio.EOF:
                self._core.receive(self, data)
        except (grpc.RpcError, asyncio.CancelledError):
            # Cancelled by either side, or with the loop.
            error = await self._error()
        except Exception as cause:  # noqa: BLE001: whatever ends the reading, what is pending settles
            error = cause
        self._stream.cancel()
        self._connection.forget(self._stream)
        self._core.end_call(self, error)

    async def _error(self) -> Exception:
        cut = self._connection.cut_error(self._link, "ActStream")
        if cut is not None:
            return cut
        try:
            code, details = await asyncio.wait_for(self._status, _STATUS_S_MAX)
        except (TimeoutError, asyncio.CancelledError):
            return lost_error("ActStream", self._connection.address, "its end")
        return self._connection.status_error(self._link, code, details, "ActStream", 0)

    def _note_status(self, call: Any) -> None:
        """Of a message that is sent when the call is over the library makes a status of its own, in place of the one that came."""
        code, details = _known(call.code()), _known(call.details())
        if details != _UNSENT and not self._status.done():
            self._status.set_result((code, details))


def _known(told: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        told.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("ActStream: the library told the end of a call that has none")
