"""Calls the server with Triton's own client, and prints what it got as JSON: `triton.py HOST:PORT`, the request on standard input."""

import json
import queue
import sys

import numpy
import tritonclient.grpc as triton

address = sys.argv[1]
request = json.load(sys.stdin)
client = triton.InferenceServerClient(address)


def tensor(name, rows):
    values = numpy.array(rows, dtype=numpy.float32)
    given = triton.InferInput(name, values.shape, "FP32")
    given.set_data_from_numpy(values)
    return given


def inputs_of(case):
    return [tensor(name, rows) for name, rows in case.items()]


def outputs_of(result):
    return {o.name: result.as_numpy(o.name).tolist() for o in result.get_response().outputs}


metadata = client.get_model_metadata("hyper")
printed = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "modelReady": [client.is_model_ready(name) for name in ("hyper", "hyper.critic", "nope")],
    "index": [[m.name, m.version, m.state] for m in client.get_model_repository_index().models],
    "config": client.get_model_config("hyper", as_json=True)["config"],
    "server": client.get_server_metadata().name,
    "inputs": [[t.name, t.datatype, list(t.shape)] for t in metadata.inputs],
    "outputs": [[t.name, t.datatype, list(t.shape)] for t in metadata.outputs],
}

result = client.infer(
    "hyper",
    inputs_of(request["policy"]),
    request_id="seven",
    priority=1,
    timeout=30_000_000,
    outputs=[triton.InferRequestedOutput("action")],
)
printed["id"] = result.get_response().id
printed["policy"] = outputs_of(result)
printed["critic"] = outputs_of(client.infer("hyper.critic", inputs_of(request["critic"])))

pending = queue.Queue()
client.async_infer("hyper", inputs_of(request["policy"]), lambda result, error: pending.put((result, error)))
result, error = pending.get(timeout=30)
printed["async"] = str(error) if error else outputs_of(result)

try:
    client.infer("hyper", inputs_of({"observation": [[1.0]]}))
except triton.InferenceServerException as error:
    printed["refused"] = [error.status(), error.message()]

try:
    client.infer("hyper", inputs_of(request["policy"]), sequence_id=7)
except triton.InferenceServerException as error:
    printed["sequence"] = [error.status(), error.message()]

try:
    client.infer("hyper", inputs_of(request["unseen"]), timeout=1)
except triton.InferenceServerException as error:
    printed["late"] = [error.status(), error.message()]

statistics = client.get_inference_statistics("hyper", as_json=True)["model_stats"]
printed["statistics"] = statistics
printed["allStatistics"] = [[s.name, s.version] for s in client.get_inference_statistics().model_stats]

answers = queue.Queue()
client.start_stream(lambda result, error: answers.put((result, error)))
for i in range(request["streamCount"]):
    client.async_stream_infer("hyper", inputs_of(request["policy"]), request_id=str(i))
client.async_stream_infer("nope", inputs_of(request["policy"]))
printed["stream"] = []
for _ in range(request["streamCount"]):
    result, error = answers.get(timeout=30)
    printed["stream"].append(str(error) if error else [result.get_response().id, outputs_of(result)["action"]])
_, error = answers.get(timeout=30)
printed["streamRefused"] = error.message()
client.stop_stream()
print(json.dumps(printed))
