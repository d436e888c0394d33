"""The PyTorch side of the MAML bench: whole iterations of the same sizes, timed on request.

One JSON request a line on standard input, {"policy", "tasks", "episodes", "threads"}, one JSON line of seconds as the answer. Episodes come
from native MuJoCo (HalfCheetah-Vel: the model of Gymnasium), a share of the environments in each of as many processes as threads, over
shared memory; all tasks act in one batched product. Written from the published description of the algorithm.
"""

import json
import multiprocessing
import os
import sys
import time
from multiprocessing import shared_memory
from pathlib import Path

# Threads that wait awake take the cores from the processes that step. Read when PyTorch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gymnasium
import mujoco
import numpy as np
import torch

STEPS, OBSERVATIONS, ACTIONS, GAMMA, FRAME_SKIP, DT = 200, 20, 6, 0.95, 5, 0.05
MAX_KL, DAMPING, CG_ITERATIONS, TRIES = 0.01, 1e-5, 10, 20
MODEL = Path(gymnasium.__file__).parent / "envs/mujoco/assets/half_cheetah.xml"


def observe(data, torso, out):
    out[:8], out[8:17], out[17:] = data.qpos[1:], data.qvel, data.xpos[torso]


def worker(pipe, names, shapes, first, last, velocities):
    """Steps the environments [first, last) whenever it is told to."""
    blocks = [shared_memory.SharedMemory(name) for name in names]
    observations, actions, rewards = (np.ndarray(s, np.float32, b.buf) for s, b in zip(shapes, blocks))
    model = mujoco.MjModel.from_xml_path(str(MODEL))
    torso = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "torso")
    datas = [mujoco.MjData(model) for _ in range(first, last)]
    random = np.random.default_rng(first)
    while (order := pipe.recv_bytes()) != b"end":
        for row, data in enumerate(datas, first):
            if order == b"reset":
                mujoco.mj_resetData(model, data)
                data.qpos[:] += random.uniform(-0.1, 0.1, model.nq)
                data.qvel[:] = 0.1 * random.standard_normal(model.nv)
                mujoco.mj_forward(model, data)
            else:
                action, before = actions[row], data.qpos[0]
                data.ctrl[:] = action
                mujoco.mj_step(model, data, FRAME_SKIP)
                speed = (data.qpos[0] - before) / DT
                rewards[row] = -abs(speed - velocities[row]) - 0.05 * float(action @ action)
            observe(data, torso, observations[row])
        pipe.send_bytes(b"done")


class Sampler:
    def __init__(self, tasks, episodes, processes, velocities):
        self.rows = tasks * episodes
        self.shapes = [(self.rows, OBSERVATIONS), (self.rows, ACTIONS), (self.rows,)]
        self.blocks = [shared_memory.SharedMemory(create=True, size=4 * int(np.prod(s))) for s in self.shapes]
        self.arrays = [np.ndarray(s, np.float32, b.buf) for s, b in zip(self.shapes, self.blocks)]
        self.tasks, self.episodes, self.pipes, self.processes = tasks, episodes, [], []
        per_row = np.repeat(velocities, episodes)
        for i in range(processes):
            ours, theirs = multiprocessing.Pipe()
            bounds = (self.rows * i // processes, self.rows * (i + 1) // processes)
            args = (theirs, [b.name for b in self.blocks], self.shapes, *bounds, per_row)
            process = multiprocessing.get_context("spawn").Process(target=worker, args=args, daemon=True)
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)

    def tell(self, order):
        for pipe in self.pipes:
            pipe.send_bytes(order)
        for pipe in self.pipes:
            pipe.recv_bytes()

    @torch.no_grad()
    def collect(self, layers, log_std):
        """layers: (weight [T, I, O], gain [T, 1, O] or None, bias [T, 1, O]) each; log_std [T, 1, A]."""
        kept = [np.empty((STEPS, *s), np.float32) for s in self.shapes]
        self.tell(b"reset")
        for step in range(STEPS):
            observation = torch.from_numpy(self.arrays[0].copy()).view(self.tasks, self.episodes, -1)
            mean = network(layers, observation)
            kept[0][step] = self.arrays[0]
            self.arrays[1][:] = (mean + log_std.exp() * torch.randn_like(mean)).view(self.rows, -1).numpy()
            self.tell(b"step")
            kept[1][step], kept[2][step] = self.arrays[1], self.arrays[2]
        shaped = [k.reshape(STEPS, self.tasks, self.episodes, -1).transpose(1, 2, 0, 3) for k in kept]
        return [[Steps(*(part[task] for part in shaped))] for task in range(self.tasks)]

    def close(self):
        for pipe in self.pipes:
            pipe.send_bytes(b"end")
        for process in self.processes:
            process.join()
        for block in self.blocks:
            block.close()
            block.unlink()


