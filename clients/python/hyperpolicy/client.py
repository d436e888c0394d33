"""The client whose calls wait for their answers. May be used from several threads."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar, Unpack

from ._connection import ConnectionOptions
from ._exchanges import Core, Exchange
from ._requests import (
    ActArguments,
    AdaptArguments,
    CallArguments,
    GetModelArguments,
    PrepareArguments,
    QGradArguments,
)
from ._stream_options import ActStreamArguments
from ._sync_connection import SyncConnection
from .results import ActResult, AdaptResult, ModelDescription, ModelSummary, PrepareResult, QGradResult
from .stream import ActStream

T = TypeVar("T")


class ClientOptions(ConnectionOptions, total=False):
    """`timeout_ms` for calls that name none of their own: 5000 unless given."""

    timeout_ms: float | None


class PolicyClient:
    """
    A client of one server. It connects at the first call, and again after a connection was lost.

    Every method raises HyperpolicyError: `invalid_argument` for what it was given, before anything is sent; the kind and text of the
    server's error; `unavailable` where there is no server, `deadline_exceeded` where it did not answer in time, `cancelled` where the client
    was closed, `failed_precondition` for a response that does not add up; and RuntimeError for an internal fault.
    """

    def __init__(self, address: str, **options: Unpack[ClientOptions]) -> None:
        """`address` is `host:port`. Raises invalid_argument naming the option."""
        self._core = Core("PolicyClient", address, options, SyncConnection)

    @property
    def address(self) -> str:
        return self._core.connection.address

    def act(self, **given: Unpack[ActArguments]) -> ActResult:
        """Actions for a batch of observations."""
        return self._call(self._core.act(given))

    def act_stream(self, **given: Unpack[ActStreamArguments]) -> ActStream:
        """Opens a stream of requests to one model: the fastest way for a control loop."""
        return ActStream(self._core, given)

    def q_grad(self, **given: Unpack[QGradArguments]) -> QGradResult:
        """Values of a critic and their gradients with respect to the action, on request where an ascent on the action ends."""
        return self._call(self._core.q_grad(given))

    def adapt(self, **given: Unpack[AdaptArguments]) -> AdaptResult:
        """Adapts a model to experience; the server holds the result."""
        return self._call(self._core.adapt(given))

    def prepare(self, **given: Unpack[PrepareArguments]) -> PrepareResult:
        """Makes weights ahead of the requests that will need them."""
        return self._call(self._core.prepare(given))

    def list_models(self, **given: Unpack[CallArguments]) -> list[ModelSummary]:
        """Every model that has a version ready."""
        return self._call(self._core.list_models(given))

    def get_model(self, **given: Unpack[GetModelArguments]) -> ModelDescription:
        """What a client must know to use a model: specs with names, bounds and units, and their fingerprint."""
        return self._call(self._core.get_model(given))

    def close(self) -> None:
        """Ends the connection; calls in flight fail."""
        self._core.connection.close()

    def __enter__(self) -> PolicyClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, exchange: Exchange[T]) -> T:
        try:
            data = self._core.connection.call(exchange.method, exchange.request, exchange.settings)
        except Exception as error:  # noqa: BLE001: `fail` raises it again where nothing stands in
            return exchange.fail(error)
        return exchange.receive(data)
