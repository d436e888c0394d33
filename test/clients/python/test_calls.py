"""Single calls, waited for and awaited, against the real server; and against servers that answer wrongly."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import OBSERVATION, ROOT, Scripted, Server, Servers, description

import hyperpolicy
from hyperpolicy import HyperpolicyError, PolicyClient
from hyperpolicy import _messages as messages
from hyperpolicy._direct_hosts import is_direct


def test_every_form_of_an_observation_gets_the_same_action(client: PolicyClient) -> None:
    forms: list[Any] = [[1, 2, 3], [[1, 2, 3]], np.array([1, 2, 3]), np.array([[1, 2, 3]], np.float32)]
    actions = [client.act(model="m", observation=each).action for each in forms]
    assert actions[0].shape == (1, 2)
    assert actions[0].dtype == np.float32
    for action in actions:
        np.testing.assert_array_equal(action, actions[0])


def test_models_are_listed_and_described(client: PolicyClient) -> None:
    (summary,) = (one for one in client.list_models() if one.model == "m")
    assert (summary.versions, dict(summary.labels)) == ((1,), {})
    described = client.get_model(model="m", version=1)
    assert (described.model, described.version, described.context) == ("m", 1, None)
    assert len(described.observation.names) == 3
    assert described.action.low.tolist() == [-1, -1]
    assert described.safe_action.tolist() == [0, 0]
    assert described.policy is not None
    assert not described.policy.stochastic


def test_the_fingerprint_is_agreed_on(client: PolicyClient) -> None:
    fingerprint = client.get_model(model="m").fingerprint
    assert client.act(model="m", observation=OBSERVATION, fingerprint=fingerprint).version == 1
    with pytest.raises(HyperpolicyError, match="^Act fingerprint: expected ") as caught:
        client.act(model="m", observation=OBSERVATION, fingerprint="sha256:other")
    assert caught.value.kind == "failed_precondition"


def test_the_error_of_the_server_comes_whole(client: PolicyClient) -> None:
    with pytest.raises(HyperpolicyError) as caught:
        client.act(model="m", observation=[1, 2])
    error = caught.value
    text = 'Act observation: expected 3 values per row for model "m", got shape [2]'
    assert (error.kind, error.where, str(error)) == ("invalid_argument", "Act observation", text)
    assert (error.expected, error.actual, error.remedy) == ('3 values per row for model "m"', "shape [2]", None)
    with pytest.raises(HyperpolicyError) as caught:
        client.act(model="m", observation=np.zeros((5000, 3)))
    assert caught.value.remedy == "Split the batch"


def test_a_request_over_the_limit_of_bytes_is_not_sent(server: Server) -> None:
    given: Any = {"model": "m", "observation": np.zeros(1000)}
    text = r"^Act request: expected at most 1000 bytes, got 4\d\d\d\. Send fewer rows, or raise message_bytes_max on both sides$"

    async def awaited() -> None:
        async with hyperpolicy.AsyncPolicyClient(server.address, message_bytes_max=1000) as client:
            await client.act(**given)

    with PolicyClient(server.address, message_bytes_max=1000) as client:
        for call in (lambda: client.act(**given), lambda: asyncio.run(awaited())):
            with pytest.raises(HyperpolicyError, match=text) as caught:
                call()
            assert caught.value.kind == "resource_exhausted"


def test_samples_have_their_seed_and_log_probability(client: PolicyClient) -> None:
    given: Any = {"model": "hyper", "observation": np.zeros((2, 3)), "context": [0.5, 1], "log_prob": True, "sequence": 9}
    result = client.act(**given, sample=True, seed=2**53 - 1)
    assert (result.seed, result.sequence) == (2**53 - 1, 9)
    assert result.log_prob is not None
    assert result.log_prob.shape == (2,)
    again = client.act(**given, sample=True, seed=result.seed)
    np.testing.assert_array_equal(again.action, result.action)


def test_q_grad_is_the_gradient_and_an_ascent_climbs_it(client: PolicyClient) -> None:
    given: Any = {"model": "m", "observation": OBSERVATION, "reduction": "q1"}
    action = np.array([[0.1, -0.2]], np.float32)
    at = client.q_grad(**given, action=action)
    h = 1e-3
    for i in range(2):
        step = np.zeros_like(action)
        step[0, i] = h
        slope = (client.q_grad(**given, action=action + step).q - client.q_grad(**given, action=action - step).q) / (2 * h)
        assert slope[0] == pytest.approx(at.dq_da[0, i], abs=1e-3)
    climbed = client.q_grad(**given, action=action, ascent={"step_count": 1, "step_size": 0.05})
    assert climbed.action is not None
    np.testing.assert_allclose(climbed.action, action + 0.05 * at.dq_da, rtol=1e-5)
    assert climbed.q[0] > at.q[0]


def test_a_posterior_is_inferred_and_acted_on(client: PolicyClient) -> None:
    prior = client.adapt(model="posterior", seed=3)
    assert prior.posterior is not None
    assert prior.posterior.mean.tolist() == [0, 0]
    steps: Any = {"observation": np.ones((4, 3)), "action": np.zeros((4, 2)), "reward": np.ones(4)}
    adapted = client.adapt(model="posterior", context_handle=prior.context_handle, seed=3, **steps)
    assert adapted.posterior is not None
    assert (adapted.posterior.transition_count, adapted.posterior.seed, adapted.weights) == (4, 3, None)
    by_handle = client.act(model="posterior", observation=OBSERVATION, context_handle=adapted.context_handle)
    by_context = client.act(model="posterior", observation=OBSERVATION, context=adapted.posterior.context)
    np.testing.assert_allclose(by_handle.action, by_context.action, atol=1e-6)


def test_weights_are_adapted(client: PolicyClient) -> None:
    rng = np.random.default_rng(1)
    adapted = client.adapt(
        model="weights",
        observation=rng.normal(size=(4, 3)),
        action=rng.normal(size=(4, 2)),
        reward=rng.normal(size=4),
        episode_lengths=[2, 2],
        context=[0, 1],
    )
    assert adapted.weights is not None
    assert adapted.weights.step_count == 1
    assert adapted.posterior is None


def test_weights_are_prepared_once(client: PolicyClient) -> None:
    contexts = [[0.25, 7], [0.5, 7]]
    first = client.prepare(model="hyper", context=contexts)
    again = client.prepare(model="hyper", context=contexts)
    assert (first.count, first.generated_count, again.generated_count) == (2, 2, 0)


def test_awaited_calls_answer_as_those_that_wait(server: Server, client: PolicyClient) -> None:
    async def awaited() -> None:
        async with hyperpolicy.AsyncPolicyClient(server.address, timeout_ms=30_000) as other:
            mine, theirs = client.get_model(model="m"), await other.get_model(model="m")
            assert mine.fingerprint == theirs.fingerprint
            many = await asyncio.gather(*(other.act(model="m", observation=[i, 0, 0], sequence=i) for i in range(20)))
            for i, result in enumerate(many):
                assert result.sequence == i
                np.testing.assert_array_equal(result.action, client.act(model="m", observation=[i, 0, 0]).action)
            with pytest.raises(HyperpolicyError) as caught:
                await other.act(model="none", observation=OBSERVATION)
            assert caught.value.kind == "not_found"
            value = await other.q_grad(model="m", observation=OBSERVATION, action=[0, 0])
            assert value.q.shape == (1,)
            assert len(await other.list_models()) == len(client.list_models())
            assert (await other.prepare(model="hyper", context=[3, 3])).count == 1
            assert (await other.adapt(model="posterior", seed=1)).posterior is not None

    asyncio.run(awaited())


def test_no_server_is_said(server: Server) -> None:
    with PolicyClient("127.0.0.1:1") as client, pytest.raises(HyperpolicyError) as caught:
        client.list_models()
    assert caught.value.kind == "unavailable"
    assert str(caught.value) == (
        "ListModels: expected a server at 127.0.0.1:1, got a refused connection. "
        'Start one with "hyperpolicy serve", or name another address'
    )
    with PolicyClient(server.admin) as client, pytest.raises(HyperpolicyError, match="--admin-port") as caught:
        client.list_models()
    assert caught.value.kind == "failed_precondition"


def test_a_connection_that_is_not_watched_has_no_thread(server: Server) -> None:
    before = set(threading.enumerate())
    with PolicyClient(server.address, keepalive_ms=0) as client:
        client.list_models()
        assert set(threading.enumerate()) <= before


def test_which_hosts_no_proxy_is_asked_for() -> None:
    cases = json.loads((ROOT / "test/clients/direct-hosts.json").read_text())
    assert [is_direct(case["address"], case["noProxy"]) for case in cases] == [case["isDirect"] for case in cases]


def test_a_proxy_is_for_other_machines(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody is there.
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.setenv(name, "elsewhere.example")
    port = server.address.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        with PolicyClient(f"{host}:{port}", http_proxy=True, timeout_ms=30_000) as client:
            assert client.act(model="m", observation=OBSERVATION).version == 1
    for address in ("robot.invalid:50051", "192.0.2.1:50051"):
        with PolicyClient(address, http_proxy=True, timeout_ms=30_000) as client:
            with pytest.raises(HyperpolicyError, match="got a refused connection"):
                client.list_models()
    monkeypatch.setenv("no_grpc_proxy", "elsewhere.example, *.invalid:50051")
    with PolicyClient("robot.invalid:50051", http_proxy=True, timeout_ms=30_000) as client:
        with pytest.raises(HyperpolicyError, match="robot.invalid") as caught:
            client.list_models()
    assert "refused" not in caught.value.actual


def test_a_port_of_http_is_told_so() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{http.server_port}"
        with PolicyClient(address) as client, pytest.raises(HyperpolicyError) as caught:
            client.list_models()
        http.shutdown()
    assert str(caught.value) == (
        f"ListModels: expected a server at {address}, got an answer that is not gRPC. gRPC is at the server's --port, not at those of HTTP. "
        "Check the address, and that client and server both use TLS or neither does"
    )


def test_a_port_that_never_answers_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with PolicyClient(address, timeout_ms=2000) as client, pytest.raises(HyperpolicyError) as caught:
            client.list_models()
    assert str(caught.value) == (
        f"ListModels: expected a server at {address}, got no sign of life. "
        "Check the address, and that client and server both use TLS or neither does; or the server is frozen"
    )


def test_a_closed_client_refuses_and_its_calls_end(scripted: Callable[..., Scripted]) -> None:
    def silent(_request: bytes, context: Any) -> bytes:
        client.close()
        return b""

    server = scripted(unary={"ListModels": silent})
    client = PolicyClient(server.address)
    for _ in range(2):
        with pytest.raises(HyperpolicyError) as caught:
            client.list_models()
        assert str(caught.value) == "ListModels: expected an open client, got one that was closed. Create another"
        assert caught.value.kind == "cancelled"


# The end of the interpreter stops the library's thread anywhere. In its place one that stops with the lock of the state that it looks at.
STOPPED_WITH_A_LOCK = '''
import atexit
import sys
import threading

is_ending = threading.Event()
has_lock = threading.Event()


def hold():
    is_ending.wait()
    lock.acquire()
    has_lock.set()
    threading.Event().wait()


threading.Thread(target=hold, daemon=True).start()
atexit.register(lambda: (is_ending.set(), has_lock.wait()))
import hyperpolicy

client = hyperpolicy.PolicyClient(sys.argv[1])
client.list_models()
lock = client._core.connection.link("test").channel._connectivity_state.lock
client.close()
'''


def test_a_program_that_closed_its_client_ends_wherever_the_threads_of_the_library_are(server: Server) -> None:
    subprocess.run([sys.executable, "-c", STOPPED_WITH_A_LOCK, server.address], check=True, timeout=30)


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    # Accepts connections, and never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with PolicyClient(address, timeout_ms=50) as client, pytest.raises(HyperpolicyError) as caught:
            client.list_models()
        assert str(caught.value) == f"ListModels: expected an answer of {address} within 50 ms, got none"
        assert caught.value.kind == "deadline_exceeded"

        async def cancelled() -> None:
            async with hyperpolicy.AsyncPolicyClient(address) as other:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(other.list_models(timeout_ms=60_000), 0.05)

        asyncio.run(cancelled())


def act_response(**changes: Any) -> bytes:
    action = messages.Tensor(shape=[1, 2], data=np.array([0.5, 1], "<f4").tobytes())
    fields = {"action": action, "version": 7, "timing": {}, **changes}
    return bytes(messages.ActResponse(**{k: v for k, v in fields.items() if v is not None}).SerializeToString())


def floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


@pytest.mark.parametrize(
    ("response", "what"),
    [
        (b"\xff\xff", "a response that does not parse ("),
        (b"", "a response without version"),
        (act_response(timing=None), "a response without timing"),
        (act_response(action=None), "a response without action"),
        (act_response(action={"shape": [2, 2], "data": floats(1, 2, 3, 4)}), "has shape [2, 2] in 16 bytes for 1 rows"),
        (act_response(action={"shape": [1, 2], "data": floats(1)}), "has shape [1, 2] in 4 bytes for 1 rows"),
        (act_response(action={"shape": [2], "data": floats(1, 2)}), "has shape [2] in 8 bytes for 1 rows"),
        (act_response(action={"shape": [1, 0], "data": b""}), "has shape [1, 0] in 0 bytes for 1 rows"),
        (act_response(action={"shape": [1, 2], "data": floats(1, np.nan)}), "a response whose action has nan at 1"),
    ],
)
def test_answers_that_do_not_add_up_are_never_handed_on(
    scripted: Callable[..., Scripted], response: bytes, what: str
) -> None:
    server = scripted(unary={"Act": lambda _request, _context: response})
    with PolicyClient(server.address) as client, pytest.raises(HyperpolicyError) as caught:
        client.act(model="m", observation=OBSERVATION, fallback="safe", budget_us=1)
    assert caught.value.kind == "failed_precondition"
    assert what in str(caught.value)
    assert str(caught.value).startswith(f"Act: expected a hyperpolicy server at {server.address}, got a response")


def test_the_range_of_a_models_tasks(scripted: Callable[..., Scripted]) -> None:
    ranges: Any = iter([{}, {"task_range": {"low": [0.0], "high": [2.5]}}, {"task_range": {"low": [0.0]}}])
    server = scripted(unary={"GetModel": lambda _request, _context: description(**next(ranges))})
    with PolicyClient(server.address) as client:
        assert client.get_model(model="m").task_range is None
        given = client.get_model(model="m").task_range
        assert given is not None
        assert (given.low.tolist(), given.high.tolist()) == ([0], [2.5])
        with pytest.raises(HyperpolicyError, match="got a response whose task range is not whole"):
            client.get_model(model="m")


def test_an_answer_that_is_too_old_is_not_held_in_its_own_place(scripted: Callable[..., Scripted]) -> None:
    def late(_request: bytes, _context: Any) -> bytes:
        time.sleep(0.1)
        return act_response()

    server = scripted(unary={"Act": late})
    with PolicyClient(server.address) as client, pytest.raises(HyperpolicyError, match="of at most 50 ms, got one of") as caught:
        client.act(model="m", client_id="r", observation=OBSERVATION, fallback="hold", age_ms_max=50)
    assert caught.value.kind == "deadline_exceeded"


def test_an_action_is_held_for_its_own_fingerprint_and_handle(scripted: Callable[..., Scripted]) -> None:
    over = threading.Event()

    def act(data: bytes, _context: Any) -> bytes:
        if messages.ActRequest.FromString(data).sequence != 1:
            over.wait()
        return act_response()

    server = scripted(unary={"Act": act})
    with PolicyClient(server.address, timeout_ms=30_000) as client:

        def held(**given: Any) -> str | None:
            asked: Any = {"observation": OBSERVATION, "client_id": "robot", "fallback": "hold", **given}
            client.act(**{**asked, "fingerprint": "a", "context_handle": "a"}, sequence=1)
            try:
                taken = client.act(**asked, sequence=2, timeout_ms=30).fallback
            except HyperpolicyError as error:
                return error.kind
            return None if taken is None else taken.kind

        by_fingerprint = [held(model="m", fingerprint=one, context_handle="a") for one in "ab"]
        by_handle = [held(model="m", context_handle=one) for one in "ab"]
        by_handle_alone = [held(model="", context_handle=one) for one in "ab"]
        over.set()
    assert by_fingerprint == ["hold", "deadline_exceeded"]
    assert by_handle == ["hold", "hold"]
    assert by_handle_alone == ["hold", "deadline_exceeded"]


def test_calls_carry_metadata_and_a_routing_key(scripted: Callable[..., Scripted]) -> None:
    server = scripted(unary={"Act": lambda _request, _context: act_response()})
    with PolicyClient(server.address, token="t0ken", metadata={"fleet": "a", "robot": "1"}) as client:
        client.act(model="m", observation=OBSERVATION, metadata={"robot": "2"})
        client.act(model="m", observation=OBSERVATION, client_id="robot-1")
        client.act(model="m", observation=OBSERVATION, context=[1, 2])
        client.act(model="m", observation=OBSERVATION)
    first, by_client, by_context, last = server.metadata
    assert (first["authorization"], first["fleet"], first["robot"]) == ("Bearer t0ken", "a", "2")
    keys = [one["hyperpolicy-routing-key"] for one in (first, by_client, by_context, last)]
    assert keys[0] == keys[3]
    # The digest is that of the TypeScript client: sha1 of the float32 values, in base64url.
    assert keys[1:3] == ["robot-1", "f24dfeOrLUdlg4L8"]


def test_tokens_and_certificates_are_asked_for(servers: Servers, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps([{"name": "robot", "sha256": sha256(b"t0ken").hexdigest(), "models": ["m"]}]))
    for name in ("server", "client"):
        # Each signs itself: it is its own authority.
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:robots.example"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")]
        subprocess.run(["openssl", "req", "-x509", "-days", "2", *curve, *files, *subject], check=True, capture_output=True)
    server = servers.start(
        *("--tokens", str(tokens)),
        *("--tls-certificate", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key")),
        *("--tls-client-authority", str(tmp_path / "client.pem")),
    )

    def kind(token: str | None, **tls: Any) -> str:
        given = hyperpolicy.Tls(authority=(tmp_path / "server.pem").read_bytes(), server_name="robots.example", **tls)
        with PolicyClient(server.address, tls=given, token=token, timeout_ms=30_000) as client:
            try:
                return f"version {client.act(model='m', observation=OBSERVATION).version}"
            except HyperpolicyError as error:
                return error.kind

    own = {name: (tmp_path / f"client.{end}").read_bytes() for name, end in (("certificate", "pem"), ("key", "key"))}
    assert kind("t0ken", **own) == "version 1"
    assert kind("other", **own) == "unauthenticated"
    assert kind(None, **own) == "unauthenticated"
    # Nothing is learnt without a certificate.
    assert kind("t0ken") == "unavailable"
    with PolicyClient(server.address, token="t0ken") as client, pytest.raises(HyperpolicyError) as caught:
        client.list_models()
    assert caught.value.kind == "unavailable"
    assert caught.value.remedy is not None
