"""Client of hyperpolicy's policy service: actions, action-gradients and adaptation over gRPC. README.md has the options."""

from ._connection import Tls
from ._stream_options import ActStreamEvent
from .aio import AsyncActStream, AsyncPolicyClient
from .client import PolicyClient
from .errors import HyperpolicyError
from .gymnasium import Policy, evaluate
from .results import (
    ActResult,
    AdaptedWeights,
    AdaptResult,
    ContextSpec,
    CriticInfo,
    Evaluation,
    FallbackTaken,
    ModelDescription,
    ModelSummary,
    PolicyInfo,
    Posterior,
    PrepareResult,
    QGradResult,
    TaskRange,
    TensorSpec,
    Timing,
)
from .stream import ActStream

__all__ = [
    "ActResult",
    "ActStream",
    "ActStreamEvent",
    "AdaptResult",
    "AdaptedWeights",
    "AsyncActStream",
    "AsyncPolicyClient",
    "ContextSpec",
    "CriticInfo",
    "Evaluation",
    "FallbackTaken",
    "HyperpolicyError",
    "ModelDescription",
    "ModelSummary",
    "Policy",
    "PolicyClient",
    "PolicyInfo",
    "Posterior",
    "PrepareResult",
    "QGradResult",
    "TaskRange",
    "TensorSpec",
    "Timing",
    "Tls",
    "evaluate",
]
