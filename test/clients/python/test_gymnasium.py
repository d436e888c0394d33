"""Policies of a server in Gymnasium's environments: one call a step, single and vectorised."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from conftest import Server
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import hyperpolicy
from hyperpolicy import HyperpolicyError, Policy, PolicyClient, evaluate
from hyperpolicy.gymnasium import _check_spaces


class Counter(gym.Env[np.ndarray, np.ndarray]):
    """Ends after 3, then 4, then 5 steps, and so on; each pays 1, and what its action is."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self) -> None:
        self.episode = 2
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.seeds.append(seed)
        self.episode += 1
        self.step_count = 0
        return np.zeros(3), {}

    def step(self, action: np.ndarray) -> Any:
        assert action.shape == (2,)
        self.step_count += 1
        return np.full(3, self.step_count, float), 1.0, self.step_count == self.episode, False, {}


@pytest.fixture
def calls(client: PolicyClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    made: list[Any] = []
    act = client.act

    def counted(**given: Any) -> Any:
        made.append(given)
        return act(**given)

    monkeypatch.setattr(client, "act", counted)
    yield made


def test_predict_is_that_of_stable_baselines3(client: PolicyClient) -> None:
    policy = Policy(client, "m")
    action, state = policy.predict(np.array([1.0, 2, 3]), state=("kept",), episode_start=np.array([True]), deterministic=True)
    assert (action.shape, state) == ((2,), ("kept",))
    rows, _ = policy.predict(np.array([[1.0, 2, 3]] * 4))
    np.testing.assert_array_equal(rows, [action] * 4)
    sampled = Policy(client, "hyper", context=[0.5, 1], seed=7)
    first, second = (sampled.predict(np.zeros(3))[0] for _ in range(2))
    again, _ = Policy(client, "hyper", context=[0.5, 1], seed=7).predict(np.zeros(3))
    np.testing.assert_array_equal(again, first)
    assert (second != first).any()
    with pytest.raises(HyperpolicyError, match="^Act context: expected"):
        Policy(client, "hyper").predict(np.zeros(3))


def test_an_environment_is_driven_by_one_call_a_step(client: PolicyClient, calls: list[Any]) -> None:
    env = Counter()
    result = evaluate(env, client, "m", episodes=3, reset_seed=5)
    assert (result.model, result.version, result.returns, result.lengths) == ("m", 1, (3, 4, 5), (3, 4, 5))
    assert (result.mean_return, result.standard_deviation) == (4, float(np.std([3, 4, 5])))
    assert env.seeds == [5, 6, 7]
    assert len(calls) == 12
    fingerprint = client.get_model(model="m").fingerprint
    assert {(call["version"], call["fingerprint"], call["sample"]) for call in calls} == {(1, fingerprint, False)}


@pytest.mark.parametrize(("mode", "call_count"), [(AutoresetMode.NEXT_STEP, 8), (AutoresetMode.SAME_STEP, 7), (AutoresetMode.DISABLED, 7)])
def test_several_environments_are_driven_by_one_call_for_all(
    client: PolicyClient, calls: list[Any], mode: AutoresetMode, call_count: int
) -> None:
    env = SyncVectorEnv([Counter] * 2, autoreset_mode=mode)
    result = evaluate(env, client, "m", episodes=3)
    # One gives two episodes, the other one; both begin with one of 3 steps, and a step that only resets is of none.
    assert (sorted(result.lengths), sorted(result.returns)) == ([3, 3, 4], [3, 3, 4])
    assert len(calls) == call_count
    assert {np.shape(call["observation"]) for call in calls} == {(2, 3)}


def test_an_address_will_do(server: Server) -> None:
    result = hyperpolicy.evaluate(Counter(), server.address, "m")
    assert result.returns == tuple(range(3, 13))
    assert {"evaluate", "Policy"} <= set(hyperpolicy.__all__)


# An environment of no library, in a process that has no Gymnasium.
WITHOUT_GYMNASIUM = '''
import sys
from types import SimpleNamespace

sys.modules["gymnasium"] = None
import hyperpolicy

spaces = {"observation_space": SimpleNamespace(shape=(3,)), "action_space": SimpleNamespace(shape=(2,), low=-1, high=1)}
env = SimpleNamespace(**spaces, reset=lambda seed: ([1, 2, 3], {}), step=lambda action: ([1, 2, 3], 1.0, True, False, {}))
print(hyperpolicy.evaluate(env, sys.argv[1], "m", episodes=2).returns)
env.num_envs = 2
try:
    hyperpolicy.evaluate(env, sys.argv[1], "m")
except hyperpolicy.HyperpolicyError as error:
    print(error.kind, error)
'''


def test_gymnasium_is_needed_for_vectorised_environments_only(server: Server) -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_GYMNASIUM, server.address], capture_output=True, text=True)
    returns, refusal = run.stdout.splitlines() or [run.stderr, ""]
    assert returns == "(1.0, 1.0)"
    assert refusal.startswith("failed_precondition evaluate: expected Gymnasium 1.1 or newer for an environment with num_envs, got none (")
    assert refusal.endswith('Install it: pip install "gymnasium>=1.1"')


def test_an_environment_that_does_not_fit_is_refused(client: PolicyClient) -> None:
    env = Counter()
    env.observation_space = gym.spaces.Box(-1, 1, (4,))
    with pytest.raises(HyperpolicyError, match="^evaluate: expected an environment with 3 observation values, as the model") as caught:
        evaluate(env, client, "m")
    assert caught.value.kind == "failed_precondition"
    env = Counter()
    env.action_space = gym.spaces.Box(-0.5, 1, (2,), np.float32)
    with pytest.raises(HyperpolicyError, match="^evaluate: expected an environment that takes actions from"):
        evaluate(env, client, "m")
    with pytest.raises(HyperpolicyError, match="got \"episode\"$"):
        evaluate(env, client, "m", episode=3)  # type: ignore[call-arg]


def test_bounds_that_float32_does_not_hold_fit_a_space_of_the_same_bounds(client: PolicyClient) -> None:
    # In float32 0.7 is less than it is, and 0.1 more; actions lie within both.
    described = client.get_model(model="m")
    described = replace(described, action=replace(described.action, low=np.array([-0.7, -0.1]), high=np.array([0.7, 0.1])))
    env = Counter()
    env.action_space = gym.spaces.Box(np.float32([-0.7, -0.1]), np.float32([0.7, 0.1]))
    _check_spaces(env, described)
    env.action_space = gym.spaces.Box(np.float32([-0.7, -0.1]), np.float32([0.69, 0.1]))
    with pytest.raises(HyperpolicyError, match="^evaluate: expected an environment that takes actions from"):
        _check_spaces(env, described)


@pytest.mark.parametrize("model", ["posterior", "weights"])
def test_a_model_that_adapts_needs_a_handle(client: PolicyClient, model: str) -> None:
    with pytest.raises(HyperpolicyError, match=f'^evaluate: expected a context_handle, as model "{model}" adapts') as caught:
        evaluate(Counter(), client, model)
    assert caught.value.kind == "failed_precondition"
    assert "hyperpolicy eval" in str(caught.value)
    steps: Any = {"observation": np.ones((2, 3)), "action": np.zeros((2, 2)), "reward": np.ones(2)}
    start: Any = {"context": [0.5, 1]} if model == "weights" else {}
    handle = client.adapt(model=model, **steps, **start).context_handle
    assert evaluate(Counter(), client, model, episodes=1, context_handle=handle).returns == (3,)
    assert evaluate(Counter(), client, model, episodes=1, context=[0.5, 1]).returns == (3,)
