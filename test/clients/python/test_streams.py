"""Streams against a server that answers as a test says: late, wrongly, or not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import grpc
import numpy as np
import pytest
from awaited import AwaitedClient
from conftest import NEVER_MS, OBSERVATION, Scripted, description, until

import hyperpolicy
from hyperpolicy import ActStream, ActStreamEvent, HyperpolicyError, PolicyClient
from hyperpolicy import _messages as messages


@dataclass
class Call:
    """One call of ActStream, as the server sees it."""

    context: grpc.ServicerContext
    requests: list[Any] = field(default_factory=list)
    out: SimpleQueue[bytes | None] = field(default_factory=SimpleQueue)
    end: tuple[grpc.StatusCode, str] | None = None

    def answer(self, sequence: int, **changes: Any) -> None:
        action = messages.Tensor(shape=[1, 2], data=np.array([0.5, 1], "<f4").tobytes())
        fields = {"action": action, "version": 7, "sequence": sequence, "timing": {}, **changes}
        self.out.put(messages.ActStreamResponse(response=fields).SerializeToString())

    def refuse(self, sequence: int, status: str, text: str) -> None:
        error = {"sequence": sequence, "status": status, "text": text}
        self.out.put(messages.ActStreamResponse(error=error).SerializeToString())

    def finish(self, code: grpc.StatusCode | None = None, details: str = "") -> None:
        self.end = None if code is None else (code, details)
        self.out.put(None)


React = Callable[[Any, Call, int], None]


def answers(request: Any, call: Call, _index: int) -> None:
    call.answer(request.sequence)


def silence(_request: Any, _call: Call, _index: int) -> None:
    """What is asked for is not answered."""


class Script:
    """`react` says what becomes of each request; the index counts calls."""

    def __init__(self, react: React, *, ends: bool = True) -> None:
        self.react = react
        self.ends = ends
        self.calls: list[Call] = []
        self.events: list[ActStreamEvent] = []

    def stream(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        call = Call(context)
        self.calls.append(call)
        index = len(self.calls) - 1

        def read() -> None:
            try:
                for data in requests:
                    request = messages.ActStreamRequest.FromString(data)
                    call.requests.append(request)
                    self.react(request.act, call, index)
            except grpc.RpcError:
                return
            if self.ends:
                call.finish()

        # However the call ends, its thread does: the process waits for it. One that has ended takes no callback.
        if not context.add_callback(lambda: call.out.put(None)):
            call.out.put(None)
        threading.Thread(target=read, daemon=True).start()
        yield from iter(call.out.get, None)
        if call.end is not None:
            context.abort(*call.end)

    @staticmethod
    def describe(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        return description()


Open = Callable[..., tuple[ActStream, Script]]


@pytest.fixture(params=[PolicyClient, AwaitedClient])
def open_stream(request: pytest.FixtureRequest, scripted: Callable[..., Scripted]) -> Iterator[Open]:
    """A stream of either client."""
    clients: list[Any] = []

    def make(react: React, *, ends: bool = True, client: dict[str, Any] | None = None, **options: Any) -> Any:
        script = Script(react, ends=ends)
        server = scripted(unary={"GetModel": script.describe}, stream=script.stream)
        made = request.param(server.address, **(client or {}))
        clients.append(made)
        options = {"model": "m", "timeout_ms": NEVER_MS, "on_event": script.events.append, **options}
        return made.act_stream(**{name: value for name, value in options.items() if value is not None}), script

    yield make
    for one in clients:
        one.close()


def knows_safe_action(stream: ActStream) -> bool:
    try:
        return stream.act(observation=OBSERVATION, fallback="safe", timeout_ms=5).fallback is not None
    except HyperpolicyError:
        return False


def test_an_act_that_is_not_answered_settles_in_its_time_and_the_next_is_answered(open_stream: Open) -> None:
    def react(request: Any, call: Call, _index: int) -> None:
        if request.sequence != 2:
            call.answer(request.sequence)

    stream, _ = open_stream(react)
    stream.act(observation=OBSERVATION)
    with pytest.raises(HyperpolicyError, match=r"^ActStream: expected an answer of 127\.0\.0\.1:\d+ within 20 ms, got none$"):
        stream.act(observation=OBSERVATION, timeout_ms=20)
    assert stream.act(observation=OBSERVATION).sequence == 3
    assert (stream.ended, stream.closed, stream.version) == (False, False, 7)


@pytest.mark.parametrize(
    ("given", "client_ms", "wait_ms"),
    [
        ({"budget_us": 200_000}, None, 300),
        ({"budget_us": 1000}, None, 51),
        ({}, 70, 70),
        ({"budget_us": 200_000, "timeout_ms": 30}, 70, 30),
        ({"timeout_ms": 500, "age_ms_max": 40}, None, 40),
        ({}, None, 1000),
    ],
)
def test_how_long_an_act_waits(open_stream: Open, given: Any, client_ms: float | None, wait_ms: int) -> None:
    client = {} if client_ms is None else {"timeout_ms": client_ms}
    stream, _ = open_stream(silence, client=client, timeout_ms=None)
    with pytest.raises(HyperpolicyError, match=f"within {wait_ms} ms"):
        stream.act(observation=OBSERVATION, **given)


def test_the_server_gets_its_time_as_a_budget_where_it_can_stand_in(open_stream: Open) -> None:
    stream, script = open_stream(answers, client_id="robot")
    stream.act(observation=OBSERVATION, timeout_ms=5000, fallback="hold")
    stream.act(observation=OBSERVATION, timeout_ms=5000)
    stream.act(observation=OBSERVATION, timeout_ms=5000, fallback="safe", budget_us=7)
    first, second, third = (request.act for request in script.calls[0].requests)
    assert [one.budget_us for one in (first, second, third)] == [4_990_000, 0, 7]
    # The first names the model; all say who asks.
    assert [one.model for one in (first, second)] == ["m", ""]
    assert [one.client_id for one in (first, second)] == ["robot", "robot"]


@pytest.mark.parametrize(("client", "budget_us"), [({"timeout_ms": 5000}, 4_990_000), ({}, 990_000)])
def test_a_time_that_is_not_the_streams_is_a_budget_too(open_stream: Open, client: Any, budget_us: int) -> None:
    stream, script = open_stream(answers, client=client, timeout_ms=None)

    def sent() -> list[int]:
        return [request.act.budget_us for call in script.calls for request in call.requests]

    # On a busy machine the first may be given up before it is sent.
    while not sent():
        with suppress(HyperpolicyError):
            stream.act(observation=OBSERVATION, fallback="safe")
    assert sent()[0] == budget_us


def test_a_refused_request_costs_only_itself(open_stream: Open) -> None:
    text = "Act observation: expected 3 values per row, got shape [2]"

    def react(request: Any, call: Call, _index: int) -> None:
        if request.sequence == 1:
            call.refuse(1, "INVALID_ARGUMENT", text)
        elif request.sequence == 2:
            call.refuse(2, "INTERNAL", "request 17 failed")
        else:
            call.answer(request.sequence)

    stream, _ = open_stream(react)
    with pytest.raises(HyperpolicyError, match="3 values per row") as caught:
        stream.act(observation=[1, 2])
    assert (caught.value.kind, str(caught.value)) == ("invalid_argument", text)
    with pytest.raises(RuntimeError, match="request 17 failed"):
        stream.act(observation=OBSERVATION)
    assert stream.act(observation=OBSERVATION).sequence == 3


def test_a_request_over_the_limit_of_bytes_costs_only_itself(open_stream: Open) -> None:
    asked, release = threading.Event(), threading.Event()

    def react(request: Any, call: Call, _index: int) -> None:
        if request.sequence == 2:
            asked.set()
            release.wait()
        call.answer(request.sequence)

    stream, script = open_stream(react, client={"message_bytes_max": 1000})
    text = r"^ActStream request: expected at most 1000 bytes, got 4\d\d\d\. Send fewer rows, or raise message_bytes_max on both sides$"

    def is_refused() -> None:
        with pytest.raises(HyperpolicyError, match=text) as caught:
            stream.act(observation=np.zeros(1000), fallback="safe")
        assert caught.value.kind == "resource_exhausted"

    is_refused()
    assert stream.act(observation=OBSERVATION).sequence == 1
    got: list[int] = []
    asking = threading.Thread(target=lambda: got.append(stream.act(observation=OBSERVATION).sequence))
    asking.start()
    asked.wait()
    is_refused()
    release.set()
    asking.join()
    assert (got, stream.act(observation=OBSERVATION).sequence, len(script.calls), stream.ended) == ([2], 3, 1, False)


def test_the_last_action_is_held_then_the_safe_one_is_given(open_stream: Open) -> None:
    def react(request: Any, call: Call, _index: int) -> None:
        if request.sequence == 1:
            call.answer(1, weight_age_ms=5.0)

    stream, _ = open_stream(react, client_id="robot")
    first = stream.act(observation=OBSERVATION)
    first.action[:] = 9
    held = stream.act(observation=OBSERVATION, timeout_ms=20, fallback="hold")
    assert held.action.tolist() == [[0.5, 1]]
    held.action[:] = 9
    again = stream.act(observation=OBSERVATION, timeout_ms=20, fallback="hold")
    assert again.action.tolist() == [[0.5, 1]]
    assert held.fallback is not None
    assert (held.fallback.kind, held.fallback.reason, held.version, held.sequence) == ("hold", "timeout", 7, 2)
    assert held.fallback.age_ms >= 20
    assert held.weight_age_ms >= 25
    until(lambda: knows_safe_action(stream))
    # Too old to hold.
    safe = stream.act(observation=OBSERVATION, timeout_ms=20, fallback="hold", age_ms_max=5)
    assert safe.fallback is not None
    assert (safe.fallback.kind, safe.fallback.age_ms, safe.action.tolist()) == ("safe", 0, [[0.25, -0.5]])
    # Other rows than those that are held.
    rows = stream.act(observation=[OBSERVATION] * 2, timeout_ms=20, fallback="hold")
    assert rows.action.tolist() == [[0.25, -0.5]] * 2


def test_hold_without_a_client_is_refused_also_where_there_is_no_server(open_stream: Open) -> None:
    stream, script = open_stream(answers)
    stream.act(observation=OBSERVATION)
    script.calls[0].finish(grpc.StatusCode.UNAVAILABLE, "the server drains")
    until(lambda: stream.ended)
    text = r"^Act fallback: expected a client_id with hold, got none\. Name the client, or use safe$"
    with pytest.raises(HyperpolicyError, match=text) as caught:
        stream.act(observation=OBSERVATION, fallback="hold")
    assert caught.value.kind == "invalid_argument"


def test_hold_of_a_stream_that_follows_ends_where_other_specs_answer(open_stream: Open) -> None:
    def react(request: Any, call: Call, _index: int) -> None:
        if request.sequence == 1:
            call.answer(1)
        if request.sequence == 4:
            # Of the newer version there is only what the server gives in its place.
            action = messages.Tensor(shape=[1, 3], data=np.ones(3, "<f4").tobytes())
            taken = messages.ActResponse().fallback_taken.__class__(fallback=2, reason="budget", age_ms=0)
            call.answer(4, action=action, version=8, fallback_taken=taken)

    stream, _ = open_stream(react, client_id="robot", follow=True)
    stream.act(observation=OBSERVATION, fallback="hold")

    def held(observation: Any = OBSERVATION) -> str | None:
        try:
            taken = stream.act(observation=observation, fallback="hold", timeout_ms=30).fallback
        except HyperpolicyError as error:
            return error.kind
        return None if taken is None else taken.kind

    assert [held(), held([1, 2, 3, 4])] == ["hold", "deadline_exceeded"]
    assert stream.act(observation=OBSERVATION).version == 8
    # The safe action that is known has two values as well.
    assert held() == "deadline_exceeded"


def test_an_action_that_is_too_old_is_not_returned(open_stream: Open) -> None:
    taken = messages.ActResponse().fallback_taken.__class__(fallback=3, reason="budget", age_ms=80)
    stream, _ = open_stream(lambda request, call, _: call.answer(request.sequence, fallback_taken=taken), client_id="r")
    result = stream.act(observation=OBSERVATION, fallback="hold", age_ms_max=NEVER_MS)
    assert result.fallback is not None
    assert (result.fallback.kind, result.fallback.reason, result.fallback.age_ms) == ("hold", "budget", 80)
    with pytest.raises(HyperpolicyError, match=r"^ActStream: expected an action of at most 79 ms, got one of \d+\.\d ms$"):
        stream.act(observation=OBSERVATION, age_ms_max=79, timeout_ms=NEVER_MS)


def test_the_age_of_a_held_action_counts_from_its_request(open_stream: Open) -> None:
    def react(request: Any, call: Call, _index: int) -> None:
        if request.sequence == 1:
            time.sleep(0.2)
            call.answer(1)

    stream, _ = open_stream(react, client_id="robot")
    stream.act(observation=OBSERVATION)
    held = stream.act(observation=OBSERVATION, timeout_ms=5, fallback="hold")
    assert held.fallback is not None
    assert held.fallback.age_ms >= 205
    until(lambda: knows_safe_action(stream))
    safe = stream.act(observation=OBSERVATION, timeout_ms=5, fallback="hold", age_ms_max=200)
    assert safe.fallback is not None
    assert safe.fallback.kind == "safe"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"action": {"shape": [1, 2], "data": np.array([1, np.inf], "<f4").tobytes()}}, "a response whose action has inf at 1"),
        ({"action": {"shape": [1, 2], "data": b""}}, "a response whose action has shape [1, 2] in 0 bytes for 1 rows"),
        ({"version": 0}, "a response without version"),
    ],
)
def test_an_answer_that_does_not_add_up_is_never_handed_on(open_stream: Open, changes: Any, what: str) -> None:
    stream, _ = open_stream(lambda request, call, _: call.answer(request.sequence, **changes))
    with pytest.raises(HyperpolicyError) as caught:
        stream.act(observation=OBSERVATION, fallback="safe")
    assert caught.value.kind == "failed_precondition"
    assert what in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xff", b""])
def test_what_is_no_answer_ends_the_stream(open_stream: Open, data: bytes) -> None:
    stream, script = open_stream(lambda request, call, _: call.answer(1) if request.sequence == 1 else call.out.put(data))
    stream.act(observation=OBSERVATION)
    with pytest.raises(HyperpolicyError) as caught:
        stream.act(observation=OBSERVATION)
    assert caught.value.kind == "failed_precondition"
    assert (stream.ended, stream.error) == (True, caught.value)
    until(lambda: [event.kind for event in script.events] == ["ended"])


def test_a_lost_stream_ends_and_still_stands_in(open_stream: Open) -> None:
    def react(request: Any, call: Call, _index: int) -> None:
        if request.sequence == 1:
            call.answer(1)
        else:
            call.finish(grpc.StatusCode.UNAVAILABLE, "the server drains")

    stream, script = open_stream(react, client_id="robot")
    stream.act(observation=OBSERVATION)
    with pytest.raises(HyperpolicyError) as caught:
        stream.act(observation=OBSERVATION)
    assert caught.value.kind == "unavailable"
    assert stream.ended
    held = stream.act(observation=OBSERVATION, fallback="hold")
    assert held.fallback is not None
    assert (held.fallback.kind, held.fallback.reason) == ("hold", "unavailable")
    assert len(script.calls) == 1


def test_a_lost_stream_resumes_with_its_version(open_stream: Open) -> None:
    def react(request: Any, call: Call, index: int) -> None:
        if index == 0 and request.sequence == 2:
            call.finish(grpc.StatusCode.UNAVAILABLE, "the server drains")
        else:
            call.answer(request.sequence)

    stream, script = open_stream(react, resume=True, client_id="robot", fingerprint="f")
    stream.act(observation=OBSERVATION)
    with pytest.raises(HyperpolicyError):
        stream.act(observation=OBSERVATION)
    assert stream.act(observation=OBSERVATION).sequence == 3
    opening = script.calls[1].requests[0].act
    assert (opening.model, opening.version, opening.client_id, opening.fingerprint) == ("m", 7, "robot", "f")
    until(lambda: [event.kind for event in script.events] == ["lost", "resumed"])
    lost, resumed = script.events
    assert lost.error is not None
    assert resumed.version == 7
    assert resumed.lost_ms is not None
    assert resumed.lost_ms > 0


@pytest.mark.parametrize("open_stream", [PolicyClient], indirect=True)
def test_a_listener_that_raises_is_told_of_what_follows(open_stream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda given: raised.append((given.exc_value, given.thread)))

    def react(request: Any, call: Call, index: int) -> None:
        if index == 0 and request.sequence == 2:
            call.finish(grpc.StatusCode.UNAVAILABLE, "the server drains")
        else:
            call.answer(request.sequence)

    told: list[str] = []

    def listen(event: ActStreamEvent) -> None:
        told.append(event.kind)
        raise ValueError(event.kind)

    others = set(threading.enumerate())
    stream, _ = open_stream(react, resume=True, on_event=listen)
    (thread,) = (one for one in threading.enumerate() if one not in others and one.name == "hyperpolicy events")
    stream.act(observation=OBSERVATION)
    with pytest.raises(HyperpolicyError):
        stream.act(observation=OBSERVATION)
    stream.act(observation=OBSERVATION)
    stream.close()
    thread.join()
    assert told == ["lost", "resumed", "ended"]
    assert [(str(error), by) for error, by in raised] == [(kind, thread) for kind in told]


@pytest.mark.parametrize("open_stream", [PolicyClient], indirect=True)
def test_without_a_listener_events_go_nowhere(open_stream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[Any] = []

    class Queue(SimpleQueue[Any]):
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            queued.append(item)
            super().put(item, block, timeout)

    monkeypatch.setattr("hyperpolicy.stream.SimpleQueue", Queue)
    stream, _ = open_stream(answers, on_event=None)
    stream.act(observation=OBSERVATION)
    stream.close()
    assert [one for one in queued if isinstance(one, ActStreamEvent)] == []
    assert stream.ended


def test_a_silent_call_is_given_up_for_another(open_stream: Open) -> None:
    def react(request: Any, call: Call, index: int) -> None:
        if index == 1 or request.sequence == 1:
            call.answer(request.sequence)

    stream, script = open_stream(react, resume=True)
    stream.act(observation=OBSERVATION)
    with pytest.raises(HyperpolicyError, match="within 1000 ms"):
        stream.act(observation=OBSERVATION, timeout_ms=1000)
    stream.act(observation=OBSERVATION)
    assert len(script.calls) == 2
    until(lambda: [event.kind for event in script.events] == ["lost", "resumed"])


def test_a_first_request_that_fails_costs_only_itself(open_stream: Open) -> None:
    def react(request: Any, call: Call, index: int) -> None:
        if index == 0:
            call.finish(grpc.StatusCode.NOT_FOUND, 'Act model: expected one of "a", got "m"')
        elif index == 2:
            call.answer(request.sequence)

    stream, script = open_stream(react)
    with pytest.raises(HyperpolicyError) as caught:
        stream.act(observation=OBSERVATION)
    assert caught.value.kind == "not_found"
    with pytest.raises(HyperpolicyError):
        stream.act(observation=OBSERVATION, timeout_ms=20)
    assert stream.act(observation=OBSERVATION).version == 7
    assert not script.events


def test_requests_before_the_newest_are_superseded(open_stream: Open) -> None:
    held: list[int] = []

    def react(request: Any, call: Call, _index: int) -> None:
        held.append(request.sequence)
        if len(held) == 3:
            call.answer(max(held))

    stream, script = open_stream(react, newest_wins=True)
    outcomes: list[str] = []

    def ask() -> None:
        try:
            outcomes.append(f"{stream.act(observation=OBSERVATION).sequence}")
        except HyperpolicyError as error:
            outcomes.append(error.kind)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["3", "superseded", "superseded"]
    assert script.calls[0].requests[0].newest_wins


def test_a_stream_that_is_closed_waits_for_what_is_pending(open_stream: Open) -> None:
    release = threading.Event()

    def react(request: Any, call: Call, _index: int) -> None:
        release.wait()
        call.answer(request.sequence)

    stream, script = open_stream(react)
    got: list[int] = []
    asking = threading.Thread(target=lambda: got.append(stream.act(observation=OBSERVATION).sequence))
    asking.start()
    until(lambda: bool(script.calls))
    closing = threading.Thread(target=stream.close)
    closing.start()
    until(lambda: stream.closed)
    assert not stream.ended
    with pytest.raises(HyperpolicyError, match=r"^ActStream: the stream has ended: expected an open one, got one that was closed\. Open"):
        stream.act(observation=OBSERVATION)
    release.set()
    closing.join()
    asking.join()
    assert (got, stream.ended, stream.error) == ([1], True, None)
    # Closed again, and before it began.
    stream.close()
    other, _ = open_stream(answers)
    other.close()
    assert other.ended


def test_a_server_that_never_ends_a_closed_stream_is_not_waited_for(open_stream: Open) -> None:
    stream, _ = open_stream(answers, ends=False)
    stream.act(observation=OBSERVATION)
    stream.close()
    assert stream.ended


def test_a_closed_client_ends_its_streams(scripted: Callable[..., Scripted]) -> None:
    script = Script(silence)
    server = scripted(unary={"GetModel": script.describe}, stream=script.stream)
    client = PolicyClient(server.address)
    stream = client.act_stream(model="m", client_id="robot", timeout_ms=NEVER_MS)
    kinds: list[str] = []

    def ask() -> None:
        try:
            stream.act(observation=OBSERVATION, fallback="hold")
        except HyperpolicyError as error:
            kinds.append(error.kind)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: bool(script.calls) and bool(script.calls[0].requests))
    client.close()
    asking.join()
    ask()
    assert kinds == ["cancelled", "cancelled"]
    assert (stream.closed, stream.ended) == (True, True)


def test_awaited_acts_settle_each_with_its_answer(scripted: Callable[..., Scripted]) -> None:
    def react(request: Any, call: Call, _index: int) -> None:
        if request.sequence not in (11, 12):
            call.answer(request.sequence)

    script = Script(react)
    server = scripted(unary={"GetModel": script.describe}, stream=script.stream)
    events: list[ActStreamEvent] = []

    async def run() -> None:
        async with hyperpolicy.AsyncPolicyClient(server.address) as client:
            stream = client.act_stream(model="m", timeout_ms=NEVER_MS, on_event=events.append)
            many = await asyncio.gather(*(stream.act(observation=OBSERVATION) for _ in range(10)))
            assert [one.sequence for one in many] == list(range(1, 11))
            with pytest.raises(HyperpolicyError, match="within 20 ms"):
                await stream.act(observation=OBSERVATION, timeout_ms=20)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(stream.act(observation=OBSERVATION), 0.02)
            assert (await stream.act(observation=OBSERVATION)).sequence == 13
            await stream.close()
            with pytest.raises(HyperpolicyError, match="the stream has ended"):
                await stream.act(observation=OBSERVATION)
            assert (stream.closed, stream.ended, stream.error, stream.version) == (True, True, None, 7)
            await asyncio.sleep(0)

    asyncio.run(run())
    assert [event.kind for event in events] == ["ended"]


def test_a_request_to_a_stream_that_has_ended_unnoticed_gets_the_error_of_the_server(
    scripted: Callable[..., Scripted],
) -> None:
    script = Script(answers)
    server = scripted(stream=script.stream)

    async def run() -> None:
        async with hyperpolicy.AsyncPolicyClient(server.address) as client:
            stream = client.act_stream(model="m", timeout_ms=NEVER_MS)
            await stream.act(observation=OBSERVATION)
            over = threading.Event()
            script.calls[0].context.add_callback(over.set)
            script.calls[0].finish(grpc.StatusCode.RESOURCE_EXHAUSTED, "ActStream: expected fewer streams, got one more")
            # The loop is busy meanwhile.
            over.wait()
            with pytest.raises(HyperpolicyError, match="expected fewer streams") as caught:
                await stream.act(observation=OBSERVATION)
            assert caught.value.kind == "resource_exhausted"
            assert stream.ended

    asyncio.run(run())


def test_a_closed_client_ends_awaited_acts_and_calls(scripted: Callable[..., Scripted]) -> None:
    over = threading.Event()
    script = Script(silence)

    def silent(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        over.wait()
        return b""

    server = scripted(unary={"ListModels": silent}, stream=script.stream)

    async def run() -> None:
        client = hyperpolicy.AsyncPolicyClient(server.address, timeout_ms=NEVER_MS)
        stream = client.act_stream(model="m", timeout_ms=NEVER_MS)
        pending = [asyncio.ensure_future(stream.act(observation=OBSERVATION)), asyncio.ensure_future(client.list_models())]
        while not script.calls or not script.calls[0].requests or len(server.metadata) < 2:
            await asyncio.sleep(0.005)
        await client.close()
        for error in await asyncio.gather(*pending, return_exceptions=True):
            assert isinstance(error, HyperpolicyError)
            assert error.kind == "cancelled"
        assert (stream.closed, stream.ended) == (True, True)

    asyncio.run(run())
    over.set()
