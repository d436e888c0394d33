"""What the methods return. Letters in shapes: B rows, O values of an observation, A of an action, C of a context. Arrays are the caller's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ._tensors import FloatArray

# Why an action stands in. Of the server: its time or its queue; of the client: no answer in time, no server, an old answer.
FallbackReason = Literal["budget", "deadline", "overload", "timeout", "unavailable", "age"]


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """Where the server spent the time, microseconds. All 0 where the client answered in its place."""

    total_us: int
    primary_us: int
    network_us: int
    event_loop_delay_us: int


@dataclass(frozen=True, slots=True, eq=False)
class FallbackTaken:
    """How an action stands in for one that was not there in time. `age_ms` is that of an action that is held."""

    kind: Literal["safe", "hold"]
    reason: FallbackReason
    age_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """`version` answered, which was published `weight_age_ms` ago; `sequence` is the request's."""

    version: int
    weight_age_ms: float
    sequence: int
    timing: Timing


@dataclass(frozen=True, slots=True, eq=False)
class ActResult(Result):
    """`action` is [B, A], within the bounds of the action spec. `log_prob`, [B], where asked for; `seed` of samples."""

    action: FloatArray
    log_prob: FloatArray | None
    seed: int | None
    fallback: FallbackTaken | None


@dataclass(frozen=True, slots=True, eq=False)
class QGradResult(Result):
    """`q` is [B], `dq_da` [B, A]; `action` [B, A] is where the ascent ended, where one was asked for."""

    q: FloatArray
    dq_da: FloatArray
    action: FloatArray | None


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Of models that infer a latent context: `mean` and `variance`, [C], and the `context` drawn from them, which the handle stands for."""

    mean: FloatArray
    variance: FloatArray
    context: FloatArray
    seed: int
    transition_count: int


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedWeights:
    """Of models that adapt weights: steps so far, and how far the last one moved."""

    step_count: int
    step_norm: float


@dataclass(frozen=True, slots=True, eq=False)
class AdaptResult(Result):
    """`context_handle` stands for the result in `act`, `act_stream`, `q_grad` and `adapt`, until it was not used for `expires_after_ms`."""

    context_handle: str
    expires_after_ms: float
    posterior: Posterior | None
    weights: AdaptedWeights | None


@dataclass(frozen=True, slots=True, eq=False)
class PrepareResult:
    """How many distinct contexts or observations there were, and how many weights had to be made for them."""

    version: int
    count: int
    generated_count: int


@dataclass(frozen=True, slots=True, eq=False)
class ModelSummary:
    """A model in short; `versions` are those that are ready, newest first."""

    model: str
    versions: tuple[int, ...]
    environment: str
    algorithm: str
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class TensorSpec:
    """What each value of the last dimension is: names, bounds (infinite where there are none) and units, in order."""

    names: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ContextSpec:
    """`source` is `oracle`, known to the client, or `latent`, inferred from experience."""

    spec: TensorSpec
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class PolicyInfo:
    architecture: str
    hyper: bool
    stochastic: bool


@dataclass(frozen=True, slots=True, eq=False)
class CriticInfo:
    architecture: str
    hyper: bool
    ensemble_size: int


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One evaluation during training, environment reward."""

    step: int
    mean_return: float
    standard_deviation: float
    episode_count: int


@dataclass(frozen=True, slots=True, eq=False)
class TaskRange:
    """Lowest and highest of each value of the environment's context."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ModelDescription:
    """A version of a model: what goes in, what comes out, and where it comes from. Fields as in GetModelResponse of the proto."""

    model: str
    version: int
    algorithm: str
    environment: str
    fingerprint: str
    observation: TensorSpec
    action: TensorSpec
    safe_action: NDArray[np.float64]
    context: ContextSpec | None
    policy: PolicyInfo | None
    critic: CriticInfo | None
    reward_scale: float
    published_at: datetime
    training_steps: int
    evaluations: tuple[Evaluation, ...]
    adaptation: str
    reads_next_observation: bool
    adaptation_episode_count: int | None
    task_range: TaskRange | None
