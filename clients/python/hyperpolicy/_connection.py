"""The connection of a client: address, transport security, token, metadata, limits; and a watch that notices a server that is gone."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import grpc

from . import _messages as messages
from ._checks import check_address, check_boolean, check_integer, check_metadata, check_text, check_time, check_token, shown
from .errors import client_error, closed_error, invalid_argument, lost_error


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
_LOOK_MS = 50
_ROUTING_KEY_NAME = "hyperpolicy-routing-key"
_HEALTH_PATH = "/grpc.health.v1.Health/Check"
_UNARY_METHODS = ("Act", "QGrad", "Adapt", "Prepare", "ListModels", "GetModel")


class Link:
    """One channel of the library, with what is called over it. `lost` says why it was cut."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.unary = {name: channel.unary_unary(f"/{messages.SERVICE}/{name}") for name in _UNARY_METHODS}
        self.act_stream = channel.stream_stream(f"/{messages.SERVICE}/ActStream")
        self.health = channel.unary_unary(_HEALTH_PATH)
        self.lost: str | None = None


class Connection:
    """Connects at the first call, and again after the connection was lost. All methods may be called from any thread."""

    def __init__(self, where: str, address: str, options: Mapping[str, Any]) -> None:
        """`where` is the class that is made, for errors. Raises invalid_argument naming the option."""
        settings = {**CONNECTION_DEFAULTS, **options}
        self.address = check_address(f"{where} address", address)
        self._always = check_metadata(f"{where} metadata", settings["metadata"] or {})
        if settings["token"] is not None:
            token = check_token(f"{where} token", settings["token"])
            self._always = {"authorization": f"Bearer {token}", **self._always}
        self._always = {_ROUTING_KEY_NAME: str(uuid.uuid4()), **self._always}
        self._keeps_own_key = _ROUTING_KEY_NAME in (settings["metadata"] or {})
        self._credentials = _credentials(f"{where} tls", settings["tls"])
        self._keepalive_ms = check_time(f"{where} keepalive_ms", settings["keepalive_ms"], or_zero=True)
        self._silence_ms_max = self._keepalive_ms + check_time(
            f"{where} keepalive_timeout_ms", settings["keepalive_timeout_ms"]
        )
        self._channel_options = _channel_options(where, settings)
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._listeners: dict[object, Callable[[], None]] = {}
        self._stop = threading.Event()
        self._watch: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        return self._stop.is_set()

    def link(self, where: str) -> Link:
        """The one for the next call. Raises cancelled where the client was closed."""
        with self._lock:
            if self.closed:
                raise closed_error(where)
            if self._link is None:
                self._link = self._open()
            if self._watch is None and self._keepalive_ms > 0:
                self._watch = threading.Thread(target=self._watch_link, name="hyperpolicy watch", daemon=True)
                self._watch.start()
            return self._link

    def _open(self) -> Link:
        if self._credentials is None:
            return Link(grpc.insecure_channel(self.address, options=self._channel_options))
        return Link(grpc.secure_channel(self.address, self._credentials, options=self._channel_options))

    def metadata(self, own: Mapping[str, str] | None, routing_key: str | None) -> tuple[tuple[str, str], ...]:
        """Of a call: the client's, then its own, which may replace it."""
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

    def close(self) -> None:
        """Ends the connection and what is open on it."""
        with self._lock:
            self._stop.set()
            link, self._link = self._link, None
            listeners = list(self._listeners.values())
            self._listeners.clear()
        for listener in listeners:
            listener()
        if link is not None:
            link.channel.close()

    def error(self, link: Link, error: grpc.RpcError, method: str, timeout_ms: float) -> Exception:
        """Of a call over that link."""
        if self.closed:
            return closed_error(method)
        if link.lost is not None:
            return lost_error(method, self.address, link.lost)
        code, details = error.code().value[0], error.details() or ""
        return client_error(code, details, method=method, address=self.address, timeout_ms=timeout_ms)

    def _watch_link(self) -> None:
        """
        The library does not ping more than once a second. A health check is answered by every server of gRPC, without a token. Time counts
        only while this process could have heard an answer: a program that was busy for a while does not take a living server for dead.
        """
        watched: _Watched | None = None
        while not self._stop.wait(_LOOK_MS / 1000):
            link = self._link
            if link is None:
                continue
            if watched is None or watched.link is not link:
                watched = _Watched(link, self)
            if watched.look(self._keepalive_ms, self._silence_ms_max):
                self._cut(link)

    def _cut(self, link: Link) -> None:
        link.lost = f"no sign of life for {self._silence_ms_max:g} ms"
        with self._lock:
            if self._link is link and not self.closed:
                self._link = self._open()
        link.channel.close()


