"""What a caller gives is checked and named before anything is sent."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import numpy as np
import pytest

import hyperpolicy
from hyperpolicy._tensors import given_array

ADDRESS = "127.0.0.1:1"
FORMS = "an array of numbers, a sequence of numbers, or a sequence of equally long rows"
GOOD: dict[str, Any] = {"model": "m", "observation": [1, 2, 3]}


def refusal(call: Any) -> str:
    with pytest.raises(hyperpolicy.HyperpolicyError) as caught:
        call()
    assert caught.value.kind == "invalid_argument"
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, f"t: expected {FORMS}, got none"),
        (3, f"t: expected {FORMS}, got 3"),
        ("1,2", f't: expected {FORMS}, got "1,2"'),
        ({"data": [1]}, f"t: expected {FORMS}, got a dict with data"),
        (np.array(["1"]), f"t: expected {FORMS}, got an array of <U1 with shape [1]"),
        (np.array([True]), f"t: expected {FORMS}, got an array of bool with shape [1]"),
        (np.array([1j]), f"t: expected {FORMS}, got an array of complex128 with shape [1]"),
        (np.float32(1), f"t: expected {FORMS}, got 1.0"),
        (np.zeros(()), "t shape: expected one or two sizes, got []"),
        (np.zeros((1, 1, 3)), "t shape: expected one or two sizes, got [1, 1, 3]"),
        ([1, float("nan")], "t[1]: expected a number that is finite in float32, got nan"),
        ([[1.0], [float("inf")]], "t[1][0]: expected a number that is finite in float32, got inf"),
        ([1e39], "t[0]: expected a number that is finite in float32, got 1e+39"),
        (np.array([1, np.nan], np.float32), "t[1]: expected a number that is finite in float32, got nan"),
        # What is masked was not measured; NumPy keeps some value under the mask.
        (np.ma.masked_array([1, 2], mask=[False, True]), "t[1]: expected a number that is finite in float32, got nan"),
        ([1, "2"], 't[1]: expected a number, got "2"'),
        ([1, None], "t[1]: expected a number, got none"),
        ([1, 10**400], "t[1]: expected a number that is finite in float32, got inf"),
        ([True], "t[0]: expected a number, got True"),
        ([[1], 2], "t[1]: expected a sequence of numbers, got 2"),
        ([[[1]]], "t[0][0]: expected a number, got a list of 1"),
        ([[1, 2], [3]], "t: expected 2 values in every row, got 1 in row 1"),
    ],
)
def test_tensors_that_are_refused(given: Any, text: str) -> None:
    assert refusal(lambda: given_array("t", given)) == text


def test_tensors_of_every_form_become_the_same_float32() -> None:
    forms: list[Any] = [[1, 2, 3], (1.0, 2, np.int64(3)), range(1, 4), np.arange(1, 4), np.arange(1.0, 4.0), np.array([1, 2, 3], ">f8"), np.ma.masked_array([1, 2, 3])]
    for given in forms:
        assert given_array("t", given).tolist() == [1, 2, 3]
        assert given_array("t", given).dtype == np.dtype("<f4")
    rows: list[Any] = [[[1, 2], [3, 4]], [np.array([1, 2]), np.array([3, 4])], np.array([[1, 3], [2, 4]]).T]
    for given in rows:
        assert given_array("t", given).tobytes() == np.array([1, 2, 3, 4], "<f4").tobytes()
    # For the server to refuse.
    assert given_array("t", []).shape == (0,)


@pytest.mark.parametrize(
    ("method", "given", "text"),
    [
        ("act", {"observation": [1]}, "Act model: expected the name of a model, got none"),
        ("act", {"model": "m"}, f"Act observation: expected {FORMS}, got none"),
        ("act", {**GOOD, "fallbak": "safe"}, r'^Act: expected options among model, .*, got "fallbak"$'),
        ("act", {**GOOD, "version": "1"}, 'Act version: expected an integer from 1 to 4294967295, got "1"'),
        ("act", {**GOOD, "version": 0}, "Act version: expected an integer from 1 to 4294967295, got 0"),
        ("act", {**GOOD, "version": True}, "Act version: expected an integer from 1 to 4294967295, got True"),
        ("act", {**GOOD, "version": 1, "label": "a"}, "Act: expected one of version and label, got both"),
        ("act", {**GOOD, "label": ""}, 'Act label: expected a text that is not empty, got ""'),
        ("act", {**GOOD, "label": "\ud800"}, "Act label: expected a text that UTF-8 can encode, got '\\ud800'"),
        (
            "act",
            {**GOOD, "context": [1], "context_handle": "a"},
            "Act: expected one of context and context_handle, got both",
        ),
        ("act", {**GOOD, "seed": -1}, "Act seed: expected an integer from 0 to 9007199254740991, got -1"),
        ("act", {**GOOD, "sample": "no"}, 'Act sample: expected True or False, got "no"'),
        ("act", {**GOOD, "budget_us": 0.5}, "Act budget_us: expected an integer from 0 to 4294967295, got 0.5"),
        ("act", {**GOOD, "fallback": "last"}, 'Act fallback: expected one of error, safe, hold, got "last"'),
        (
            "act",
            {**GOOD, "fallback": "hold"},
            "Act fallback: expected a client_id with hold, got none. Name the client, or use safe",
        ),
        ("act", {**GOOD, "sequence": -1}, "Act sequence: expected an integer from 0 to 18446744073709551615, got -1"),
        ("act", {**GOOD, "client_id": "x" * 257}, r'^Act client_id: expected at most 256 bytes, got "xxx'),
        ("act", {**GOOD, "timeout_ms": "5s"}, 'Act timeout_ms: expected a number of milliseconds above 0, got "5s"'),
        ("act", {**GOOD, "timeout_ms": 0}, "Act timeout_ms: expected a number of milliseconds above 0, got 0"),
        (
            "act",
            {**GOOD, "timeout_ms": float("nan")},
            "Act timeout_ms: expected a number of milliseconds above 0, got nan",
        ),
        (
            "act",
            {**GOOD, "timeout_ms": -(10**5000)},
            "Act timeout_ms: expected a number of milliseconds above 0, got an integer of 16610 bits",
        ),
        ("act", {**GOOD, "age_ms_max": -1}, "Act age_ms_max: expected a number of milliseconds above 0, got -1"),
        ("act", {**GOOD, "metadata": {"X-A": "a"}}, r'^Act metadata: expected names of a-z .*, got "X-A"$'),
        (
            "act",
            {**GOOD, "metadata": {"a": "ä"}},
            'Act metadata a: expected a text of printable ASCII characters, got "ä"',
        ),
        ("q_grad", GOOD, f"QGrad action: expected {FORMS}, got none"),
        (
            "q_grad",
            {**GOOD, "action": [1], "reduction": "max"},
            'QGrad reduction: expected one of q1, min, mean, got "max"',
        ),
        (
            "q_grad",
            {**GOOD, "action": [1], "ascent": {"steps": 3}},
            'QGrad ascent: expected options among step_count, step_size, got "steps"',
        ),
        (
            "q_grad",
            {**GOOD, "action": [1], "ascent": {"step_count": 3}},
            "QGrad ascent.step_size: expected a number, got none",
        ),
        ("adapt", {}, "Adapt model: expected the name of a model, got none"),
        ("adapt", {"model": "m", "reward": 1}, f"Adapt reward: expected {FORMS}, got 1"),
        (
            "adapt",
            {"model": "m", "episode_lengths": 3},
            "Adapt episode_lengths: expected a sequence of counts, got 3",
        ),
        (
            "adapt",
            {"model": "m", "episode_lengths": [0]},
            "Adapt episode_lengths[0]: expected an integer from 1 to 4294967295, got 0",
        ),
        ("prepare", {**GOOD, "context": [1]}, "Prepare: expected one of context and observation, got both"),
        ("prepare", {**GOOD, "pinning": True}, "Prepare pinning: expected one of pin, unpin, got True"),
        ("get_model", {}, "GetModel model: expected the name of a model, got none"),
        ("list_models", {"timeout_ms": -5}, "ListModels timeout_ms: expected a number of milliseconds above 0, got -5"),
        ("act_stream", {}, "ActStream model: expected the name of a model, got none"),
        ("act_stream", {"model": "m", "resumes": True}, r'^ActStream: expected options among .*, got "resumes"$'),
        ("act_stream", {"model": "m", "resume": 1}, "ActStream resume: expected True or False, got 1"),
        ("act_stream", {"model": "m", "on_event": 1}, "ActStream on_event: expected a function, got 1"),
        (
            "act_stream",
            {"model": "m", "timeout_ms": "1"},
            'ActStream timeout_ms: expected a number of milliseconds above 0, got "1"',
        ),
    ],
)
def test_requests_that_are_refused(method: str, given: Any, text: str) -> None:
    async def awaited() -> None:
        async with hyperpolicy.AsyncPolicyClient(ADDRESS) as client:
            result = getattr(client, method)(**given)
            if method != "act_stream":
                await result

    with hyperpolicy.PolicyClient(ADDRESS) as client:
        told = refusal(lambda: getattr(client, method)(**given))
    assert re.search(text, told) if text.startswith("^") else told == text
    assert refusal(lambda: asyncio.run(awaited())) == told


@pytest.mark.parametrize(
    ("address", "options", "text"),
    [
        (None, {}, "PolicyClient address: expected host:port, such as 127.0.0.1:50051 or [::1]:50051, got none"),
        ("http://a:1", {}, r'^PolicyClient address: expected host:port.*got "http://a:1"$'),
        ("a:0", {}, "^PolicyClient address: expected host:port"),
        (ADDRESS, {"adress": 1}, r'^PolicyClient: expected options among tls, .*, got "adress"$'),
        (
            ADDRESS,
            {"message_bytes_max": "1"},
            'PolicyClient message_bytes_max: expected an integer from 1 to 2147483647, got "1"',
        ),
        (
            ADDRESS,
            {"keepalive_ms": -1},
            "PolicyClient keepalive_ms: expected a number of milliseconds from 0, got -1",
        ),
        (ADDRESS, {"tls": True}, "PolicyClient tls: expected hyperpolicy.Tls(...), got True"),
        (
            ADDRESS,
            {"tls": hyperpolicy.Tls(authority="ca.pem")},  # type: ignore[arg-type]
            'PolicyClient tls.authority: expected bytes of PEM, got "ca.pem". Read the file: pathlib.Path(name).read_bytes()',
        ),
        (
            ADDRESS,
            {"tls": hyperpolicy.Tls(key=b"-----BEGIN X")},
            "PolicyClient tls: expected certificate and key, or neither, got no certificate",
        ),
    ],
)
def test_clients_that_are_refused(address: Any, options: Any, text: str) -> None:
    told = refusal(lambda: hyperpolicy.PolicyClient(address, **options))
    assert re.search(text, told) if text.startswith("^") else told == text


def test_a_time_of_any_length_is_one() -> None:
    ever = 10**400
    with hyperpolicy.PolicyClient(ADDRESS, timeout_ms=ever, keepalive_timeout_ms=ever, reconnect_ms_max=ever) as client:
        stream = client.act_stream(model="m", timeout_ms=ever, age_ms_max=ever)
        for act in (lambda: client.act(**GOOD, timeout_ms=ever, age_ms_max=ever), lambda: stream.act(observation=[1])):
            with pytest.raises(hyperpolicy.HyperpolicyError, match="got a refused connection"):
                act()


def test_a_token_that_fits_no_header_is_not_shown() -> None:
    told = refusal(lambda: hyperpolicy.PolicyClient(ADDRESS, token="secret\n"))
    assert told == (
        "PolicyClient token: expected printable ASCII characters without spaces, got 7 characters, not all of which are"
    )
