"""
The connection of a client: address, transport security, token, metadata, limits; and when a server counts as gone. How its calls are made and
who waits is that of _sync_connection.py and _aio_connection.py.
"""

from __future__ import annotations

import os
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import grpc

from . import _messages as messages
from ._checks import check_address, check_boolean, check_integer, check_metadata, check_text, check_time, check_token, shown
from ._direct_hosts import is_direct
from .errors import client_error, closed_error, invalid_argument, lost_error, too_large_error


@dataclass(frozen=True, slots=True)
class Tls:
    """
    Transport security. `authority` signed the server's certificate (the system's authorities unless given); `certificate` and `key` are
    the client's own, for servers that ask for one: bytes of PEM files. `server_name` is the one in the certificate, where it is not that
    of the address.
    """

    authority: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str | None = None


class ConnectionOptions(TypedDict, total=False):
    """The README says what each means."""

    tls: Tls | None
    token: str | None
    metadata: Mapping[str, str] | None
    message_bytes_max: int
    keepalive_ms: float
    keepalive_timeout_ms: float
    connect_timeout_ms: float
    reconnect_ms_max: float
    http_proxy: bool


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Of one call, checked: `timeout_ms` to wait for the answer; `metadata` beside the client's; what a balancer may tell servers by."""

    timeout_ms: float
    metadata: Mapping[str, str] | None
    routing_key: str | None


CONNECTION_DEFAULTS: dict[str, Any] = {
    "tls": None,
    "token": None,
    "metadata": None,
    "message_bytes_max": 4 * 1024 * 1024,
    "keepalive_ms": 200,
    "keepalive_timeout_ms": 600,
    "connect_timeout_ms": 500,
    "reconnect_ms_max": 250,
    "http_proxy": False,
}

# Waits beyond 24.8 days count as that.
WAIT_MS_MAX = 2**31 - 1
# The first pause between two tries to connect.
_RECONNECT_MS_MIN = 100
# How often the connection is looked at. What was busy for longer has waited for so long.
LOOK_MS = 50
_ROUTING_KEY_NAME = "hyperpolicy-routing-key"
_HEALTH_PATH = "/grpc.health.v1.Health/Check"
_UNARY_METHODS = ("Act", "QGrad", "Adapt", "Prepare", "ListModels", "GetModel")


