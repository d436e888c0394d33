"""
Policies of a server for Gymnasium: one with the `predict` of Stable-Baselines3, and the evaluation of one in an environment. Gymnasium
itself is imported for vectorised environments only: the client does without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from ._checks import check_boolean, check_integer, check_names, shown
from ._tensors import FloatArray, TensorLike
from .client import PolicyClient
from .errors import HyperpolicyError
from .results import ModelDescription


_POLICY_NAMES = ("version", "label", "context", "context_handle", "seed")


class PolicyOptions(TypedDict, total=False):
    """
    Which version, as in `act`; the one that is described first stays. `context` is one for all rows, [C], or one per row, [B, C];
    `context_handle` one that the server holds. `seed` of samples: the first call's; the next ones count up.
    """

    version: int | None
    label: str | None
    context: TensorLike | None
    context_handle: str | None
    seed: int | None


class Policy:
    """
    A policy that a server has, called as those of Stable-Baselines3 are: `evaluate_policy` and what else takes one of theirs takes it too.
    """

    def __init__(self, client: PolicyClient, model: str, **options: Unpack[PolicyOptions]) -> None:
        """Asks for the model. Raises HyperpolicyError as the client; failed_precondition where it has no policy."""
        self._client = client
        check_names("Policy", options, _POLICY_NAMES)
        selection: Any = {name: options.get(name) for name in ("version", "label") if options.get(name) is not None}
        self.description: ModelDescription = client.get_model(model=model, **selection)
        if self.description.policy is None:
            raise HyperpolicyError("failed_precondition", "Policy", "a model with a policy", f"{shown(model)} without one")
        self._of: Any = {
            "model": model,
            "version": self.description.version,
            "fingerprint": self.description.fingerprint,
            "context": options.get("context"),
            "context_handle": options.get("context_handle"),
        }
        seed = options.get("seed")
        self._seed = None if seed is None else check_integer("Policy seed", seed, 0, 2**53 - 1)

    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[FloatArray, Any]:
        """
        Actions in environment units: [A] for an observation [O], [B, A] for [B, O], by one call. `state` is returned as it is and
        `episode_start` not looked at: the policy has no memory. Not deterministic is a sample, where the policy can be sampled.
        """
        rows = np.asarray(observation)
        stochastic = self.description.policy is not None and self.description.policy.stochastic
        sample = stochastic and not deterministic
        action = self._client.act(**self._of, observation=rows, sample=sample, seed=self._next_seed(sample)).action
        return (action[0] if rows.ndim == 1 else action), state

    def _next_seed(self, sample: bool) -> int | None:
        if not sample or self._seed is None:
            return None
        seed, self._seed = self._seed, (self._seed + 1) % 2**53
        return seed


class EvaluateOptions(PolicyOptions, total=False):
    """
    `episodes` is 10 and `deterministic` True unless given. `reset_seed` is that of the first episode: the next ones of a single environment
    count up, a vectorised one takes it once. Without one the environment draws its own.
    """

    episodes: int
    deterministic: bool
    reset_seed: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Returns:
    """Return and length of each episode, in the order of their ends, with the model's name and version."""

    model: str
    version: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def mean_return(self) -> float:
        return float(np.mean(self.returns))

    @property
    def standard_deviation(self) -> float:
        return float(np.std(self.returns))


def evaluate(env: Any, address: str | PolicyClient, model: str, **options: Unpack[EvaluateOptions]) -> Returns:
    """
    Drives an environment of Gymnasium, single or vectorised, with the actions of a server: one call a step, for all environments at once.
    The environment is not closed. `address` may be a client. Of several environments each gives its share of the episodes, so that short
    episodes do not count more often than long ones.

    Raises HyperpolicyError as the client; failed_precondition where the environment's spaces are not the model's, and where the model adapts
    to experience and neither `context_handle` nor `context` is given: nothing is adapted here.
    """
    check_names("evaluate", options, (*_POLICY_NAMES, "episodes", "deterministic", "reset_seed"))
    own: Any = {name: value for name, value in options.items() if name in _POLICY_NAMES}
    episodes = check_integer("evaluate episodes", options.get("episodes", 10), 1, 2**31 - 1)
    deterministic = check_boolean("evaluate deterministic", options.get("deterministic", True))
    reset_seed = options.get("reset_seed")
    client = address if isinstance(address, PolicyClient) else PolicyClient(address)
    try:
        policy = Policy(client, model, **own)
        _check_spaces(env, policy.description)
        _check_adapted(policy.description, own)

        def act(observation: Any) -> FloatArray:
            return policy.predict(observation, deterministic=deterministic)[0]

        drive = _drive_vector if hasattr(env, "num_envs") else _drive_single
        ended = drive(env, act, episodes, reset_seed)
    finally:
        if client is not address:
            client.close()
    returns, lengths = zip(*ended, strict=True)
    return Returns(policy.description.model, policy.description.version, returns, lengths)


