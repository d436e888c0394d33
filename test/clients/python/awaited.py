"""The asyncio client behind the methods of the one that waits, for tests that say the same of both. Its loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import hyperpolicy

T = TypeVar("T")


class AwaitedClient:
    def __init__(self, address: str, **options: Any) -> None:
        self._client = hyperpolicy.AsyncPolicyClient(address, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def act_stream(self, **options: Any) -> AwaitedStream:
        async def opened() -> hyperpolicy.AsyncActStream:
            return self._client.act_stream(**options)

        return AwaitedStream(self, self.run(opened()))

    def close(self) -> None:
        self.run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class AwaitedStream:
    """What it tells of itself is the stream's."""

    def __init__(self, client: AwaitedClient, stream: hyperpolicy.AsyncActStream) -> None:
        self._client = client
        self._stream = stream

    def act(self, **given: Any) -> hyperpolicy.ActResult:
        return self._client.run(self._stream.act(**given))

    def close(self) -> None:
        self._client.run(self._stream.close())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
