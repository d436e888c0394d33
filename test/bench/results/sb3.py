"""Trains TD3 or SAC of Stable-Baselines3 with our settings, and writes a run directory that `hyperpolicy plot` draws beside ours.

    python sb3.py td3|sac ENVIRONMENT SEED STEPS DIRECTORY        # pip install stable-baselines3 "gymnasium[mujoco]"

Settings are those of `hyperpolicy train td3 --critic mlp-standard` and `train sac --preset sac --critic mlp-standard`; what they share is
in `settings`. One thread. An evaluation every 5000 steps, and before the first: 10 deterministic episodes in environments of their own, from
seed + 100 on. The last line is JSON with the last evaluation and the processor time.
"""

import json
import os
import resource
import sys
import time

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise

EVALUATION_INTERVAL, EPISODES = 5000, 10

algorithm, environment, seed, steps, directory = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(float(sys.argv[4])), sys.argv[5]
torch.set_num_threads(1)
os.makedirs(directory)
env = gymnasium.make(environment)
evaluated = [gymnasium.make(environment) for _ in range(EPISODES)]
action_size = env.action_space.shape[0]

settings = dict(
    policy="MlpPolicy",
    learning_rate=3e-4,
    buffer_size=1_000_000,
    learning_starts=1000,
    batch_size={"td3": 100, "sac": 256}[algorithm],
    gamma=0.99,
    tau=0.005,
    train_freq=1,
    gradient_steps=1,
    policy_kwargs=dict(net_arch=[256, 256]),
    seed=seed,
)
if algorithm == "td3":
    noise = NormalActionNoise(np.zeros(action_size), 0.1 * np.ones(action_size))
    settings.update(policy_delay=2, target_policy_noise=0.2, target_noise_clip=0.5, action_noise=noise)
    model = TD3(env=env, **settings)
else:
    settings.update(ent_coef="auto", target_entropy="auto")
    model = SAC(env=env, **settings)


def evaluate():
    """Return and length of each episode; every evaluation has the same starts. The episodes advance together."""
    observations = [one.reset(seed=seed + 100 + i)[0] for i, one in enumerate(evaluated)]
    returns, lengths, running = np.zeros(EPISODES), np.zeros(EPISODES), set(range(EPISODES))
    while running:
        actions, _ = model.predict(np.stack(observations), deterministic=True)
        for i in sorted(running):
            observations[i], reward, terminated, truncated, _ = evaluated[i].step(actions[i])
            returns[i] += reward
            lengths[i] += 1
            if terminated or truncated:
                running.remove(i)
    return returns, lengths


class Evaluations(BaseCallback):
    """Appends a record at each evaluation."""

    def __init__(self):
        super().__init__()
        self.begun = time.perf_counter()
        self.last = None

    def note(self, step):
        returns, lengths = evaluate()
        self.last = dict(
            step=step,
            seconds=round(time.perf_counter() - self.begun, 3),
            evaluationReturn=float(np.mean(returns)),
            evaluationStandardDeviation=float(np.std(returns)),
            evaluationLength=float(np.mean(lengths)),
        )
        with open(os.path.join(directory, "metrics.jsonl"), "a") as records:
            records.write(json.dumps(self.last) + "\n")

    def _on_training_start(self):
        self.note(0)

    def _on_step(self):
        # The update of a step follows its callback: what is evaluated has one update less than steps since the warm-up.
        if self.num_timesteps % EVALUATION_INTERVAL == 0:
            self.note(self.num_timesteps)
        return True


shown = {name: value for name, value in settings.items() if name not in ("policy", "action_noise", "policy_kwargs", "seed")}
config = dict(
    environment=environment,
    algorithm=dict(name=algorithm, critic=dict(architecture="stable-baselines3"), version=stable_baselines3.__version__, **shown),
    loop=dict(stepCount=steps, seed=seed),
)
with open(os.path.join(directory, "config.json"), "w") as file:
    json.dump(config, file, indent=2)
evaluations = Evaluations()
model.learn(total_timesteps=steps, callback=evaluations)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps(dict(evaluations.last, processorSeconds=round(used.ru_utime + used.ru_stime, 1))))
