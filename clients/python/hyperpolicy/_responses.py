"""From messages to results. What does not add up is refused and never handed on: a robot would act on it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

from . import _messages as messages
from ._tensors import Sender
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

_HOLD = messages.enum_numbers("Fallback")["hold"]


def _head(sender: Sender, response: Any) -> dict[str, Any]:
    """Raises failed_precondition where an answer has no version or no timing, as an empty message."""
    if response.version == 0:
        raise sender.unusable("a response without version")
    if not response.HasField("timing"):
        raise sender.unusable("a response without timing")
    timing = response.timing
    return {
        "version": response.version,
        "weight_age_ms": response.weight_age_ms,
        "sequence": response.sequence,
        "timing": Timing(timing.total_us, timing.primary_us, timing.network_us, timing.event_loop_delay_us),
    }


def act_result(sender: Sender, response: Any, rows: int) -> ActResult:
    return ActResult(
        **_head(sender, response),
        action=sender.array("action", response, rank=2, rows=rows),
        log_prob=sender.array("log_prob", response, rank=1, rows=rows) if response.HasField("log_prob") else None,
        seed=response.seed if response.HasField("seed") else None,
        fallback=_fallback(response.fallback_taken) if response.HasField("fallback_taken") else None,
    )


def _fallback(taken: Any) -> FallbackTaken:
    return FallbackTaken("hold" if taken.fallback == _HOLD else "safe", taken.reason, taken.age_ms)


def q_grad_result(sender: Sender, response: Any, rows: int) -> QGradResult:
    return QGradResult(
        **_head(sender, response),
        q=sender.array("q", response, rank=1, rows=rows),
        dq_da=sender.array("dq_da", response, rank=2, rows=rows),
        action=sender.array("action", response, rank=2, rows=rows) if response.HasField("action") else None,
    )


def adapt_result(sender: Sender, response: Any) -> AdaptResult:
    kind = response.WhichOneof("result")
    if not re.fullmatch(r"[0-9a-f]{32}", response.context_handle):
        raise sender.unusable("a response without context_handle")
    if kind is None:
        raise sender.unusable("a response without posterior or weights")
    weights = AdaptedWeights(response.weights.step_count, response.weights.step_norm)
    return AdaptResult(
        **_head(sender, response),
        context_handle=response.context_handle,
        expires_after_ms=response.expires_after_ms,
        posterior=_posterior(sender, response.posterior) if kind == "posterior" else None,
        weights=weights if kind == "weights" else None,
    )


def _posterior(sender: Sender, message: Any) -> Posterior:
    return Posterior(
        mean=sender.array("mean", message, rank=1),
        variance=sender.array("variance", message, rank=1),
        context=sender.array("context", message, rank=1),
        seed=message.seed,
        transition_count=message.transition_count,
    )


def prepare_result(sender: Sender, response: Any) -> PrepareResult:
    if response.version == 0 or response.count == 0:
        raise sender.unusable("a response without version and count")
    return PrepareResult(response.version, response.count, response.generated_count)


def model_summaries(response: Any) -> list[ModelSummary]:
    return [
        ModelSummary(one.model, tuple(one.versions), one.environment, one.algorithm, dict(one.labels))
        for one in response.models
    ]


def model_description(sender: Sender, response: Any) -> ModelDescription:
    if response.version == 0:
        raise sender.unusable("a response without version")
    action = _spec(sender, "action", response)
    safe_action = np.array(response.safe_action, dtype=np.float64)
    if len(safe_action) != len(action.names) or not np.isfinite(safe_action).all():
        raise sender.unusable(f"a response whose safe action is not {len(action.names)} finite values")
    policy, critic = response.policy, response.critic
    return ModelDescription(
        model=response.model,
        version=response.version,
        algorithm=response.algorithm,
        environment=response.environment,
        fingerprint=response.fingerprint,
        observation=_spec(sender, "observation", response),
        action=action,
        safe_action=safe_action,
        context=_context(sender, response),
        policy=PolicyInfo(policy.architecture, policy.hyper, policy.stochastic) if response.HasField("policy") else None,
        critic=CriticInfo(critic.architecture, critic.hyper, critic.ensemble_size) if response.HasField("critic") else None,
        reward_scale=response.reward_scale,
        published_at=_published_at(sender, response.published_at),
        training_steps=response.training_steps,
        evaluations=tuple(
            Evaluation(one.step, one.mean_return, one.standard_deviation, one.episode_count)
            for one in response.evaluations
        ),
        adaptation=response.adaptation,
        reads_next_observation=response.reads_next_observation,
        adaptation_episode_count=(
            response.adaptation_episode_count if response.HasField("adaptation_episode_count") else None
        ),
        task_range=_task_range(sender, response),
    )


def _task_range(sender: Sender, response: Any) -> TaskRange | None:
    if not response.HasField("task_range"):
        return None
    low, high = (np.array(values, dtype=np.float64) for values in (response.task_range.low, response.task_range.high))
    if len(low) != len(high):
        raise sender.unusable("a response whose task range is not whole")
    return TaskRange(low, high)


def _context(sender: Sender, response: Any) -> ContextSpec | None:
    if not response.HasField("context"):
        return None
    return ContextSpec(_spec(sender, "context", response.context, "spec"), response.context.source)


def _spec(sender: Sender, name: str, message: Any, field: str | None = None) -> TensorSpec:
    spec = getattr(message, field or name)
    size = len(spec.names)
    if size == 0 or any(len(each) != size for each in (spec.low, spec.high, spec.units)):
        raise sender.unusable(f"a response whose {name} spec is not whole")
    low, high = np.array(spec.low, dtype=np.float64), np.array(spec.high, dtype=np.float64)
    return TensorSpec(tuple(spec.names), low, high, tuple(spec.units))


def _published_at(sender: Sender, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise sender.unusable("a response whose published_at is no time") from None
