"""
Drives Gymnasium's own environment with the policy of a server: `drive.py ADDRESS MODEL ENVIRONMENT EPISODES STEPS`, of so many steps at most.
Prints JSON: the state in which each episode begins, its return and length, and every step with the whole state before, the action, and what came
of it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import gymnasium as gym

from hyperpolicy.gymnasium import evaluate


class Recorder(gym.Wrapper[Any, Any, Any, Any]):
    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.starts: list[Any] = []
        self.steps: list[Any] = []

    def _state(self) -> dict[str, list[float]]:
        data: Any = self.unwrapped.data  # type: ignore[attr-defined]
        return {
            "time": [data.time],
            "qpos": data.qpos.tolist(),
            "qvel": data.qvel.tolist(),
            "act": data.act.tolist(),
            "qaccWarmstart": data.qacc_warmstart.tolist(),
            "xpos": data.xpos.ravel().tolist(),
            "observation": self._observation.tolist(),
        }

    def reset(self, **given: Any) -> Any:
        self._observation, info = self.env.reset(**given)
        self.starts.append(self._state())
        return self._observation, info

    def step(self, action: Any) -> Any:
        before = self._state()
        result = self.env.step(action)
        self._observation = result[0]
        after = {"observation": result[0].tolist(), "reward": float(result[1]), "terminated": bool(result[2])}
        self.steps.append({"before": before, "action": action.tolist(), **after})
        return result


def main(address: str, model: str, environment: str, episodes: str, steps: str) -> None:
    env = Recorder(gym.make(environment, max_episode_steps=int(steps)))
    result = evaluate(env, address, model, episodes=int(episodes), reset_seed=1)
    print(json.dumps({"starts": env.starts, "returns": result.returns, "lengths": result.lengths, "steps": env.steps}))


main(*sys.argv[1:])
