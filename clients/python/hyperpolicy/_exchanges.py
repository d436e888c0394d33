"""One exchange of each method: what to send, and what to make of what comes. Whether a caller waits or awaits is the clients' own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError

from . import _messages as messages
from . import _requests as requests
from . import _responses as responses
from ._checks import check_names, check_time
from ._connection import CONNECTION_DEFAULTS, WAIT_MS_MAX, CallSettings, Connection
from ._stand_ins import InPlaceOf, StandIns, now_ms, reason_of
from ._tensors import Sender, row_count, row_size
from .errors import old_error
from .results import ActResult, AdaptResult, ModelDescription, ModelSummary, PrepareResult, QGradResult

T = TypeVar("T")
C = TypeVar("C", bound=Connection)

_TIMEOUT_MS = 5000


class Exchange(Generic[T]):
    """A request that is checked, and how to read its response."""

    def __init__(
        self,
        method: str,
        request: Any,
        given: Mapping[str, Any],
        *,
        timeout_ms: float,
        routing_key: str | None,
        receive: Callable[[bytes], T],
        instead: Callable[[Exception], T | None] = lambda _: None,
    ) -> None:
        own_ms = requests.check_call(method, given)
        self.method = method
        self.request = request
        wait_ms = min(timeout_ms if own_ms is None else own_ms, WAIT_MS_MAX)
        self.settings = CallSettings(wait_ms, given.get("metadata"), routing_key)
        # Both raise what the caller gets; `receive` where the response does not add up.
        self.receive = receive
        self._instead = instead

    def fail(self, error: Exception) -> T:
        """What stands in for an answer. Raises `error` where there is nothing."""
        result = self._instead(error)
        if result is None:
            raise error
        return result


class Core(Generic[C]):
    """What both clients are made of."""

    def __init__(
        self, where: str, address: str, options: Mapping[str, Any], connect: Callable[[str, str, Mapping[str, Any]], C]
    ) -> None:
        """`connect` makes the connection, of the same arguments. Raises invalid_argument naming the option."""
        check_names(where, options, (*CONNECTION_DEFAULTS, "timeout_ms"))
        told = options.get("timeout_ms")
        # For streams, whose default is another.
        self.told_timeout_ms = None if told is None else check_time(f"{where} timeout_ms", told)
        self.timeout_ms = _TIMEOUT_MS if self.told_timeout_ms is None else self.told_timeout_ms
        own = {name: value for name, value in options.items() if name != "timeout_ms"}
        self.connection = connect(where, address, own)
        self.stand_ins = StandIns(self._describe)

    def _sender(self, method: str) -> Sender:
        return Sender(method, self.connection.address)

    def _exchange(
        self,
        method: str,
        request: Any,
        given: Mapping[str, Any],
        message: Any,
        read: Callable[[Sender, Any], T],
        routing_key: str | None = None,
    ) -> Exchange[T]:
        sender = self._sender(method)
        return Exchange(
            method,
            request,
            given,
            timeout_ms=self.timeout_ms,
            routing_key=routing_key,
            receive=lambda data: read(sender, parsed(sender, message, data)),
        )

    def act(self, given: Mapping[str, Any]) -> Exchange[ActResult]:
        request = requests.act_request("Act", given)
        limit = given.get("age_ms_max")
        selection = {name: given[name] for name in requests.SELECTION_NAMES if given.get(name) is not None}
        of = InPlaceOf(
            selection=selection,
            fingerprint=request.fingerprint,
            context_handle=given.get("context_handle"),
            client_id=request.client_id,
            rows=row_count(request.observation),
            columns=row_size(request.observation),
            sequence=request.sequence,
            fallback=given.get("fallback"),
            age_ms_max=math.inf if limit is None else check_time("Act age_ms_max", limit),
        )
        sender = self._sender("Act")
        start_ms = now_ms()

        def instead(error: Exception) -> ActResult | None:
            reason = reason_of(error)
            return None if reason is None else self.stand_ins.stand_in(of, reason)

        def receive(data: bytes) -> ActResult:
            result = responses.act_result(sender, parsed(sender, messages.ActResponse, data), of.rows)
            took_ms = now_ms() - start_ms
            self.stand_ins.keep(of, result, took_ms)
            age_ms = max(took_ms, 0 if result.fallback is None else result.fallback.age_ms)
            if age_ms <= of.age_ms_max:
                return result
            stand_in = self.stand_ins.stand_in(of, "age")
            if stand_in is None:
                raise old_error("Act", of.age_ms_max, age_ms)
            return stand_in

        if of.wants_one and not self.connection.closed:
            self.stand_ins.learn(selection)
        return Exchange(
            "Act",
            request,
            given,
            timeout_ms=self.timeout_ms,
            routing_key=requests.routing_key(given),
            receive=receive,
            instead=instead,
        )

    def q_grad(self, given: Mapping[str, Any]) -> Exchange[QGradResult]:
        request = requests.q_grad_request("QGrad", given)
        rows = row_count(request.action)
        key = requests.routing_key(given)

        def read(sender: Sender, response: Any) -> QGradResult:
            return responses.q_grad_result(sender, response, rows)

        return self._exchange("QGrad", request, given, messages.QGradResponse, read, key)

    def adapt(self, given: Mapping[str, Any]) -> Exchange[AdaptResult]:
        request = requests.adapt_request("Adapt", given)
        key = requests.routing_key({"client_id": given.get("client_id")})
        return self._exchange("Adapt", request, given, messages.AdaptResponse, responses.adapt_result, key)

    def prepare(self, given: Mapping[str, Any]) -> Exchange[PrepareResult]:
        request = requests.prepare_request("Prepare", given)
        key = requests.routing_key(given)
        return self._exchange("Prepare", request, given, messages.PrepareResponse, responses.prepare_result, key)

    def list_models(self, given: Mapping[str, Any]) -> Exchange[list[ModelSummary]]:
        check_names("ListModels", given, requests.CALL_NAMES)

        def read(_: Sender, response: Any) -> list[ModelSummary]:
            return responses.model_summaries(response)

        return self._exchange("ListModels", messages.ListModelsRequest(), given, messages.ListModelsResponse, read)

    def get_model(self, given: Mapping[str, Any]) -> Exchange[ModelDescription]:
        request = requests.get_model_request("GetModel", given)
        return self._exchange("GetModel", request, given, messages.GetModelResponse, responses.model_description)

    def _describe(self, selection: dict[str, Any], done: Callable[[ModelDescription], None]) -> None:
        """Where there is no description nobody is told."""

        def told(outcome: bytes | Exception) -> None:
            if isinstance(outcome, bytes):
                with suppress(Exception):
                    done(exchange.receive(outcome))

        with suppress(Exception):
            exchange = self.get_model(selection)
            self.connection.start(exchange.method, exchange.request, exchange.settings, told)


def parsed(sender: Sender, message: Any, data: bytes) -> Any:
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise sender.unusable(f"a response that does not parse ({error})") from None
