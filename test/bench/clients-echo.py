"""
A bare grpcio server, the yardstick of the Python clients: `clients-echo.py ANSWERS`, with ANSWERS as JSON (`act` and `actStream` in hex, `kind`
`threads` or `asyncio`). It hands over bytes untouched at the paths of Act and ActStream. Prints its port.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio

SERVICE = "hyperpolicy.v1.PolicyService"
ADDRESS = "127.0.0.1:0"

given = json.loads(sys.argv[1])
ACT, ACT_STREAM = bytes.fromhex(given["act"]), bytes.fromhex(given["actStream"])


def handlers(act: Any, act_stream: Any) -> grpc.GenericRpcHandler:
    methods = {"Act": grpc.unary_unary_rpc_method_handler(act), "ActStream": grpc.stream_stream_rpc_method_handler(act_stream)}
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def with_threads() -> None:
    def act(_request: bytes, _context: object) -> bytes:
        return ACT

    def act_stream(requests: Iterator[bytes], _context: object) -> Iterator[bytes]:
        for _ in requests:
            yield ACT_STREAM

    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((handlers(act, act_stream),))
    port = server.add_insecure_port(ADDRESS)
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


async def with_asyncio() -> None:
    async def act(_request: bytes, _context: object) -> bytes:
        return ACT

    async def act_stream(requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield ACT_STREAM

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(act, act_stream),))
    port = server.add_insecure_port(ADDRESS)
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if given["kind"] == "asyncio":
    asyncio.run(with_asyncio())
else:
    with_threads()
