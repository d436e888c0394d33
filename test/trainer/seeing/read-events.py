"""Prints the scalars of a run as TensorBoard has them: {tag: [[step, value], ...]}."""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
tags = events.Tags()
scalars = {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags["scalars"]}
tensors = {
    tag: [[event.step, float(make_ndarray(event.tensor_proto))] for event in events.Tensors(tag)]
    for tag in tags["tensors"]
}
print(json.dumps({**scalars, **tensors}))
