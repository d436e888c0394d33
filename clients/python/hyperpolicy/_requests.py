"""Arguments of the methods, and the messages that they make, checked."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

import numpy as np

from . import _messages as messages
from ._checks import (
    check_boolean,
    check_choice,
    check_integer,
    check_metadata,
    check_names,
    check_number,
    check_one_of,
    check_text,
    check_time,
    shown,
)
from ._tensors import TensorLike, given_array, set_tensor, tensor_message
from .errors import invalid_argument

UINT32_MAX = 2**32 - 1
_SEED_MAX = 2**53 - 1


class CallArguments(TypedDict, total=False):
    """Of every call: `timeout_ms` to wait for the answer, the client's unless given; `metadata` beside the client's."""

    timeout_ms: float | None
    metadata: Mapping[str, str] | None


class ModelSelection(TypedDict, total=False):
    """The newest version that is ready where neither version nor label is given. `model` may be "" beside a context handle."""

    model: Required[str]
    version: int | None
    label: str | None


class GetModelArguments(ModelSelection, CallArguments, total=False):
    """Which model to describe."""


class _Common(ModelSelection, CallArguments, total=False):
    fingerprint: str | None
    client_id: str | None
    sequence: int | None


class ActInputs(TypedDict, total=False):
    """
    `observation` is [B, O] or [O]; `context` one for all rows, [C] or [1, C], or one per row, [B, C]. `seed` is in [0, 2^53).
    `budget_us` is the time to answer in from when the server has the message; 0 is none. `fallback` is what to answer when it is over.
    `age_ms_max` bounds the age of what is returned: of a fresh action from the call on, of a held one from the request that it answers.
    """

    observation: Required[TensorLike]
    context: TensorLike | None
    context_handle: str | None
    sample: bool
    seed: int | None
    log_prob: bool
    budget_us: int
    fallback: Literal["error", "safe", "hold"] | None
    age_ms_max: float | None


class ActArguments(ActInputs, _Common, total=False):
    """Of a single call."""


class Ascent(TypedDict):
    """`step_count` times: action <- clip(action + step_size dq/da)."""

    step_count: int
    step_size: float


class QGradArguments(_Common, total=False):
    """`observation` is [B, O], or one for all actions, [O] or [1, O]; `action` is [B, A] or [A]."""

    observation: Required[TensorLike]
    action: Required[TensorLike]
    context: TensorLike | None
    context_handle: str | None
    reduction: Literal["q1", "min", "mean"] | None
    ascent: Ascent | None


class AdaptArguments(_Common, total=False):
    """
    N steps of one task, [N, O], [N, A] and [N]; none at all where a posterior may begin with its prior. The next observation, [N, O],
    where the model reads it.
    """

    observation: TensorLike | None
    action: TensorLike | None
    reward: TensorLike | None
    next_observation: TensorLike | None
    episode_lengths: Sequence[int] | None
    context: TensorLike | None
    context_handle: str | None
    seed: int | None
    use_mean: bool | None


class PrepareArguments(ModelSelection, CallArguments, total=False):
    """Contexts of a hyper policy, [K, C] or [C], or observations of a hyper critic, [K, O] or [O]."""

    fingerprint: str | None
    client_id: str | None
    context: TensorLike | None
    observation: TensorLike | None
    pinning: Literal["pin", "unpin"] | None


SELECTION_NAMES = ("model", "version", "label")
COMMON_NAMES = (*SELECTION_NAMES, "fingerprint", "client_id", "sequence")
CALL_NAMES = ("timeout_ms", "metadata")
INPUT_NAMES = ("observation", "context", "context_handle", "sample", "seed", "log_prob", "budget_us", "fallback")
_ACT_NAMES = (*COMMON_NAMES, *INPUT_NAMES, "age_ms_max", *CALL_NAMES)
_Q_GRAD_NAMES = (
    *COMMON_NAMES,
    *("observation", "action", "context", "context_handle", "reduction", "ascent"),
    *CALL_NAMES,
)
_ADAPT_NAMES = (
    *COMMON_NAMES,
    *("observation", "action", "reward", "next_observation", "episode_lengths", "context", "context_handle"),
    *("seed", "use_mean"),
    *CALL_NAMES,
)
_PREPARE_NAMES = (
    *SELECTION_NAMES,
    *("fingerprint", "client_id", "context", "observation", "pinning"),
    *CALL_NAMES,
)

_FALLBACKS = messages.enum_numbers("Fallback")
_REDUCTIONS = messages.enum_numbers("Reduction")
_PINNINGS = messages.enum_numbers("Pinning")

Fields = dict[str, Any]
Given = Mapping[str, Any]


def check_call(where: str, given: Given) -> float | None:
    """Returns how long to wait, milliseconds; None where it is not given."""
    timeout_ms = given.get("timeout_ms")
    wait_ms = None if timeout_ms is None else check_time(f"{where} timeout_ms", timeout_ms)
    if given.get("metadata") is not None:
        check_metadata(f"{where} metadata", given["metadata"])
    return wait_ms


def selection_fields(where: str, given: Given) -> Fields:
    model, version, label = given.get("model"), given.get("version"), given.get("label")
    if not isinstance(model, str):
        raise invalid_argument(f"{where} model", "the name of a model", shown(model))
    fields: Fields = {"model": check_text(f"{where} model", model)} if model else {}
    if version is not None:
        check_one_of(where, given, ("version", "label"))
        fields["version"] = check_integer(f"{where} version", version, 1, UINT32_MAX)
    if label is not None:
        fields["label"] = check_text(f"{where} label", label)
    return fields


def common_fields(where: str, given: Given) -> Fields:
    fields: Fields = {}
    for name in ("fingerprint", "client_id"):
        text = given.get(name)
        if text is not None and text != "":
            fields[name] = check_text(f"{where} {name}", text, 256)
    if given.get("sequence") is not None:
        fields["sequence"] = check_integer(f"{where} sequence", given["sequence"], 0, 2**64 - 1)
    return selection_fields(where, given) | fields


def _context_fields(where: str, given: Given) -> Fields:
    """The context of a request, or the handle in its place."""
    if given.get("context_handle") is not None:
        check_one_of(where, given, ("context", "context_handle"))
        return {"context_handle": check_text(f"{where} context_handle", given["context_handle"])}
    if given.get("context") is None:
        return {}
    return {"context": tensor_message(f"{where} context", given["context"])}


def _seed(where: str, given: Given) -> int:
    return check_integer(f"{where} seed", given["seed"], 0, _SEED_MAX)


def set_inputs(message: Any, where: str, given: Given) -> None:
    """
    Fills in the fields that every request of a stream has of its own. Only what is given is looked at, and set one by one: of a request
    every 10 ms this is what costs the client most.
    """
    fallback = given.get("fallback")
    if fallback is not None:
        message.fallback = _FALLBACKS[check_choice(f"{where} fallback", fallback, _FALLBACKS)]
    set_tensor(message.observation, f"{where} observation", given.get("observation"))
    if given.get("context_handle") is not None or given.get("context") is not None:
        for name, value in _context_fields(where, given).items():
            _set(message, name, value)
    if "sample" in given:
        message.sample = check_boolean(f"{where} sample", given["sample"])
    if given.get("seed") is not None:
        message.seed = _seed(where, given)
    if "log_prob" in given:
        message.log_prob = check_boolean(f"{where} log_prob", given["log_prob"])
    if "budget_us" in given:
        message.budget_us = check_budget(where, given["budget_us"])


def check_budget(where: str, given: Any) -> int:
    return check_integer(f"{where} budget_us", given, 0, UINT32_MAX)


def check_hold(where: str, fallback: Any, client_id: str | None) -> None:
    """
    Actions are held by client: those of two robots without a name would be one. The server says the same, but is not there when a client
    stands in for it.
    """
    if fallback == "hold" and not client_id:
        raise invalid_argument(f"{where} fallback", "a client_id with hold", "none", "Name the client, or use safe")


def _set(message: Any, name: str, value: Any) -> None:
    """Messages are copied into a field, and not assigned."""
    if isinstance(value, messages.Tensor):
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)


def act_request(where: str, given: Given) -> Any:
    check_names(where, given, _ACT_NAMES)
    request = messages.ActRequest(**common_fields(where, given))
    set_inputs(request, where, given)
    check_hold(where, given.get("fallback"), request.client_id)
    return request


def q_grad_request(where: str, given: Given) -> Any:
    check_names(where, given, _Q_GRAD_NAMES)
    reduction, ascent = given.get("reduction"), given.get("ascent")
    fields: Fields = {}
    if reduction is not None:
        fields["reduction"] = _REDUCTIONS[check_choice(f"{where} reduction", reduction, _REDUCTIONS)]
    if ascent is not None:
        fields["ascent"] = _ascent(f"{where} ascent", ascent)
    return messages.QGradRequest(
        **common_fields(where, given),
        observation=tensor_message(f"{where} observation", given.get("observation")),
        action=tensor_message(f"{where} action", given.get("action")),
        **_context_fields(where, given),
        **fields,
    )


def _ascent(where: str, given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise invalid_argument(where, "a dict with step_count and step_size", shown(given))
    check_names(where, given, ("step_count", "step_size"))
    return messages.Ascent(
        step_count=check_integer(f"{where}.step_count", given.get("step_count"), 0, UINT32_MAX),
        step_size=check_number(f"{where}.step_size", given.get("step_size")),
    )


def adapt_request(where: str, given: Given) -> Any:
    check_names(where, given, _ADAPT_NAMES)
    lengths = given.get("episode_lengths")
    if lengths is None:
        lengths = ()
    if isinstance(lengths, str) or not isinstance(lengths, Sequence | np.ndarray):
        raise invalid_argument(f"{where} episode_lengths", "a sequence of counts", shown(lengths))
    use_mean = given.get("use_mean")
    tensors = {
        name: tensor_message(f"{where} {name}", given[name])
        for name in ("observation", "action", "reward", "next_observation")
        if given.get(name) is not None
    }
    return messages.AdaptRequest(
        **common_fields(where, given),
        **tensors,
        episode_lengths=[
            check_integer(f"{where} episode_lengths[{i}]", length, 1, UINT32_MAX) for i, length in enumerate(lengths)
        ],
        **_context_fields(where, given),
        **({} if given.get("seed") is None else {"seed": _seed(where, given)}),
        **({} if use_mean is None else {"use_mean": check_boolean(f"{where} use_mean", use_mean)}),
    )


def prepare_request(where: str, given: Given) -> Any:
    check_names(where, given, _PREPARE_NAMES)
    check_one_of(where, given, ("context", "observation"))
    pinning = given.get("pinning")
    if pinning is not None:
        check_choice(f"{where} pinning", pinning, _PINNINGS)
    targets = {
        name: tensor_message(f"{where} {name}", given[name])
        for name in ("context", "observation")
        if given.get(name) is not None
    }
    pin = 0 if pinning is None else _PINNINGS[pinning]
    return messages.PrepareRequest(**common_fields(where, given), **targets, pinning=pin)


def get_model_request(where: str, given: Given) -> Any:
    check_names(where, given, (*SELECTION_NAMES, *CALL_NAMES))
    return messages.GetModelRequest(**selection_fields(where, given))


def routing_key(given: Given) -> str | None:
    """
    What a balancer may tell servers by, so that what one of them holds is found again: who asks, else the context, whose weights are
    kept. None is the client itself, which also holds for handles: Adapt and what follows go to one server.
    """
    client_id, context = given.get("client_id"), given.get("context")
    if client_id:
        # Header fields are printable.
        return str(client_id) if re.fullmatch(r"[\x21-\x7e]+", client_id) else _digest(client_id.encode())
    if context is None or given.get("context_handle") is not None:
        return None
    return _digest(given_array("context", context).tobytes())


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha1(data, usedforsecurity=False).digest())[:16].decode()
