"""Calls the server with KServe's own SDK, by its defaults, and prints what it got as JSON: `kserve_sdk.py HOST:PORT`, the request on standard input."""

import asyncio
import json
import sys

import numpy
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient


def tensor(name, rows, binary):
    values = numpy.array(rows, dtype=numpy.float32)
    given = InferInput(name, list(values.shape), "FP32")
    if binary is None:
        given.set_data_from_numpy(values)
    else:
        given.set_data_from_numpy(values, binary_data=binary)
    return given


def request_of(case, model="hyper", **options):
    binary = options.pop("binary", None)
    inputs = [tensor(name, rows, binary) for name, rows in case.items()]
    return InferRequest(model_name=model, infer_inputs=inputs, **options)


def outputs_of(response):
    return {output.name: output.as_numpy().tolist() for output in response.outputs}


async def main():
    case = json.load(sys.stdin)
    async with InferenceGRPCClient(sys.argv[1]) as client:
        answered = await client.infer(request_of(case))
        typed = await client.infer(request_of(case, binary=False))
        printed = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "modelReady": [await client.is_model_ready(name) for name in ("hyper", "nope")],
            "model": [answered.model_name, answered.model_version],
            "raw": outputs_of(answered),
            "typed": outputs_of(typed),
        }
    print(json.dumps(printed))


asyncio.run(main())
