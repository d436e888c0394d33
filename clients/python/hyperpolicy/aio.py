"""The client whose calls are awaited. It belongs to the event loop that first awaits it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, TypeVar, Unpack

from ._aio_call import AioCall
from ._aio_connection import AioConnection
from ._exchanges import Core, Exchange
from ._requests import (
    ActArguments,
    AdaptArguments,
    CallArguments,
    GetModelArguments,
    PrepareArguments,
    QGradArguments,
)
from ._stream_core import StreamCore, StreamState
from ._stream_options import ActStreamArguments, ActStreamEvent, StreamedActArguments
from .client import ClientOptions
from .results import ActResult, AdaptResult, ModelDescription, ModelSummary, PrepareResult, QGradResult

T = TypeVar("T")


class AsyncPolicyClient:
    """As PolicyClient, for asyncio. A call whose task is cancelled is given up."""

    def __init__(self, address: str, **options: Unpack[ClientOptions]) -> None:
        """`address` is `host:port`. Raises invalid_argument naming the option."""
        self._core = Core("AsyncPolicyClient", address, options, AioConnection)

    @property
    def address(self) -> str:
        return self._core.connection.address

    async def act(self, **given: Unpack[ActArguments]) -> ActResult:
        """Actions for a batch of observations."""
        return await self._call(self._core.act(given))

    def act_stream(self, **given: Unpack[ActStreamArguments]) -> AsyncActStream:
        """Opens a stream of requests to one model: the fastest way for a control loop. To be called where a loop runs."""
        return AsyncActStream(self._core, given)

    async def q_grad(self, **given: Unpack[QGradArguments]) -> QGradResult:
        """Values of a critic and their gradients with respect to the action, on request where an ascent on the action ends."""
        return await self._call(self._core.q_grad(given))

    async def adapt(self, **given: Unpack[AdaptArguments]) -> AdaptResult:
        """Adapts a model to experience; the server holds the result."""
        return await self._call(self._core.adapt(given))

    async def prepare(self, **given: Unpack[PrepareArguments]) -> PrepareResult:
        """Makes weights ahead of the requests that will need them."""
        return await self._call(self._core.prepare(given))

    async def list_models(self, **given: Unpack[CallArguments]) -> list[ModelSummary]:
        """Every model that has a version ready."""
        return await self._call(self._core.list_models(given))

    async def get_model(self, **given: Unpack[GetModelArguments]) -> ModelDescription:
        """What a client must know to use a model: specs with names, bounds and units, and their fingerprint."""
        return await self._call(self._core.get_model(given))

    async def close(self) -> None:
        """Ends the connection; calls in flight fail."""
        await self._core.connection.close()

    async def __aenter__(self) -> AsyncPolicyClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, exchange: Exchange[T]) -> T:
        try:
            data = await self._core.connection.call(exchange.method, exchange.request, exchange.settings)
        except Exception as error:  # noqa: BLE001: `fail` raises it again where nothing stands in
            return exchange.fail(error)
        return exchange.receive(data)


class AsyncActStream(StreamState):
    """Made by `AsyncPolicyClient.act_stream`. Every act settles within its time: with an answer, a fallback, or an error."""

    def __init__(self, core: Core[AioConnection], given: Any) -> None:
        self._loop = asyncio.get_running_loop()
        on_event = given.get("on_event")

        def tell(event: ActStreamEvent) -> None:
            if on_event is not None:
                self._loop.call_soon(on_event, event)

        self._core = StreamCore(core, given, tell, open_call=AioCall, later=self._loop.call_later)

    async def act(self, **given: Unpack[StreamedActArguments]) -> ActResult:
        """Raises HyperpolicyError as `act` of the client; `superseded` where a newer request took its place. The stream goes on."""
        arrival: asyncio.Future[Any] = self._loop.create_future()
        pending = self._core.submit(given, lambda outcome: _settle(arrival, outcome))
        timer = self._loop.call_later(pending.times.wait_ms / 1000, self._core.expire, pending)
        try:
            outcome = await arrival
        except asyncio.CancelledError:
            self._core.drop(pending)
            raise
        finally:
            timer.cancel()
        return self._core.hand_over(pending, outcome)

    async def close(self) -> None:
        """Sends no more; what is pending still settles. Returns when all has."""
        over: asyncio.Future[None] = self._loop.create_future()
        self._core.close(lambda: _settle(over, None))
        await over

    async def __aenter__(self) -> AsyncActStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _settle(arrival: asyncio.Future[Any], result: Any) -> None:
    """Errors travel as results: an error that nobody awaits is nobody's."""
    if not arrival.done():
        arrival.set_result(result)