class Link(ABC):
    """One channel of the library, with what is called over it. `lost` says why it was cut."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.unary = {
            name: channel.unary_unary(f"/{messages.SERVICE}/{name}", response_deserializer=self._note)
            for name in _UNARY_METHODS
        }
        self.health = channel.unary_unary(_HEALTH_PATH)
        # Whether a call was answered since that was last looked at.
        self.heard = False
        self.lost: str | None = None

    @abstractmethod
    def is_connected(self) -> bool:
        """Whether a server said hello and its connection did not break since."""

    def act_stream(self, read: Callable[[bytes], bytes] = lambda data: data) -> Any:
        """What opens a call of ActStream. The library calls `read` for each answer."""
        return self.channel.stream_stream(
            f"/{messages.SERVICE}/ActStream", response_deserializer=lambda data: read(self._note(data))
        )

    def _note(self, data: bytes) -> bytes:
        self.heard = True
        return data


class Connection(ABC):
    """Connects at the first call, and again after the connection was lost."""

    def __init__(self, where: str, address: str, options: Mapping[str, Any]) -> None:
        """`where` is the class that is made, for errors. Raises invalid_argument naming the option."""
        settings = {**CONNECTION_DEFAULTS, **options}
        self.address = check_address(f"{where} address", address)
        self._always = check_metadata(f"{where} metadata", settings["metadata"] or {})
        if settings["token"] is not None:
            token = check_token(f"{where} token", settings["token"])
            self._always = {"authorization": f"Bearer {token}", **self._always}
        self._always = {_ROUTING_KEY_NAME: str(uuid.uuid4()), **self._always}
        self._headers = tuple(self._always.items())
        self._keeps_own_key = _ROUTING_KEY_NAME in (settings["metadata"] or {})
        self._credentials = _credentials(f"{where} tls", settings["tls"])
        self._message_bytes_max = settings["message_bytes_max"]
        self._keepalive_ms = check_time(f"{where} keepalive_ms", settings["keepalive_ms"], or_zero=True)
        self._silence_ms_max = self._keepalive_ms + check_time(
            f"{where} keepalive_timeout_ms", settings["keepalive_timeout_ms"]
        )
        self._channel_options = _channel_options(where, settings, self.address)
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._listeners: dict[object, Callable[[], None]] = {}
        self._is_watched = False
        self._watched: Watched | None = None
        self.closed = False

    @abstractmethod
    def start(self, method: str, request: Any, settings: CallSettings, done: Callable[[bytes | Exception], None]) -> None:
        """Calls a method, and later `done` once, with the response or the error. Raises cancelled where the client was closed."""

    @abstractmethod
    def _open(self) -> Link:
        """A link that is not connected yet."""

    @abstractmethod
    def _watch(self) -> None:
        """Begins to look at the connection every LOOK_MS, until it is closed."""

    @abstractmethod
    def _ping(self, link: Link, hear: Callable[[], None]) -> None:
        """Asks for the server's health over the link, and calls `hear` when that is answered or refused."""

    def link(self, where: str) -> Link:
        """The one for the next call. Raises cancelled where the client was closed."""
        with self._lock:
            if self.closed:
                raise closed_error(where)
            if self._link is None:
                self._link = self._open()
            if not self._is_watched and self._keepalive_ms > 0:
                self._is_watched = True
                self._watch()
            return self._link

    def prepared(self, method: str, request: Any, settings: CallSettings) -> tuple[Link, bytes, dict[str, Any]]:
        """The link for a call, its bytes, and how the library is to make it. Raises as `link` and `encoded`."""
        link = self.link(method)
        headers = self.metadata(settings.metadata, settings.routing_key)
        return link, self.encoded(method, request), {"timeout": settings.timeout_ms / 1000, "metadata": headers}

    def encoded(self, method: str, request: Any) -> bytes:
        """A request as it is sent. Raises resource_exhausted: larger than a message may be, for which the library would end a whole stream."""
        data: bytes = request.SerializeToString()
        if len(data) > self._message_bytes_max:
            raise too_large_error(f"{method} request", self._message_bytes_max, len(data))
        return data

    def metadata(self, own: Mapping[str, str] | None, routing_key: str | None) -> tuple[tuple[str, str], ...]:
        """Of a call: the client's, then its own, which may replace it."""
        if routing_key is None and not own:
            return self._headers
        fields = dict(self._always)
        if routing_key is not None and not self._keeps_own_key:
            fields[_ROUTING_KEY_NAME] = routing_key
        return tuple({**fields, **(own or {})}.items())

    def on_close(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls once, at `close`. Returns what takes it back."""
        key = object()
        with self._lock:
            self._listeners[key] = listener
        return lambda: void(self._listeners.pop(key, None))

    def _leave(self) -> Link | None:
        """Closes, and tells who listens. Returns the link that is left, to be ended."""
        with self._lock:
            self.closed = True
            link, self._link = self._link, None
            listeners = list(self._listeners.values())
            self._listeners.clear()
        for listener in listeners:
            listener()
        return link

    def _replace(self, link: Link) -> None:
        """A link that is silent is lost, to be ended; another takes its place."""
        link.lost = f"no sign of life for {self._silence_ms_max:g} ms"
        with self._lock:
            if self._link is link and not self.closed:
                self._link = self._open()

    def error(self, link: Link, error: grpc.RpcError, method: str, timeout_ms: float) -> Exception:
        """Of a call over that link."""
        return self.status_error(link, error.code(), error.details(), method, timeout_ms)

    def status_error(
        self, link: Link, code: grpc.StatusCode, details: str | None, method: str, timeout_ms: float
    ) -> Exception:
        cut = self.cut_error(link, method)
        if cut is not None:
            return cut
        return client_error(code.value[0], details or "", method=method, address=self.address, timeout_ms=timeout_ms)

    def cut_error(self, link: Link, method: str) -> Exception | None:
        """Of a call that this side ended; None where it did not."""
        if self.closed:
            return closed_error(method)
        return None if link.lost is None else lost_error(method, self.address, link.lost)

    def _silent_link(self) -> Link | None:
        """Looks at the link. Where it is silent another has its place, and the one that is returned is to be ended."""
        link = self._link
        if link is None:
            return None
        if self._watched is None or self._watched.link is not link:
            self._watched = Watched(link, self._ping)
        if not self._watched.look(self._keepalive_ms, self._silence_ms_max):
            return None
        self._replace(link)
        return link


class Watched:
    """
    What one link said so far. The library does not ping more than once a second. A health check is answered by every server of gRPC, without a
    token. Time counts only while this process could have heard an answer: a program that was busy for a while does not take a living server
    for dead.
    """

    def __init__(self, link: Link, ping: Callable[[Link, Callable[[], None]], None]) -> None:
        """`ping` asks for the server's health and calls when that is answered or refused."""
        self.link = link
        self._ping = ping
        self._silent_ms = 0.0
        self._unasked_ms = float(WAIT_MS_MAX)
        self._is_asked = False

    def look(self, keepalive_ms: float, silence_ms_max: float) -> bool:
        """Whether the silence is too long. Pings where that is due."""
        # Before a connection stands, and after it broke, the library's own limits hold.
        if self.link.heard or not self.link.is_connected():
            self.link.heard = False
            self._silent_ms = 0
        self._silent_ms += LOOK_MS
        self._unasked_ms += LOOK_MS
        if not self._is_asked and self._unasked_ms >= keepalive_ms:
            self._unasked_ms = 0
            self._is_asked = True
            self._ping(self.link, self._hear)
        return self._silent_ms >= silence_ms_max

    def _hear(self) -> None:
        self._is_asked = False
        self._silent_ms = 0


def void(_: object) -> None:
    """For what is called for its effect."""


def _channel_options(where: str, settings: Mapping[str, Any], address: str) -> list[tuple[str, Any]]:
    bytes_max = check_integer(f"{where} message_bytes_max", settings["message_bytes_max"], 1, 2**31 - 1)
    connect_ms = check_time(f"{where} connect_timeout_ms", settings["connect_timeout_ms"])
    reconnect_ms = check_time(f"{where} reconnect_ms_max", settings["reconnect_ms_max"])
    proxy = check_boolean(f"{where} http_proxy", settings["http_proxy"])
    # The variable that the library would read.
    no_proxy = os.environ.get("no_grpc_proxy") or os.environ.get("no_proxy") or ""
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", bytes_max),
        ("grpc.max_send_message_length", bytes_max),
        # Each client has a connection of its own: several spread over the processes of a server.
        ("grpc.use_local_subchannel_pool", 1),
        # The library's name for how long one try to connect may take at least.
        ("grpc.min_reconnect_backoff_ms", _milliseconds(connect_ms)),
        ("grpc.initial_reconnect_backoff_ms", _milliseconds(min(_RECONNECT_MS_MIN, reconnect_ms))),
        ("grpc.max_reconnect_backoff_ms", _milliseconds(reconnect_ms)),
        ("grpc.enable_http_proxy", int(proxy and not is_direct(address, no_proxy))),
    ]
    tls = settings["tls"]
    if tls is not None and tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def _milliseconds(time_ms: float) -> int:
    return max(1, int(min(time_ms, WAIT_MS_MAX)))


def _credentials(where: str, tls: Any) -> grpc.ChannelCredentials | None:
    """Raises invalid_argument: no PEM, or one of certificate and key alone."""
    if tls is None:
        return None
    if not isinstance(tls, Tls):
        raise invalid_argument(where, "hyperpolicy.Tls(...)", shown(tls))
    for name in ("authority", "certificate", "key"):
        data = getattr(tls, name)
        # What is no PEM the library passes over without a word, and trusts nobody.
        if data is not None and not (isinstance(data, bytes) and b"-----BEGIN " in data):
            remedy = "Read the file: pathlib.Path(name).read_bytes()"
            raise invalid_argument(f"{where}.{name}", "bytes of PEM", shown(data), remedy)
    if tls.server_name is not None:
        check_text(f"{where}.server_name", tls.server_name)
    if (tls.certificate is None) != (tls.key is None):
        missing = "certificate" if tls.certificate is None else "key"
        raise invalid_argument(where, "certificate and key, or neither", f"no {missing}")
    return grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