class Steps:
    """The steps of one task, with advantages by a linear baseline, normalised."""

    def __init__(self, observation, action, reward):
        observation, reward = np.ascontiguousarray(observation), reward[..., 0].astype(np.float64)
        returns = np.zeros_like(reward)
        after = np.zeros(len(reward))
        for t in range(STEPS - 1, -1, -1):
            after = returns[:, t] = reward[:, t] + GAMMA * after
        o = observation.astype(np.float64)
        t = np.broadcast_to(np.arange(STEPS)[None, :, None] / 100, (len(o), STEPS, 1))
        features = np.concatenate([o, o**2, t, t**2, t**3, np.ones_like(t)], -1).reshape(-1, 2 * OBSERVATIONS + 4)
        gram = features.T @ features + 1e-5 * np.eye(features.shape[1])
        values = features @ np.linalg.solve(gram, features.T @ returns.ravel())
        # With lambda 1 the advantages are the returns less the values.
        advantage = returns.ravel() - values
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        self.observation = torch.from_numpy(observation.reshape(-1, OBSERVATIONS))
        self.action = torch.from_numpy(np.ascontiguousarray(action).reshape(-1, ACTIONS))
        self.advantage = torch.from_numpy(advantage.astype(np.float32))


def network(layers, x):
    for i, (weight, gain, bias) in enumerate(layers):
        x = x @ weight
        x = (x if gain is None else x * gain) + bias
        if i < len(layers) - 1:
            x = torch.relu(x)
    return x


def mlp_parameters():
    sizes = [OBSERVATIONS, 100, 100, ACTIONS]
    parameters = {"log_std": torch.zeros(ACTIONS)}
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layer = torch.nn.Linear(a, b)
        parameters[f"w{i}"], parameters[f"b{i}"] = layer.weight.detach().t().contiguous(), layer.bias.detach()
    return parameters


def mlp_layers(parameters, _):
    return [(parameters[f"w{i}"], None, parameters[f"b{i}"]) for i in range(3)]


TRUNK, HIDDEN = (256, 512, 1024), 256


def hyper_parameters():
    parameters = {"log_std": torch.zeros(ACTIONS)}

    def linear(name, a, b, bound=None):
        scale = 0.5 * a**-0.5 if bound is None else bound
        parameters[f"{name}.w"] = (2 * torch.rand(a, b) - 1) * scale
        parameters[f"{name}.b"] = torch.zeros(b) if bound is not None else (2 * torch.rand(b) - 1) * a**-0.5

    width = 1
    for s, size in enumerate(TRUNK):
        linear(f"s{s}", width, size)
        for block in "01":
            linear(f"s{s}.{block}a", size, size)
            linear(f"s{s}.{block}b", size, size)
        width = size
    for i, (a, b, bound) in enumerate([(OBSERVATIONS, HIDDEN, 0.05), (HIDDEN, ACTIONS, 0.008)]):
        for part, size in (("w", a * b), ("g", b), ("b", b)):
            linear(f"h{i}{part}", width, size, bound)
    return parameters


def hyper_layers(p, context):
    def linear(name, x):
        return torch.addmm(p[f"{name}.b"], x, p[f"{name}.w"])

    h = context.view(1, 1)
    for s in range(len(TRUNK)):
        h = linear(f"s{s}", h)
        for block in "01":
            h = h + linear(f"s{s}.{block}b", torch.relu(linear(f"s{s}.{block}a", torch.relu(h))))
    sizes = [(OBSERVATIONS, HIDDEN), (HIDDEN, ACTIONS)]
    return [
        (linear(f"h{i}w", h).view(a, b), 1 + linear(f"h{i}g", h), linear(f"h{i}b", h)) for i, (a, b) in enumerate(sizes)
    ]


