"""
The Python side of the clients' bench: `clients-python.py CALLS`, with CALLS as JSON. Times the client and the bare gRPC library by turns, one
call at a time, and prints by side and round the median and the processor time of a call, microseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from queue import SimpleQueue
from typing import Any

import grpc
import grpc.aio
import numpy as np

from hyperpolicy import AsyncPolicyClient, PolicyClient

ACT = "/hyperpolicy.v1.PolicyService/Act"
ACT_STREAM = "/hyperpolicy.v1.PolicyService/ActStream"
OBSERVATION = np.linspace(-1, 1, 17, dtype=np.float32)
TIMEOUT_S = 5

# By side: `p50` and `cpu`, a figure for each round.
Sides = dict[str, dict[str, list[float]]]
WARM_COUNT = 500


def measure(side: dict[str, list[float]], call: Callable[[], object], count: int) -> None:
    times = []
    cpu = time.process_time()
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    side["cpu"].append((time.process_time() - cpu) / count * 1e6)
    side["p50"].append(float(np.median(times) * 1e6))


async def measure_awaited(side: dict[str, list[float]], call: Callable[[], Awaitable[object]], count: int) -> None:
    times = []
    cpu = time.process_time()
    for _ in range(count):
        start = time.perf_counter()
        await call()
        times.append(time.perf_counter() - start)
    side["cpu"].append((time.process_time() - cpu) / count * 1e6)
    side["p50"].append(float(np.median(times) * 1e6))


def none_yet(names: Iterable[str]) -> Sides:
    return {name: {"p50": [], "cpu": []} for name in names}


class Bare:
    """The library alone: one call, and one stream of which the next answer is waited for."""

    def __init__(self, address: str, calls: dict[str, Any]) -> None:
        self._channel = grpc.insecure_channel(address)
        self._unary = self._channel.unary_unary(ACT)
        self._out: SimpleQueue[bytes | None] = SimpleQueue()
        self._answers = self._channel.stream_stream(ACT_STREAM)(iter(self._out.get, None))
        self._act, self._act_stream = bytes.fromhex(calls["act"]), bytes.fromhex(calls["actStream"])

    def unary(self) -> bytes:
        return self._unary(self._act, timeout=TIMEOUT_S)

    def stream(self) -> bytes:
        self._out.put(self._act_stream)
        return next(self._answers)

    def close(self) -> None:
        self._out.put(None)
        self._channel.close()


def waiting(calls: dict[str, Any]) -> Sides:
    """Calls that wait."""
    client = PolicyClient(calls["server"])
    stream = client.act_stream(model="mlp")
    bare, echo, node_echo = Bare(calls["server"], calls), Bare(calls["echo"], calls), Bare(calls["nodeEcho"], calls)
    sides: dict[str, Callable[[], object]] = {
        "unary": lambda: client.act(model="mlp", observation=OBSERVATION),
        "unary_bare": bare.unary,
        "unary_echo": echo.unary,
        "unary_node_echo": node_echo.unary,
        "stream": lambda: stream.act(observation=OBSERVATION),
        "stream_bare": bare.stream,
        "stream_echo": echo.stream,
        "stream_node_echo": node_echo.stream,
    }
    for call in sides.values():
        for _ in range(WARM_COUNT):
            call()
    found = none_yet(sides)
    for _ in range(calls["rounds"]):
        for name, call in sides.items():
            measure(found[name], call, calls["count"])
    for one in (bare, echo, node_echo, stream, client):
        one.close()
    return found


class AioBare:
    """The same with asyncio, by grpc.aio."""

    def __init__(self, address: str, calls: dict[str, Any]) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._unary = self._channel.unary_unary(ACT)
        self._answers = self._channel.stream_stream(ACT_STREAM)()
        self._act, self._act_stream = bytes.fromhex(calls["act"]), bytes.fromhex(calls["actStream"])

    async def unary(self) -> bytes:
        return await self._unary(self._act, timeout=TIMEOUT_S)

    async def stream(self) -> bytes:
        await self._answers.write(self._act_stream)
        return await self._answers.read()

    async def close(self) -> None:
        self._answers.cancel()
        await self._channel.close()


async def awaited(calls: dict[str, Any]) -> Sides:
    """The same with asyncio."""
    client = AsyncPolicyClient(calls["server"])
    stream = client.act_stream(model="mlp")
    bare = AioBare(calls["server"], calls)
    echo, node_echo = AioBare(calls["asyncioEcho"], calls), AioBare(calls["nodeEcho"], calls)
    sides: dict[str, Callable[[], Awaitable[object]]] = {
        "asyncio_unary": lambda: client.act(model="mlp", observation=OBSERVATION),
        "asyncio_unary_bare": bare.unary,
        "asyncio_unary_echo": echo.unary,
        "asyncio_unary_node_echo": node_echo.unary,
        "asyncio_stream": lambda: stream.act(observation=OBSERVATION),
        "asyncio_stream_bare": bare.stream,
        "asyncio_stream_echo": echo.stream,
        "asyncio_stream_node_echo": node_echo.stream,
    }
    for call in sides.values():
        for _ in range(WARM_COUNT):
            await call()
    found = none_yet(sides)
    for _ in range(calls["rounds"]):
        for name, call in sides.items():
            await measure_awaited(found[name], call, calls["count"])
    for one in (bare, echo, node_echo, stream, client):
        await one.close()
    return found


given = json.loads(sys.argv[1])
print(json.dumps({**waiting(given), **asyncio.run(awaited(given))}))
