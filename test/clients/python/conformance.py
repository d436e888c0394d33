"""
Runs the single calls of one compliance suite through the Python client: `conformance.py SUITE ADDRESS`, with the server that the suite asks
for at that address. Prints JSON: how many `ran`, what `failed`, and which cases were `passed_over` because the client cannot say them.

An answer has to be the case's. An error has to have the kind of the case's status, and the server's text, word for word; where the client
refuses an argument before it sends anything, its own text.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import hyperpolicy.client
from hyperpolicy import HyperpolicyError, PolicyClient
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


class Unsayable(Exception):
    """The client has no way to send this."""


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)


def camel(name: str) -> str:
    return re.sub(r"_(.)", lambda found: found[1].upper(), name)


def argument(name: str, value: Any, saved: dict[str, Any]) -> Any:
    """What the client takes in place of a field of the request."""
    if isinstance(value, str) and value.startswith("$"):
        return saved[value[1:]]
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
        return {snake(inner): argument(inner, one, saved) for inner, one in value.items()}
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


def at(value: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(value, list):
            value = value[int(key)] if int(key) < len(value) else None
        elif value is not None:
            value = value.get(key)
    return value


def fits(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, str) and wanted.startswith("^"):
        return isinstance(got, str) and re.search(wanted, got) is not None
    return bool(wanted == got)


class Runner:
    def __init__(self, address: str) -> None:
        self.address = address
        self.clients: dict[str | None, PolicyClient] = {}
        self.saved: dict[str, Any] = {}
        self.sent_count = 0

    def client(self, token: str | None) -> PolicyClient:
        if token not in self.clients:
            # Of a size at which the server's limit is met first.
            self.clients[token] = PolicyClient(self.address, token=token, timeout_ms=30_000, message_bytes_max=2**24)
        return self.clients[token]

    def ask(self, case: dict[str, Any]) -> dict[str, Any]:
        given = {snake(name): argument(snake(name), value, self.saved) for name, value in case.get("request", {}).items()}
        if "deadlineMs" in case:
            given["timeout_ms"] = case["deadlineMs"]
        sent_count = self.sent_count
        try:
            result = getattr(self.client(case.get("token")), METHODS[case["method"]])(**given)
        except HyperpolicyError as error:
            is_own = self.sent_count == sent_count and "repeat" not in case
            # What the gRPC library says has no form.
            text = str(error).removeprefix(f"{case['method']}: expected an answer, got ")
            return {"status": STATUS_BY_KIND[error.kind], "text": text, "is_own": is_own}
        except RuntimeError as error:
            return {"status": "INTERNAL", "text": str(error).removeprefix(f"{case['method']}: ")}
        return {"status": "OK", "json": as_json({"models": result} if isinstance(result, list) else result)}

    def check(self, case: dict[str, Any]) -> str | None:
        """What is wrong; None where all is as the case says."""
        outcomes = case.get("outcomes") or [{"status": case.get("status", "OK"), "text": case.get("text")}]
        count = case.get("repeat", 1)
        with ThreadPoolExecutor(count) as pool:
            came = list(pool.map(self.ask, [case] * count))
        for one in came:
            if one.get("is_own") and all(outcome.get("status") != one["status"] for outcome in outcomes):
                raise Unsayable("a request without what the client asks for")
            if not any(is_outcome(outcome, one) for outcome in outcomes):
                return f"expected {outcomes}, got {one}"
        for outcome in outcomes:
            if not any(is_outcome(outcome, one) for one in came):
                return f"expected {outcome}, got none"
        if outcomes[0].get("status", "OK") != "OK" or count > 1:
            return None
        return self.look(case, came[0]["json"])

    def look(self, case: dict[str, Any], answer: Any) -> str | None:
        for path, value in case.get("response", {}).items():
            wanted = self.saved[value[1:]] if isinstance(value, str) and value.startswith("$") else value
            if not fits(wanted, at(answer, path)):
                return f"{path}: expected {wanted}, got {at(answer, path)}"
        for name, path in case.get("save", {}).items():
            self.saved[name] = at(answer, path)
        return None


def is_outcome(outcome: dict[str, Any], came: dict[str, Any]) -> bool:
    if outcome.get("status", "OK") != came["status"]:
        return False
    return outcome.get("text") is None or came.get("is_own") or fits(outcome["text"], came.get("text"))


def main(suite: str, address: str) -> None:
    runner = Runner(address)
    call = hyperpolicy.client.call_unary

    def counted(*args: Any, **more: Any) -> bytes:
        runner.sent_count += 1
        return call(*args, **more)

    hyperpolicy.client.call_unary = counted
    ran, failed, passed_over = 0, [], []
    for case in json.loads(Path(suite).read_text())["cases"]:
        if case["method"] not in METHODS or case.get("port") == "admin":
            continue
        try:
            if "bytes" in case:
                raise Unsayable("bytes")
            wrong = runner.check(case)
        except Unsayable:
            passed_over.append(case["name"])
            continue
        ran += 1
        if wrong is not None:
            failed.append(f"{case['name']}: {wrong}")
    print(json.dumps({"ran": ran, "failed": failed, "passed_over": passed_over}))


main(*sys.argv[1:])
