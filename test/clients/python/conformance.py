"""
Makes the calls of compliance cases with the Python client: `conformance.py ADDRESS sync|asyncio`. Reads a line of JSON for each thing to do
(`call`, or `open`, `act` and `close` of a stream) and prints one with the same `id` when it is done: the answer as protobuf's JSON has it, the
status and text of the error, or `unsayable` where the client has no way to send this. What to expect is the caller's: conformance/run.ts.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import hyperpolicy
from hyperpolicy import AsyncPolicyClient, HyperpolicyError, PolicyClient
from hyperpolicy._generated import STATUS_BY_KIND

METHODS = {
    "Act": "act",
    "QGrad": "q_grad",
    "Adapt": "adapt",
    "Prepare": "prepare",
    "ListModels": "list_models",
    "GetModel": "get_model",
}
# The proto's words for what the client names in small letters.
WORDS = ("fallback", "reduction", "pinning")
# What protobuf's JSON writes as texts.
LONG = ("sequence", "seed", "transitionCount", "trainingSteps", "step")
OF_STREAM = ("model", "version", "label", "fingerprint", "client_id")
# Longer than a busy machine takes; above the server's limits, which are what is asked for.
PATIENT: Any = {"timeout_ms": 30_000, "keepalive_timeout_ms": 30_000, "message_bytes_max": 2**24}
# As many as wait at once in a case.
THREAD_COUNT = 64


class Unsayable(Exception):
    """The client has no way to send this."""


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)


def camel(name: str) -> str:
    return re.sub(r"_(.)", lambda found: found[1].upper(), name)


def arguments(request: dict[str, Any]) -> dict[str, Any]:
    return {snake(name): argument(snake(name), value) for name, value in request.items()}


def argument(name: str, value: Any) -> Any:
    """What the client takes in place of a field of the request."""
    if name in WORDS:
        if not isinstance(value, str):
            raise Unsayable("a number of an enum")
        return value.removeprefix(f"{name.upper()}_").lower()
    if name in ("sequence", "seed"):
        return int(value)
    if isinstance(value, dict) and "repeated" in value:
        return value["repeated"] * value["count"]
    if isinstance(value, dict) and "shape" in value:
        return tensor(**value)
    if isinstance(value, dict):
        return {snake(inner): argument(inner, one) for inner, one in value.items()}
    return value


def tensor(shape: list[int], values: Any = None, fill: Any = None, bytes: int | None = None) -> Any:
    size = int(np.prod(shape))
    if bytes is not None and bytes != 4 * size:
        raise Unsayable("bytes that are not as the shape")
    flat = np.zeros(size) if bytes is not None else np.full(size, fill) if values is None else np.array(values, float)
    return flat.reshape(shape)


def as_json(value: Any, name: str = "") -> Any:
    """A result as protobuf's JSON would have it: without what is 0, empty or absent."""
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return {"shape": list(value.shape), "data": base64.b64encode(value.tobytes()).decode()}
    if isinstance(value, hyperpolicy.FallbackTaken):
        taken = {"fallback": f"FALLBACK_{value.kind.upper()}", "reason": value.reason, "ageMs": value.age_ms}
        return {key: one for key, one in taken.items() if one}
    if dataclasses.is_dataclass(value) or isinstance(value, dict):
        fields = value if isinstance(value, dict) else {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        renamed = {"fallbackTaken" if key == "fallback" else camel(key): one for key, one in fields.items()}
        found = {key: as_json(one, key) for key, one in renamed.items()}
        return {key: one for key, one in found.items() if one not in (None, "", 0, False, [], {}, "0")}
    if isinstance(value, np.ndarray | list | tuple):
        return [as_json(one) for one in value]
    if name in LONG and value is not None:
        return str(value)
    if isinstance(value, float) and np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def answered(result: Any) -> dict[str, Any]:
    return {"status": "OK", "json": as_json({"models": result} if isinstance(result, list) else result)}


def refused(method: str, error: BaseException, is_own: bool) -> dict[str, Any]:
    if not isinstance(error, HyperpolicyError):
        return {"status": "INTERNAL", "text": str(error).removeprefix(f"{method}: "), "isOwn": False}
    status = "SUPERSEDED" if error.kind == "superseded" else STATUS_BY_KIND[error.kind]
    # What the gRPC library says has no form.
    return {"status": status, "text": str(error).removeprefix(f"{method}: expected an answer, got "), "isOwn": is_own}


class Sent(dict[str, str]):
    """Metadata that tells whether it was looked at by the connection, which it is when the arguments were found good."""

    was_sent = False

    def __bool__(self) -> bool:
        self.was_sent = True
        return True


def is_own_of_stream(error: BaseException) -> bool:
    """Requests of a stream that the client refuses before it sends them: what was given is not what it takes."""
    return isinstance(error, HyperpolicyError) and error.kind == "invalid_argument" and error.where.startswith("Act ")


class Peer:
    """Clients by token and streams by number, whether they wait or are awaited."""

    def __init__(self, make: Callable[[str | None], Any], make_event: Callable[[], Any]) -> None:
        self._make = make
        self._make_event = make_event
        self._over: dict[int, Any] = {}
        self._clients: dict[str | None, Any] = {}
        self._streams: dict[int, Any] = {}

    def client(self, token: str | None) -> Any:
        if token not in self._clients:
            self._clients[token] = self._make(token)
        return self._clients[token]

    def prepared(self, what: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any], Callable[[BaseException], bool]]:
        """What to call, with what, and whether an error of it is the client's own refusal."""
        given = arguments(what["request"])
        if what["do"] == "act":
            given.pop("sequence", None)
            # The stream's own wait would be that of the budget.
            wait = {"timeout_ms": PATIENT["timeout_ms"]} if "budget_us" in given else {}
            return self._streams[what["stream"]].act, {**given, **wait}, is_own_of_stream
        if what["method"] == "ListModels" and given:
            raise Unsayable("an argument")
        sent = Sent({"x-case": "conformance"})
        given["metadata"] = sent
        if "deadlineMs" in what:
            given["timeout_ms"] = what["deadlineMs"]
        return getattr(self.client(what.get("token")), METHODS[what["method"]]), given, lambda _: not sent.was_sent

    def open(self, what: dict[str, Any]) -> None:
        given = arguments(what["request"])
        options = {name: given[name] for name in OF_STREAM if name in given}
        more = {snake(name): what[name] for name in ("follow", "newestWins") if name in what}
        over = self._over[what["stream"]] = self._make_event()
        on_event = lambda event: over.set() if event.kind == "ended" else None  # noqa: E731
        self._streams[what["stream"]] = self.client(what.get("token")).act_stream(**options, **more, on_event=on_event)

    def over(self, what: dict[str, Any]) -> Any:
        return self._over[what["stream"]]

    def sent_count(self, what: dict[str, Any]) -> int:
        return self.stream(what)._core._sequence if what["do"] == "act" else 0  # noqa: SLF001: to keep the order of threads

    def stream(self, what: dict[str, Any]) -> Any:
        return self._streams[what["stream"]]


