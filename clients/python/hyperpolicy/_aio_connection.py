"""The connection of a client whose calls are awaited, by grpc.aio. It belongs to one event loop, in which all of its methods are called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import grpc
import grpc.aio

from ._connection import LOOK_MS, CallSettings, Connection, Link


class AioLink(Link):
    def is_connected(self) -> bool:
        """As Link."""
        return bool(self.channel.get_state() is grpc.ChannelConnectivity.READY)


class AioConnection(Connection):
    def __init__(self, where: str, address: str, options: Mapping[str, Any]) -> None:
        """As Connection. May be made where no loop runs."""
        super().__init__(where, address, options)
        # The loop itself does not keep its tasks from being collected.
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        # What is open, and is ended with its link.
        self._calls: dict[Any, Link] = {}

    async def call(self, method: str, request: Any, settings: CallSettings) -> bytes:
        """Calls a method and awaits its response. Where the task is cancelled the call is given up."""
        link, data, how = self.prepared(method, request, settings)
        call = link.unary[method](data, **how)
        self._calls[call] = link
        try:
            response: bytes = await call
        except grpc.RpcError as error:
            raise self.error(link, error, method, settings.timeout_ms) from None
        except asyncio.CancelledError:
            # The library's word, too, for a call that was cut from this side.
            cut = self.cut_error(link, method)
            if cut is None or _is_cancelled():
                raise
            raise cut from None
        finally:
            del self._calls[call]
        return response

    def start(self, method: str, request: Any, settings: CallSettings, done: Callable[[bytes | Exception], None]) -> None:
        """As Connection; `done` is called in a task of its own."""
        self.link(method)

        async def tell() -> None:
            outcome: bytes | Exception
            try:
                outcome = await self.call(method, request, settings)
            except Exception as error:  # noqa: BLE001: it is told
                outcome = error
            done(outcome)

        self.spawn(tell())

    def stream(self, link: Link, headers: tuple[tuple[str, str], ...]) -> Any:
        """Opens a call of ActStream, which ends with its link; `forget` it when it is over."""
        call = link.act_stream()(metadata=headers)
        self._calls[call] = link
        return call

    def forget(self, call: Any) -> None:
        self._calls.pop(call, None)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task of which nobody waits for the end."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Ends the connection and what is open on it."""
        link = self._leave()
        if self._watching is not None:
            self._watching.cancel()
        if link is not None:
            await self._end(link)

    def _open(self) -> AioLink:
        if self._credentials is None:
            return AioLink(grpc.aio.insecure_channel(self.address, options=self._channel_options))
        return AioLink(grpc.aio.secure_channel(self.address, self._credentials, options=self._channel_options))

    async def _end(self, link: Link) -> None:
        for call in [call for call, of in self._calls.items() if of is link]:
            call.cancel()
        await link.channel.close()

    def _watch(self) -> None:
        self._watching = self.spawn(self._watch_link())

    async def _watch_link(self) -> None:
        while not self.closed:
            await asyncio.sleep(LOOK_MS / 1000)
            link = self._silent_link()
            if link is not None:
                await self._end(link)

    def _ping(self, link: Link, hear: Callable[[], None]) -> None:
        async def ask() -> None:
            call = link.health(b"", metadata=self.metadata(None, None))
            self._calls[call] = link
            try:
                await call.code()
                hear()
            finally:
                del self._calls[call]

        self.spawn(ask())


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
