"""Classes of the service's messages, made from the descriptors, and the names of its methods."""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ._generated import DESCRIPTORS

SERVICE = "hyperpolicy.v1.PolicyService"


def _load() -> Any:
    # A pool of its own: another package of the program may have the same messages.
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(DESCRIPTORS)).file:
        pool.Add(file)
    return pool


_pool = _load()


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"hyperpolicy.v1.{name}"))


Tensor = _message("Tensor")
ActRequest = _message("ActRequest")
ActResponse = _message("ActResponse")
ActStreamRequest = _message("ActStreamRequest")
ActStreamResponse = _message("ActStreamResponse")
QGradRequest = _message("QGradRequest")
QGradResponse = _message("QGradResponse")
Ascent = _message("Ascent")
AdaptRequest = _message("AdaptRequest")
AdaptResponse = _message("AdaptResponse")
PrepareRequest = _message("PrepareRequest")
PrepareResponse = _message("PrepareResponse")
ListModelsRequest = _message("ListModelsRequest")
ListModelsResponse = _message("ListModelsResponse")
GetModelRequest = _message("GetModelRequest")
GetModelResponse = _message("GetModelResponse")


def enum_numbers(name: str) -> dict[str, int]:
    """Numbers of an enum by their words in small letters: `{"safe": 2, ...}` of `Fallback`."""
    described = _pool.FindEnumTypeByName(f"hyperpolicy.v1.{name}")
    prefix = f"{name.upper()}_"
    numbers = {value.name.removeprefix(prefix).lower(): value.number for value in described.values}
    numbers.pop("unspecified")
    return numbers
