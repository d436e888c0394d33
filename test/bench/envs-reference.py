"""Steps Gymnasium's and EnvPool's environments for the bench: one JSON order per line in, `answer NUMBER` out."""

import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium
import numpy as np


def single(order, actions):
    env = gymnasium.make(order["name"], disable_env_checker=True)
    rows = np.ascontiguousarray(actions[:, 0])
    env.reset(seed=0)

    def run(index):
        _, _, terminated, truncated, _ = env.step(rows[index])
        if terminated or truncated:
            env.reset()

    return run, 1, env.close


def vector(order, actions, mode):
    count = order["environmentCount"]
    env = gymnasium.make_vec(order["name"], num_envs=count, vectorization_mode=mode)
    env.reset(seed=0)
    return (lambda index: env.step(actions[index])), count, env.close


def pool(order, actions):
    import envpool

    count = order["environmentCount"]
    env = envpool.make(
        order["name"], env_type="gymnasium", num_envs=count, num_threads=order["threadCount"], seed=0
    )
    env.reset()
    return (lambda index: env.step(actions[index])), count, env.close


SIDES = {
    "single": single,
    "sync": lambda order, actions: vector(order, actions, "sync"),
    "async": lambda order, actions: vector(order, actions, "async"),
    "envpool": pool,
}


def rate(run, count, length, seconds):
    steps, begin = 0, time.perf_counter()
    while True:
        for _ in range(10):
            run(steps % length)
            steps += 1
        elapsed = time.perf_counter() - begin
        if elapsed >= seconds:
            return steps * count / elapsed


def main():
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    opened, length = {}, 1
    for line in sys.stdin:
        order = json.loads(line)
        answer = 0
        if order["order"] == "open":
            actions = np.fromfile(order["file"], dtype="<f4")
            env = gymnasium.make(order["name"])
            size = env.action_space.shape[0]
            env.close()
            actions = actions.reshape(-1, order["environmentCount"], size)
            length = len(actions)
            opened[order["side"]] = SIDES[order["side"]](order, actions)
        elif order["order"] == "rate":
            run, count, _ = opened[order["side"]]
            answer = rate(run, count, length, order["seconds"])
        else:
            for _, _, close in opened.values():
                close()
            opened = {}
        print("answer", answer, flush=True)


if __name__ == "__main__":
    main()
