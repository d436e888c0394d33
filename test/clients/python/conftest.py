"""
Servers for the tests of the Python client: the real one as a process, and one that answers as a test says. python.test.ts runs the tests,
with random packages in the store that CLIENT_TEST_STORE names: `m` (3 observations, 2 actions), `hyper`,
`posterior`, `weights`, `halfcheetah-quickstart`, and `changed`, whose second version has 3 actions.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from hyperpolicy import PolicyClient
from hyperpolicy import _messages as messages

ROOT = Path(__file__).resolve().parents[3]
STORE = os.environ["CLIENT_TEST_STORE"]
# Longer than any test: what settles before was noticed.
NEVER_MS = 600_000
OBSERVATION = [1, 2, 3]


def until(holds: Callable[[], bool]) -> None:
    """Waits for as long as it takes; the run has a limit."""
    while not holds():
        time.sleep(0.005)


@dataclass
class Server:
    process: subprocess.Popen[str]
    address: str
    admin: str


class Servers:
    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *args: str, store: str = STORE) -> Server:
        """The real server, once it serves."""
        ports = ["--port", "0", "--metrics-port", "0", "--admin-port", "0"]
        # Of a flag that comes twice the last holds.
        command = ["node", str(ROOT / "dist/clients/cli/main.js"), "serve", "--store", store, *ports, *args]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        for text in process.stdout:
            line = json.loads(text)
            if line["msg"] == "serving":
                # A pipe that nobody reads would stop it.
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return Server(process, line["address"], f"127.0.0.1:{line['adminPort']}")
        raise AssertionError(f"the server ended with {process.wait()}")

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def servers() -> Iterator[Servers]:
    started = Servers()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for all tests of a file."""
    started = Servers()
    yield started.start()
    started.stop()


@pytest.fixture
def client(server: Server) -> Iterator[PolicyClient]:
    with PolicyClient(server.address, timeout_ms=30_000) as made:
        yield made


Handler = Callable[[bytes, grpc.ServicerContext], Any]


@dataclass
class Scripted:
    """A server that answers with what `unary` and `stream` say. `health` answers to the watch of clients."""

    unary: dict[str, Handler] = field(default_factory=dict)
    stream: Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[bytes]] | None = None
    metadata: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def start(self) -> grpc.Server:
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        handlers = {name: grpc.unary_unary_rpc_method_handler(self._noted(one)) for name, one in self.unary.items()}
        if self.stream is not None:
            handlers["ActStream"] = grpc.stream_stream_rpc_method_handler(self._noted(self.stream))
        health = {"Check": grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"\x08\x01")}
        services = [
            grpc.method_handlers_generic_handler(messages.SERVICE, handlers),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
        ]
        server.add_generic_rpc_handlers(tuple(services))
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        return server

    def _noted(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
            return handler(request, context)

        return handle


def description(**more: Any) -> bytes:
    """A response of GetModel, of version 7 with 3 observations and 2 actions."""

    def spec(size: int) -> dict[str, Any]:
        return {"names": ["x"] * size, "low": [-1.0] * size, "high": [1.0] * size, "units": ["1"] * size}

    described = messages.GetModelResponse(
        version=7,
        observation=spec(3),
        action=spec(2),
        safe_action=[0.25, -0.5],
        published_at="2026-01-01T00:00:00Z",
        **more,
    )
    return bytes(described.SerializeToString())


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    started: list[grpc.Server] = []

    def start(**given: Any) -> Scripted:
        made = Scripted(**given)
        started.append(made.start())
        return made

    yield start
    for server in started:
        server.stop(None)
