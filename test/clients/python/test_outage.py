"""Servers that freeze, restart or cannot be reached, seen by a client with its defaults."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import NEVER_MS, OBSERVATION, Servers, until

import hyperpolicy
from hyperpolicy import ActStreamEvent, HyperpolicyError, PolicyClient

# The hello of a server: a frame of HTTP/2 without settings.
EMPTY_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def kind_of(call: Callable[[], Any]) -> str:
    try:
        call()
    except HyperpolicyError as error:
        return error.kind
    return "answered"


def test_a_frozen_server_is_noticed_and_taken_again_when_it_goes_on(servers: Servers) -> None:
    server = servers.start()
    events: list[ActStreamEvent] = []
    with PolicyClient(server.address, timeout_ms=NEVER_MS) as client, PolicyClient(server.address) as idle:
        stream = client.act_stream(model="m", client_id="robot", timeout_ms=NEVER_MS, resume=True)
        waiting = idle.act_stream(model="m", timeout_ms=NEVER_MS, on_event=events.append)
        first = stream.act(observation=OBSERVATION, timeout_ms=30_000)
        waiting.act(observation=OBSERVATION, timeout_ms=30_000)
        client.act(model="m", observation=OBSERVATION)
        # It lives: there is no silence.
        time.sleep(1.2)
        assert not events
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(HyperpolicyError, match="no sign of life for 800 ms") as caught:
            stream.act(observation=OBSERVATION)
        assert caught.value.kind == "unavailable"
        until(lambda: [event.kind for event in events] == ["ended"])
        assert kind_of(lambda: client.act(model="m", observation=OBSERVATION)) == "unavailable"
        held = stream.act(observation=OBSERVATION, fallback="hold", timeout_ms=20)
        assert held.action.tolist() == first.action.tolist()
        server.process.send_signal(signal.SIGCONT)
        until(lambda: kind_of(lambda: client.act(model="m", observation=OBSERVATION)) == "answered")
        until(lambda: kind_of(lambda: stream.act(observation=OBSERVATION, timeout_ms=200)) == "answered")
        assert stream.version == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_freezes_after_its_first_answer_is_noticed(servers: Servers, is_async: bool) -> None:
    # At once: before it was asked for its health.
    server = servers.start()
    asked: Any = {"observation": OBSERVATION, "timeout_ms": NEVER_MS}

    async def run_async() -> None:
        async with hyperpolicy.AsyncPolicyClient(server.address) as client:
            stream = client.act_stream(model="m")
            await stream.act(**asked)
            server.process.send_signal(signal.SIGSTOP)
            await stream.act(**asked)

    def run() -> None:
        with PolicyClient(server.address) as client:
            stream = client.act_stream(model="m")
            stream.act(**asked)
            server.process.send_signal(signal.SIGSTOP)
            stream.act(**asked)

    with pytest.raises(HyperpolicyError, match="no sign of life for 800 ms"):
        asyncio.run(run_async()) if is_async else run()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_freezes_before_its_first_answer_is_noticed(is_async: bool) -> None:
    asked: Any = {"model": "m", "observation": OBSERVATION, "timeout_ms": NEVER_MS}

    async def run_async(address: str) -> None:
        async with hyperpolicy.AsyncPolicyClient(address) as client:
            await client.act(**asked)

    def run(address: str) -> None:
        with PolicyClient(address) as client:
            client.act(**asked)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections: list[socket.socket] = []

        def greet() -> None:
            # One connection after the other stands, and then nothing comes over it.
            with contextlib.suppress(OSError):
                while True:
                    connections.append(listener.accept()[0])
                    connections[-1].sendall(EMPTY_SETTINGS)

        threading.Thread(target=greet, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(HyperpolicyError, match="no sign of life for 800 ms") as caught:
            asyncio.run(run_async(address)) if is_async else run(address)
        assert caught.value.kind == "unavailable"
        for connection in connections:
            connection.close()


def test_a_server_that_restarts_has_its_stream_back(servers: Servers) -> None:
    server = servers.start()
    events: list[ActStreamEvent] = []

    async def run() -> None:
        async with hyperpolicy.AsyncPolicyClient(server.address) as client:
            stream = client.act_stream(model="m", timeout_ms=NEVER_MS, resume=True, on_event=events.append)
            await stream.act(observation=OBSERVATION)
            server.process.kill()
            server.process.wait()
            with pytest.raises(HyperpolicyError) as caught:
                await stream.act(observation=OBSERVATION)
            assert caught.value.kind == "unavailable"
            servers.start("--port", server.address.split(":")[1])
            for _ in range(1000):
                try:
                    result = await stream.act(observation=OBSERVATION, timeout_ms=200)
                except HyperpolicyError:
                    await asyncio.sleep(0.01)
                else:
                    break
            assert result.version == 1
            await asyncio.sleep(0)
            assert [event.kind for event in events] == ["lost", "resumed"]

    asyncio.run(run())


def test_an_action_is_held_for_the_version_that_gave_it(servers: Servers) -> None:
    server = servers.start()
    with PolicyClient(server.address, timeout_ms=30_000) as client:
        asked: Any = {"model": "changed", "observation": OBSERVATION, "fallback": "hold"}
        first, second = (client.act(**asked, version=version, client_id="robot").action for version in (1, 2))
        client.act(**asked, version=2, client_id="other")
        # The safe action was asked for with the first act: after this it is there.
        client.get_model(model="changed", version=1)
        server.process.kill()
        server.process.wait()
        held = [client.act(**asked, version=version, client_id="robot") for version in (1, 2)]
        other = client.act(**asked, version=1, client_id="other")
    assert [(one.version, one.action.tolist()) for one in held] == [(1, first.tolist()), (2, second.tolist())]
    assert [one.fallback is not None and one.fallback.kind for one in (*held, other)] == ["hold", "hold", "safe"]
    assert (first.shape, second.shape, other.action.shape) == ((1, 2), (1, 3), (1, 2))


def test_a_program_that_is_busy_does_not_lose_a_living_server(servers: Servers) -> None:
    server = servers.start()
    events: list[ActStreamEvent] = []

    async def run() -> None:
        async with hyperpolicy.AsyncPolicyClient(server.address) as client:
            stream = client.act_stream(model="m", timeout_ms=NEVER_MS, on_event=events.append)
            await stream.act(observation=OBSERVATION)
            answer = asyncio.ensure_future(stream.act(observation=OBSERVATION))
            await asyncio.sleep(0)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                pass
            assert (await answer).version == 1

    asyncio.run(run())
    assert not [event for event in events if event.kind == "lost"]