def _space(env: Any, name: str) -> Any:
    """Of one environment, also where there are several."""
    of_one = f"single_{name}_space"
    return getattr(env, of_one if hasattr(env, of_one) else f"{name}_space")


def _check_spaces(env: Any, described: ModelDescription) -> None:
    """Sizes and bounds: spaces do not say what the values mean."""
    for name, spec in (("observation", described.observation), ("action", described.action)):
        shape = getattr(_space(env, name), "shape", None)
        if shape != (len(spec.names),):
            expected = f"an environment with {len(spec.names)} {name} values, as the model"
            actual = f"one whose {name} space is {_space(env, name)}"
            raise HyperpolicyError("failed_precondition", "evaluate", expected, actual)
    space, spec = _space(env, "action"), described.action
    low, high = _within(spec.low, np.inf), _within(spec.high, -np.inf)
    if (low < getattr(space, "low", np.inf)).any() or (high > getattr(space, "high", -np.inf)).any():
        expected = f"an environment that takes actions from {spec.low} to {spec.high}"
        raise HyperpolicyError("failed_precondition", "evaluate", expected, f"one whose action space is {space}")


def _within(bounds: NDArray[np.float64], inwards: float) -> FloatArray:
    """The outermost float32 within the bounds, which actions reach; `inwards` is inf for low bounds and -inf for high ones."""
    nearest = bounds.astype(np.float32)
    outside = nearest < bounds if inwards > 0 else nearest > bounds
    result: FloatArray = np.where(outside, np.nextafter(nearest, np.float32(inwards)), nearest)
    return result


def _check_adapted(described: ModelDescription, own: PolicyOptions) -> None:
    if described.adaptation == "" or own.get("context_handle") is not None or own.get("context") is not None:
        return
    raise HyperpolicyError(
        "failed_precondition",
        "evaluate",
        f"a context_handle, as model {shown(described.model)} adapts to experience",
        "none",
        "The command `hyperpolicy eval` plays, adapts and plays again; PolicyClient.adapt gives a handle for transitions of your own",
    )


def _drive_single(env: Any, act: Any, episodes: int, reset_seed: int | None) -> list[tuple[float, int]]:
    ended = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=None if reset_seed is None else reset_seed + episode)
        total, length, over = 0.0, 0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            total += float(reward)
            length += 1
            over = bool(terminated or truncated)
        ended.append((total, length))
    return ended


def _drive_vector(env: Any, act: Any, episodes: int, reset_seed: int | None) -> list[tuple[float, int]]:
    try:
        from gymnasium.vector import AutoresetMode
    except ImportError as error:
        expected, remedy = "Gymnasium 1.1 or newer for an environment with num_envs", 'Install it: pip install "gymnasium>=1.1"'
        raise HyperpolicyError("failed_precondition", "evaluate", expected, f"none ({error})", remedy) from error
    mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    count = env.num_envs
    # So many episodes of each environment.
    left = np.array([(episodes + i) // count for i in range(count)])
    totals, lengths, begins = np.zeros(count), np.zeros(count, dtype=int), np.zeros(count, dtype=bool)
    ended: list[tuple[float, int]] = []
    observation, _ = env.reset(seed=reset_seed)
    while left.any():
        observation, rewards, terminated, truncated, _ = env.step(act(observation))
        # With NEXT_STEP the step after an end only resets: it is of no episode.
        totals += np.where(begins, 0, rewards)
        lengths += ~begins
        over = (terminated | truncated) & ~begins
        for i in np.flatnonzero(over):
            if left[i] > 0:
                left[i] -= 1
                ended.append((float(totals[i]), int(lengths[i])))
            totals[i], lengths[i] = 0, 0
        begins = over if mode == AutoresetMode.NEXT_STEP else np.zeros_like(over)
        if mode == AutoresetMode.DISABLED and over.any() and left.any():
            observation, _ = env.reset(options={"reset_mask": over})
    return ended