class Maml:
    def __init__(self, policy, tasks, episodes, processes):
        is_hyper = policy == "hyper-maml"
        self.layers = hyper_layers if is_hyper else mlp_layers
        self.rate = 5e-5 if is_hyper else 0.1
        self.parameters = {n: p.requires_grad_() for n, p in (hyper_parameters if is_hyper else mlp_parameters)().items()}
        # Graphs of all tasks at once are kept where they fit into memory: adapted MLPs, but no adapted hypernetworks.
        self.keeps_graphs = not is_hyper
        velocities = np.linspace(0, 3, tasks)
        self.contexts = [torch.tensor(v / 3, dtype=torch.float32) for v in velocities]
        self.sampler = Sampler(tasks, episodes, processes, velocities)

    def outputs(self, parameters, task, steps):
        return network(self.layers(parameters, self.contexts[task]), steps.observation), parameters["log_std"]

    @staticmethod
    def log_prob(mean, log_std, action):
        return (-0.5 * ((action - mean) / log_std.exp()) ** 2 - log_std - 0.9189385).sum(-1)

    def adapted(self, task, create_graph=True):
        steps = self.pre[task]
        mean, log_std = self.outputs(self.parameters, task, steps)
        loss = -(self.log_prob(mean, log_std, steps.action) * steps.advantage).mean()
        gradients = torch.autograd.grad(loss, list(self.parameters.values()), create_graph=create_graph)
        return {n: p - self.rate * g for (n, p), g in zip(self.parameters.items(), gradients)}

    def collect(self, policies):
        per_task = [self.layers(p, self.contexts[task]) for task, p in enumerate(policies)]
        layers = []
        for parts in zip(*per_task):
            weight, gain, bias = zip(*parts)
            stacked = lambda list_: torch.stack([x.detach().view(1, -1) for x in list_])
            layers.append(
                (torch.stack([w.detach() for w in weight]), None if gain[0] is None else stacked(gain), stacked(bias))
            )
        log_std = torch.stack([p["log_std"].detach().view(1, -1) for p in policies])
        return [steps for (steps,) in self.sampler.collect(layers, log_std)]

    def kl(self, task, adapted):
        mean, log_std = self.outputs(adapted, task, self.post[task])
        old_mean, old_log_std = mean.detach(), log_std.detach()
        ratio = ((2 * log_std).exp() + (mean - old_mean) ** 2) / (2 * (2 * old_log_std).exp())
        return (old_log_std - log_std + ratio - 0.5).sum(-1).mean()

    def kl_slope(self, tasks):
        values = list(self.parameters.values())
        kl = sum(self.kl(task, self.adapted(task)) for task in tasks) / len(self.contexts)
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(kl, values, create_graph=True)])

    def product(self, vector):
        values, tasks = list(self.parameters.values()), range(len(self.contexts))
        slopes = [self.slope] if self.keeps_graphs else (self.kl_slope([task]) for task in tasks)
        total = DAMPING * vector
        for slope in slopes:
            back = torch.autograd.grad(slope @ vector, values, retain_graph=self.keeps_graphs)
            total = total + torch.cat([g.reshape(-1) for g in back])
        return total

    def iteration(self):
        seconds, tasks, values = {}, range(len(self.contexts)), list(self.parameters.values())
        start = mark = time.perf_counter()

        def lap(name):
            nonlocal mark
            now = time.perf_counter()
            seconds[name] = seconds.get(name, 0) + now - mark
            mark = now

        self.pre = self.collect([self.parameters] * len(tasks))
        lap("sampling")
        adapted = [{n: p.detach() for n, p in self.adapted(task, False).items()} for task in tasks]
        lap("inner")
        self.post = self.collect(adapted)
        lap("sampling")
        old, gradient = [], 0
        for task in tasks:
            mean, log_std = self.outputs(self.adapted(task), task, self.post[task])
            log_prob = self.log_prob(mean, log_std, self.post[task].action)
            loss = -((log_prob - log_prob.detach()).exp() * self.post[task].advantage).mean() / len(tasks)
            gradient = gradient + torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, values)])
            old.append((log_prob.detach(), mean.detach(), log_std.detach()))
        lap("outer")
        if self.keeps_graphs:
            self.slope = self.kl_slope(tasks)
        x, r = torch.zeros_like(gradient), gradient.clone()
        d, rr = r.clone(), r @ r
        for _ in range(CG_ITERATIONS):
            image = self.product(d)
            length = rr / (d @ image)
            x, r = x + length * d, r - length * image
            next_rr = r @ r
            d, rr = r + next_rr / rr * d, next_rr
        self.slope = None
        lap("cg")
        scale = torch.sqrt(0.5 * (x @ (gradient - r)) / MAX_KL)
        before = torch.cat([p.detach().reshape(-1) for p in values])
        accepted = False
        for j in range(TRIES):
            torch.nn.utils.vector_to_parameters(before - 0.8**j / scale * x, values)
            loss = kl = 0.0
            for task in tasks:
                adapted = {n: p.detach() for n, p in self.adapted(task, False).items()}
                with torch.no_grad():
                    mean, log_std = self.outputs(adapted, task, self.post[task])
                    log_prob = self.log_prob(mean, log_std, self.post[task].action)
                    old_log_prob, old_mean, old_log_std = old[task]
                    loss -= ((log_prob - old_log_prob).exp() * self.post[task].advantage).mean().item() / len(tasks)
                    ratio = ((2 * log_std).exp() + (mean - old_mean) ** 2) / (2 * (2 * old_log_std).exp())
                    kl += (old_log_std - log_std + ratio - 0.5).sum(-1).mean().item() / len(tasks)
            if loss < 0 and kl < MAX_KL:
                accepted = True
                break
        if not accepted:
            torch.nn.utils.vector_to_parameters(before, values)
        lap("outer")
        return {"iteration": mark - start, **seconds, "kl": kl, "loss": loss, "accepted": accepted}


def main():
    subject, key = None, None
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        if key != (key := tuple(request.values())):
            if subject is not None:
                subject.sampler.close()
            torch.manual_seed(0)
            subject = Maml(request["policy"], request["tasks"], request["episodes"], request["threads"])
        print(json.dumps(subject.iteration()), flush=True)
    if subject is not None:
        subject.sampler.close()


if __name__ == "__main__":
    main()
