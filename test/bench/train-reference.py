"""Trains TD3 or SAC on HalfCheetah-v5 with another library for the bench; prints `steps {"steps": N, "seconds": T}` while it learns.

    python train-reference.py sb3|sbx|rltools td3|sac THREADS

Settings as ours: 256-256, one update a step, learning rate 3e-4, batch 100 (TD3) or 256 (SAC, temperature learned), no evaluation.
"""

import importlib.util
import json
import os
import sys
import tempfile
import time

library, algorithm, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(threads)

package = {"sb3": "stable_baselines3", "sbx": "sbx", "rltools": "rltools"}[library]
if importlib.util.find_spec(package) is None:
    sys.exit(3)

import gymnasium

# MuJoCo writes a log where it runs.
os.chdir(tempfile.gettempdir())

WARM_UP = 1000
BATCH = {"td3": 100, "sac": 256}[algorithm]
LINE_SECONDS = 0.2


class Lines:
    """A line every LINE_SECONDS once the warm-up is over."""

    def __init__(self):
        self.steps, self.due = 0, 0.0

    def step(self):
        self.steps += 1
        now = time.perf_counter()
        if self.steps > WARM_UP and now >= self.due:
            print("steps", json.dumps({"steps": self.steps, "seconds": now}), flush=True)
            self.due = now + LINE_SECONDS


def stable_baselines(lines):
    if library == "sbx":
        from sbx import SAC, TD3
    else:
        import torch
        from stable_baselines3 import SAC, TD3

        torch.set_num_threads(threads)
    import numpy as np
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.noise import NormalActionNoise

    class Report(BaseCallback):
        def _on_step(self):
            lines.step()
            return True

    common = dict(
        learning_rate=3e-4,
        buffer_size=1_000_000,
        learning_starts=WARM_UP,
        batch_size=BATCH,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs=dict(net_arch=[256, 256]),
        seed=0,
    )
    if algorithm == "td3":
        model = TD3("MlpPolicy", "HalfCheetah-v5", action_noise=NormalActionNoise(np.zeros(6), 0.1 * np.ones(6)), **common)
    else:
        model = SAC("MlpPolicy", "HalfCheetah-v5", ent_coef="auto", **common)
    model.learn(total_timesteps=10**9, callback=Report())


def rltools(lines):
    from rltools import SAC, TD3

    def make():
        env = gymnasium.make("HalfCheetah-v5")
        env.reset(seed=0)
        return env

    create = {"td3": TD3, "sac": SAC}[algorithm]
    # Layers count the output: 17 -> 256 -> 256 -> 6.
    settings = create(
        make,
        interface_name=f"bench_{algorithm}",
        enable_evaluation=False,
        ACTOR_BATCH_SIZE=BATCH,
        CRITIC_BATCH_SIZE=BATCH,
        N_WARMUP_STEPS=WARM_UP,
        STEP_LIMIT=10**9,
        REPLAY_BUFFER_CAP=1_000_000,
        ACTOR_HIDDEN_DIM=256,
        CRITIC_HIDDEN_DIM=256,
        OPTIMIZER_ALPHA=3e-4,
    )
    state = settings.State(0)
    while not state.step():
        lines.step()


(rltools if library == "rltools" else stable_baselines)(Lines())
