"""Reads paths of ONNX files as arguments and checks each with the onnx package: full checker, shape inference, standard operators."""

import sys

import onnx

for path in sys.argv[1:]:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    domains = {node.domain for node in model.graph.node} | {entry.domain for entry in model.opset_import}
    assert domains == {""}, f"{path}: operators of {domains}"
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    print("ok")
