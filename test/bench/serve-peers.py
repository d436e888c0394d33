"""A server of policies as one would write it in Python: the same service, messages and ONNX files, without a cache.

Kinds: `grpcio` (threads), `aio` (one event loop) and `aio_batcher` (one event loop; what waits together runs together).
A hyper policy's weights are generated anew for each run. Prints its port.
"""

import argparse
import asyncio
import os
from concurrent import futures

import grpc
import numpy as np
import onnxruntime
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

METHOD = "/hyperpolicy.v1.PolicyService/Act"
BATCH_ROWS_MAX = 64


def messages(protoset):
    """Classes of the request and the response, built from the service's descriptors."""
    files = descriptor_pb2.FileDescriptorSet()
    with open(protoset, "rb") as stream:
        files.ParseFromString(stream.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    names = ("ActRequest", "ActResponse")
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"hyperpolicy.v1.{name}")) for name in names]


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Plain:
    """observations [B, O] -> actions [B, A]"""

    def __init__(self, directory):
        self.network = session(os.path.join(directory, "policy.onnx"))

    def run(self, observations, _contexts):
        return self.network.run(["action"], {"observation": observations})[0]


class Hyper:
    """observations [B, O], contexts [B, C] -> actions [B, A]; every row has weights of its own."""

    def __init__(self, directory):
        self.primary = session(os.path.join(directory, "policy.primary.onnx"))
        self.dynamic = session(os.path.join(directory, "policy.dynamic.onnx"))
        self.names = [output.name for output in self.primary.get_outputs()]

    def run(self, observations, contexts):
        feeds = dict(zip(self.names, self.primary.run(self.names, {"context": contexts})))
        feeds["observation"] = observations
        feeds["index"] = np.arange(len(observations), dtype=np.int64)
        return self.dynamic.run(["action"], feeds)[0]


def rows(tensor):
    return np.frombuffer(tensor.data, dtype=np.float32).reshape(tuple(tensor.shape))


def inputs(request):
    """Observations, and contexts where there are any."""
    return rows(request.observation), rows(request.context) if request.HasField("context") else None


def joined(arrays):
    return None if arrays[0] is None else np.concatenate(arrays)


def response(Response, request, action):
    """One row of actions as an answer."""
    answer = Response(version=1, sequence=request.sequence)
    answer.action.shape.extend((1, len(action)))
    answer.action.data = action.tobytes()
    return answer


def handlers(act, Request, Response):
    method = grpc.unary_unary_rpc_method_handler(
        act, request_deserializer=Request.FromString, response_serializer=Response.SerializeToString
    )
    service, name = METHOD[1:].split("/")
    return grpc.method_handlers_generic_handler(service, {name: method})


def serve_threads(models, Request, Response, workers):
    def act(request, _context):
        return response(Response, request, models[request.model].run(*inputs(request))[0])

    server = grpc.server(futures.ThreadPoolExecutor(workers))
    server.add_generic_rpc_handlers((handlers(act, Request, Response),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


async def serve_loop(act, Request, Response):
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(act, Request, Response),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def aio(models, Request, Response):
    async def act(request, _context):
        return response(Response, request, models[request.model].run(*inputs(request))[0])

    await serve_loop(act, Request, Response)


class Batcher:
    """Runs what waits as one batch, in a thread beside the event loop, as soon as the batch before it is done."""

    def __init__(self, model):
        self.model = model
        self.queue = asyncio.Queue()
        self.thread = futures.ThreadPoolExecutor(1)
        self.task = asyncio.create_task(self.work())

    async def run(self, observations, contexts):
        result = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((observations, contexts, result))
        return await result

    async def work(self):
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self.queue.get()]
            while len(batch) < BATCH_ROWS_MAX and not self.queue.empty():
                batch.append(self.queue.get_nowait())
            observations, contexts, results = zip(*batch)
            try:
                actions = await loop.run_in_executor(
                    self.thread, self.model.run, joined(observations), joined(contexts)
                )
            except Exception as error:
                for result in results:
                    result.set_exception(error)
                continue
            for result, action in zip(results, actions):
                if not result.done():
                    result.set_result(action)


async def aio_batcher(models, Request, Response):
    batchers = {name: Batcher(model) for name, model in models.items()}

    async def act(request, _context):
        action = await batchers[request.model].run(*inputs(request))
        return response(Response, request, action)

    await serve_loop(act, Request, Response)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("grpcio", "aio", "aio_batcher"))
    parser.add_argument("protoset")
    parser.add_argument("--mlp", help="directory of a package with a plain policy")
    parser.add_argument("--hyper", help="directory of a package with a hyper policy")
    parser.add_argument("--workers", type=int, default=4, help="threads of `grpcio`")
    options = parser.parse_args()
    Request, Response = messages(options.protoset)
    models = {}
    if options.mlp:
        models["mlp"] = Plain(options.mlp)
    if options.hyper:
        models["hyper"] = Hyper(options.hyper)
    if options.kind == "grpcio":
        serve_threads(models, Request, Response, options.workers)
    else:
        asyncio.run({"aio": aio, "aio_batcher": aio_batcher}[options.kind](models, Request, Response))


main()