class _Watched:
    """What one link said so far."""

    def __init__(self, link: Link, connection: Connection) -> None:
        self.link = link
        self._connection = connection
        self._silent_ms = 0.0
        self._unasked_ms = float(WAIT_MS_MAX)
        self._ping: Any = None
        # Until a server answered, and after its connection broke, the library's own limits hold.
        self._answered = False

    def look(self, keepalive_ms: float, silence_ms_max: float) -> bool:
        """Whether the silence is too long. Pings where that is due."""
        self._silent_ms += _LOOK_MS
        self._unasked_ms += _LOOK_MS
        if self._ping is None and self._unasked_ms >= keepalive_ms:
            self._unasked_ms = 0
            try:
                self._ping = self.link.health.future(b"", metadata=self._connection.metadata(None, None))
            except ValueError:
                return False  # The client was closed meanwhile.
            self._ping.add_done_callback(self._hear)
        return self._answered and self._silent_ms >= silence_ms_max

    def _hear(self, ping: Any) -> None:
        self._ping = None
        self._silent_ms = 0
        self._answered = ping.code() is not grpc.StatusCode.UNAVAILABLE


def void(_: object) -> None:
    """For what is called for its effect."""


def call_unary(
    connection: Connection,
    method: str,
    request: Any,
    *,
    timeout_ms: float,
    metadata: Mapping[str, str] | None,
    routing_key: str | None,
) -> bytes:
    """Calls a method and waits for its response."""
    link = connection.link(method)
    wait_ms = min(timeout_ms, WAIT_MS_MAX)
    headers = connection.metadata(metadata, routing_key)
    try:
        response: bytes = link.unary[method](request.SerializeToString(), timeout=wait_ms / 1000, metadata=headers)
    except grpc.RpcError as error:
        raise connection.error(link, error, method, wait_ms) from None
    except ValueError:
        raise _channel_error(connection, link, method) from None
    return response


def start_unary(
    connection: Connection,
    method: str,
    request: Any,
    done: Callable[[bytes | Exception], None],
    *,
    timeout_ms: float,
    metadata: Mapping[str, str] | None,
    routing_key: str | None,
) -> Callable[[], None]:
    """Calls a method, and `done` once, in another thread, with the response or the error. Returns what gives the call up."""
    link = connection.link(method)
    wait_ms = min(timeout_ms, WAIT_MS_MAX)
    headers = connection.metadata(metadata, routing_key)
    try:
        call = link.unary[method].future(request.SerializeToString(), timeout=wait_ms / 1000, metadata=headers)
    except ValueError:
        raise _channel_error(connection, link, method) from None

    def tell(_: object) -> None:
        if call.code() is grpc.StatusCode.OK:
            done(call.result())
        else:
            done(connection.error(link, call, method, wait_ms))

    call.add_done_callback(tell)
    return lambda: void(call.cancel())


def _channel_error(connection: Connection, link: Link, method: str) -> Exception:
    """The library's ValueError for a channel that was closed between two lines."""
    if link.lost is None or connection.closed:
        return closed_error(method)
    return lost_error(method, connection.address, link.lost)


def _channel_options(where: str, settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    bytes_max = check_integer(f"{where} message_bytes_max", settings["message_bytes_max"], 1, 2**31 - 1)
    connect_ms = check_time(f"{where} connect_timeout_ms", settings["connect_timeout_ms"])
    reconnect_ms = check_time(f"{where} reconnect_ms_max", settings["reconnect_ms_max"])
    proxy = check_boolean(f"{where} http_proxy", settings["http_proxy"])
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", bytes_max),
        ("grpc.max_send_message_length", bytes_max),
        # Each client has a connection of its own: several spread over the processes of a server.
        ("grpc.use_local_subchannel_pool", 1),
        # The library's name for how long one try to connect may take at least.
        ("grpc.min_reconnect_backoff_ms", _milliseconds(connect_ms)),
        ("grpc.initial_reconnect_backoff_ms", _milliseconds(min(_RECONNECT_MS_MIN, reconnect_ms))),
        ("grpc.max_reconnect_backoff_ms", _milliseconds(reconnect_ms)),
        ("grpc.enable_http_proxy", int(proxy)),
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
