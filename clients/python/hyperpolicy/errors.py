"""The one error hierarchy, and the way from gRPC statuses to it: a client sees the kinds of error that the server raised."""

from __future__ import annotations

import re

from ._generated import STATUS_BY_CODE, STATUS_BY_KIND, ErrorKind

_KIND_BY_STATUS: dict[str, ErrorKind] = {status: kind for kind, status in STATUS_BY_KIND.items()}


class HyperpolicyError(Exception):
    """
    An error that its reader can act on: `where: expected X, got Y. Remedy`. Anything else that is raised is an internal fault.

    `kind` is one of the kinds in the README; `where` the operation; `expected`, `actual` and `remedy` the parts of the text.
    """

    def __init__(
        self, kind: ErrorKind, where: str, expected: str, actual: str, remedy: str | None = None, text: str | None = None
    ) -> None:
        advice = "" if remedy is None else f". {remedy}"
        super().__init__(f"{where}: expected {expected}, got {actual}{advice}" if text is None else text)
        self.kind = kind
        self.where = where
        self.expected = expected
        self.actual = actual
        self.remedy = remedy


def invalid_argument(where: str, expected: str, actual: str, remedy: str | None = None) -> HyperpolicyError:
    return HyperpolicyError("invalid_argument", where, expected, actual, remedy)


def unavailable(where: str, expected: str, actual: str, remedy: str | None = None) -> HyperpolicyError:
    return HyperpolicyError("unavailable", where, expected, actual, remedy)


def late_error(where: str, address: str, timeout_ms: float) -> HyperpolicyError:
    """The error of a call without an answer in time."""
    return HyperpolicyError("deadline_exceeded", where, f"an answer of {address} within {timeout_ms:g} ms", "none")


def old_error(where: str, age_ms_max: float, age_ms: float) -> HyperpolicyError:
    """The error of an answer that is too old to act on."""
    expected = f"an action of at most {age_ms_max:g} ms"
    return HyperpolicyError("deadline_exceeded", where, expected, f"one of {age_ms:.1f} ms")


def lost_error(where: str, address: str, actual: str) -> HyperpolicyError:
    """The error of a call whose connection broke."""
    return unavailable(where, f"a connection to {address} that holds", actual, "Retry with backoff")


def too_large_error(where: str, bytes_max: int, actual: int) -> HyperpolicyError:
    """The error of a message over the client's limit of bytes."""
    remedy = "Send fewer rows, or raise message_bytes_max on both sides"
    return HyperpolicyError("resource_exhausted", where, f"at most {bytes_max} bytes", f"{actual}", remedy)


def closed_error(where: str) -> HyperpolicyError:
    """The error of a call over a client that was closed, before or meanwhile."""
    return HyperpolicyError("cancelled", where, "an open client", "one that was closed", "Create another")


# The library's words for a connection that broke, which it gives several codes.
_LOST = re.compile(r"^Received RST_STREAM with error code \d|Socket closed|Connection reset|Broken pipe|GOAWAY|transport is closing")
_REFUSED = re.compile(r"Connection refused")
# An HTTP port, such as that of the metrics, or TLS on one side only.
_NOT_GRPC = re.compile(r"Failed parsing HTTP/2")
_SILENT = re.compile(r"timed out before receiving SETTINGS")
_TOLD = re.compile(r"(.*?): expected (.*?), got (.*?)(?:\. ([A-Z].*))?", re.DOTALL)


def client_error(code: int, details: str, *, method: str, address: str, timeout_ms: float) -> Exception:
    """The error of a failed call. The server's own text is kept as it is."""
    status = STATUS_BY_CODE.get(code, "")
    if status == "UNIMPLEMENTED":
        return HyperpolicyError(
            "failed_precondition",
            method,
            f"a port with this method at {address}",
            "one without it",
            "Check the address: the policy's methods are at the server's --port, changes of what is served at its --admin-port",
        )
    kind = _KIND_BY_STATUS.get(status)
    told = None if kind is None else _told_by_server(kind, details)
    if told is not None:
        return told
    if _LOST.search(details):
        return lost_error(method, address, details)
    if kind is None:
        return RuntimeError(f"{method}: {details}")
    # No text of the server: the transport failed.
    if status == "UNAVAILABLE":
        return _unreachable(method, address, details)
    if status == "DEADLINE_EXCEEDED":
        return late_error(method, address, timeout_ms)
    return HyperpolicyError(kind, method, "an answer", details)


def _unreachable(method: str, address: str, details: str) -> HyperpolicyError:
    if _REFUSED.search(details):
        remedy = 'Start one with "hyperpolicy serve", or name another address'
        return unavailable(method, f"a server at {address}", "a refused connection", remedy)
    remedy = "Check the address, and that client and server both use TLS or neither does"
    if _NOT_GRPC.search(details):
        remedy = f"gRPC is at the server's --port, not at those of HTTP. {remedy}"
        return unavailable(method, f"a server at {address}", "an answer that is not gRPC", remedy)
    if _SILENT.search(details):
        return unavailable(method, f"a server at {address}", "no sign of life", f"{remedy}; or the server is frozen")
    return unavailable(method, f"a server at {address}", details, remedy)


def named_error(status: str, text: str) -> Exception:
    """The error of a refused request of a stream, which goes on. `status` is the name of a gRPC status."""
    kind = _KIND_BY_STATUS.get(status)
    told = None if kind is None else _told_by_server(kind, text)
    return RuntimeError(text) if told is None else told


def _told_by_server(kind: ErrorKind, text: str) -> HyperpolicyError | None:
    parts = _TOLD.fullmatch(text)
    if parts is None:
        return None
    where, expected, actual, remedy = parts.groups()
    return HyperpolicyError(kind, where, expected, actual, remedy, text)