def method_of(what: dict[str, Any]) -> str:
    return what.get("method", "Act")


def ending(stream: Any) -> dict[str, Any]:
    return answered({}) if stream.error is None else refused("ActStream", stream.error, False)


def plain(value: Any) -> Any:
    """What JSON has no form for: numbers of NumPy, mappings, times."""
    if isinstance(value, np.generic):
        return value.item()
    return dict(value) if isinstance(value, Mapping) else str(value)


def tell(what: dict[str, Any], reply: dict[str, Any]) -> None:
    # One write: several threads tell.
    sys.stdout.write(json.dumps({"id": what["id"], **reply}, default=plain) + "\n")
    sys.stdout.flush()


def do(peer: Peer, what: dict[str, Any]) -> dict[str, Any]:
    if what["do"] == "close":
        peer.stream(what).close()
    if what["do"] == "over":
        peer.over(what).wait()
    if what["do"] in ("close", "over"):
        return ending(peer.stream(what))
    try:
        call, given, is_own = peer.prepared(what)
    except Unsayable as unsayable:
        return {"unsayable": str(unsayable)}
    try:
        return answered(call(**given))
    except Exception as error:  # noqa: BLE001: whatever comes is what is asked for
        return refused(method_of(what), error, is_own(error))


async def do_awaited(peer: Peer, what: dict[str, Any]) -> dict[str, Any]:
    if what["do"] == "close":
        await peer.stream(what).close()
    if what["do"] == "over":
        await peer.over(what).wait()
    if what["do"] in ("close", "over"):
        return ending(peer.stream(what))
    try:
        call, given, is_own = peer.prepared(what)
    except Unsayable as unsayable:
        return {"unsayable": str(unsayable)}
    try:
        return answered(await call(**given))
    except Exception as error:  # noqa: BLE001: whatever comes is what is asked for
        return refused(method_of(what), error, is_own(error))


def waiting(address: str) -> None:
    """Calls that wait, each in a thread; requests of one stream go out in their order."""
    peer = Peer(lambda token: PolicyClient(address, token=token, **PATIENT), threading.Event)
    with ThreadPoolExecutor(THREAD_COUNT) as pool:
        for line in sys.stdin:
            what = json.loads(line)
            if what["do"] == "open":
                peer.open(what)
                tell(what, answered({}))
                continue
            sent_count = peer.sent_count(what)
            done = pool.submit(lambda what=what: tell(what, do(peer, what)))
            # Before the next request of the stream.
            while what["do"] == "act" and peer.sent_count(what) == sent_count and not done.done():
                time.sleep(0.001)


async def awaited(address: str) -> None:
    """Calls that are awaited, each in a task."""
    peer = Peer(lambda token: AsyncPolicyClient(address, token=token, **PATIENT), asyncio.Event)
    loop = asyncio.get_running_loop()
    tasks = set()

    async def finish(what: dict[str, Any]) -> None:
        tell(what, await do_awaited(peer, what))

    while line := await loop.run_in_executor(None, sys.stdin.readline):
        what = json.loads(line)
        if what["do"] == "open":
            peer.open(what)
            tell(what, answered({}))
            continue
        task = loop.create_task(finish(what))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


address, kind = sys.argv[1:]
waiting(address) if kind == "sync" else asyncio.run(awaited(address))
