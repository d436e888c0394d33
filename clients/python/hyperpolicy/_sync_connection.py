"""The connection of a client whose calls wait, by gRPC's library of threads. All methods may be called from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import grpc

from ._connection import LOOK_MS, CallSettings, Connection, Link
from .errors import closed_error, lost_error


class SyncLink(Link):
    def __init__(self, channel: grpc.Channel, is_watched: bool) -> None:
        """`is_watched` is whether `is_connected` will be asked: the library starts a thread to know the answer."""
        super().__init__(channel)
        self._state: grpc.ChannelConnectivity | None = None
        if is_watched:
            channel.subscribe(self._note_state)

    def is_connected(self) -> bool:
        """As Link."""
        return self._state is grpc.ChannelConnectivity.READY

    def _note_state(self, state: grpc.ChannelConnectivity) -> None:
        self._state = state


class _Ended:
    """In place of a channel, and of what calls over it: raises as the library does for one that was closed."""

    def __call__(self, *_arguments: Any, **_how: Any) -> NoReturn:
        raise ValueError("the channel was closed")

    future = stream_stream = __call__

    def close(self) -> None:
        """It is."""


_ENDED = _Ended()


class SyncConnection(Connection):
    def __init__(self, where: str, address: str, options: Mapping[str, Any]) -> None:
        """As Connection."""
        super().__init__(where, address, options)
        self._stop = threading.Event()

    def call(self, method: str, request: Any, settings: CallSettings) -> bytes:
        """Calls a method and waits for its response."""
        link, data, how = self.prepared(method, request, settings)
        try:
            response: bytes = link.unary[method](data, **how)
        except grpc.RpcError as error:
            raise self.error(link, error, method, settings.timeout_ms) from None
        except ValueError:
            raise self._channel_error(link, method) from None
        return response

    def start(self, method: str, request: Any, settings: CallSettings, done: Callable[[bytes | Exception], None]) -> None:
        """As Connection; `done` is called in another thread."""
        link, data, how = self.prepared(method, request, settings)
        try:
            call = link.unary[method].future(data, **how)
        except ValueError:
            raise self._channel_error(link, method) from None

        def tell(_: object) -> None:
            if call.code() is grpc.StatusCode.OK:
                done(call.result())
            else:
                done(self.error(link, call, method, settings.timeout_ms))

        call.add_done_callback(tell)

    def close(self) -> None:
        """Ends the connection and what is open on it."""
        link = self._leave()
        self._stop.set()
        if link is not None:
            self._end(link)

    def _open(self) -> SyncLink:
        if self._credentials is None:
            channel = grpc.insecure_channel(self.address, options=self._channel_options)
        else:
            channel = grpc.secure_channel(self.address, self._credentials, options=self._channel_options)
        return SyncLink(channel, is_watched=self._keepalive_ms > 0)

    def _end(self, link: Link) -> None:
        """
        Ends what is open on the link, and deletes the channel. At the end of the program the library's threads stop anywhere, also with a lock
        that a channel takes when it is deleted: deleted then, it would wait for ever.
        """
        channel, link.channel, link.health = link.channel, _ENDED, _ENDED
        link.unary = dict.fromkeys(link.unary, _ENDED)
        channel.close()

    def _channel_error(self, link: Link, method: str) -> Exception:
        """The library's ValueError for a channel that was closed between two lines."""
        if link.lost is None or self.closed:
            return closed_error(method)
        return lost_error(method, self.address, link.lost)

    def _watch(self) -> None:
        threading.Thread(target=self._watch_link, name="hyperpolicy watch", daemon=True).start()

    def _watch_link(self) -> None:
        while not self._stop.wait(LOOK_MS / 1000):
            link = self._silent_link()
            if link is not None:
                self._end(link)

    def _ping(self, link: Link, hear: Callable[[], None]) -> None:
        try:
            ping = link.health.future(b"", metadata=self.metadata(None, None))
        except ValueError:
            return  # The client was closed meanwhile.
        ping.add_done_callback(lambda _ping: hear())
