"""The PyTorch side of the engine bench: networks of the same sizes, timed on request.

Reads one JSON request per line on standard input, answers one JSON line each: {"case", "batch", "threads", "seconds"} to
{"ms": median of the clock, "cpu_ms": mean of all processors}. Written from the published description of the networks; the best settings that PyTorch has for them: fused Adam,
gradients set to none, no Python work inside a step but the calls themselves.
"""

import json
import sys
import time

import torch
from torch import nn

OBSERVATIONS, ACTIONS, TRUNK, HIDDEN = 17, 6, (256, 512, 1024), 256


class Block(nn.Module):
    """x + Lin(ReLU(Lin(ReLU x)))."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(torch.relu(x))))


class Hypernetwork(nn.Module):
    """A trunk and heads that generate a dynamic network base -> hidden -> out from the meta variable."""

    def __init__(self, meta, base, out, trunk=TRUNK, hidden=HIDDEN):
        super().__init__()
        layers, width = [], meta
        for size in trunk:
            layers += [nn.Linear(width, size), Block(size), Block(size)]
            width = size
        self.trunk = nn.Sequential(*layers)
        self.sizes = [(base, hidden), (hidden, out)]
        self.heads = nn.ModuleList(
            nn.ModuleDict({"w": nn.Linear(width, i * o), "g": nn.Linear(width, o), "b": nn.Linear(width, o)})
            for i, o in self.sizes
        )

    def forward(self, meta, base):
        """meta [K, m]; base [K, n, b], n rows per context."""
        embedding, h = self.trunk(meta), base
        for layer, (head, (i, o)) in enumerate(zip(self.heads, self.sizes)):
            weight = head["w"](embedding).view(-1, i, o)
            h = (1 + head["g"](embedding)).unsqueeze(1) * torch.bmm(h, weight) + head["b"](embedding).unsqueeze(1)
            if layer == 0:
                h = torch.relu(h)
        return h


class HyperCritic(Hypernetwork):
    def __init__(self):
        super().__init__(OBSERVATIONS, ACTIONS, 1)

    def q(self, observation, action):
        return self(observation, action.unsqueeze(1)).view(-1)


class MlpCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(OBSERVATIONS + ACTIONS, 1)

    def q(self, observation, action):
        return self.net(torch.cat([observation, action], 1)).view(-1)


def mlp(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs)
    )


def adam(modules, rate):
    return torch.optim.Adam([p for m in modules for p in m.parameters()], lr=rate, fused=True)


def critic_train(batch):
    critic = HyperCritic()
    optimiser = adam([critic], 5e-5)
    s, a, y = torch.randn(batch, OBSERVATIONS), torch.randn(batch, ACTIONS), torch.randn(batch)

    def step():
        optimiser.zero_grad(set_to_none=True)
        ((critic.q(s, a) - y) ** 2).mean().backward()
        optimiser.step()

    return step


def critic_forward(batch):
    critic = HyperCritic()
    s, a = torch.randn(batch, OBSERVATIONS), torch.randn(batch, ACTIONS)

    def step():
        with torch.inference_mode():
            critic.q(s, a)

    return step


def td3(make_critic, batch):
    """Two updates of the critics and one of the actor and the targets, as the delay of two has it."""
    actor, target_actor = (nn.Sequential(*mlp(OBSERVATIONS, ACTIONS), nn.Tanh()) for _ in range(2))
    critics, targets = [make_critic(), make_critic()], [make_critic(), make_critic()]
    actor_optimiser, critic_optimiser = adam([actor], 3e-4), adam(critics, 5e-5)
    pairs = [
        (list(t.parameters()), list(m.parameters()))
        for t, m in [(target_actor, actor), *zip(targets, critics)]
    ]
    s, a, s2 = torch.randn(batch, OBSERVATIONS), torch.rand(batch, ACTIONS) * 2 - 1, torch.randn(batch, OBSERVATIONS)
    r, alive, noise = torch.randn(batch), torch.ones(batch), torch.randn(batch, ACTIONS)

    def update_critics():
        with torch.no_grad():
            a2 = (target_actor(s2) + (0.2 * noise).clamp(-0.5, 0.5)).clamp(-1, 1)
            y = r + 0.99 * alive * torch.minimum(targets[0].q(s2, a2), targets[1].q(s2, a2))
        critic_optimiser.zero_grad(set_to_none=True)
        sum(((critic.q(s, a) - y) ** 2).mean() for critic in critics).backward()
        critic_optimiser.step()

    def step():
        update_critics()
        update_critics()
        # The actor's gradient alone: the critics' parameters need none here.
        loss = -critics[0].q(s, actor(s)).mean()
        actor_optimiser.zero_grad(set_to_none=True)
        for p, g in zip(actor.parameters(), torch.autograd.grad(loss, list(actor.parameters()))):
            p.grad = g
        actor_optimiser.step()
        with torch.no_grad():
            for target, source in pairs:
                torch._foreach_lerp_(target, source, 0.005)

    return step


def hessian_vector(inner, rows=4000):
    """H v of the KL at the current point, of one task; with `inner`, through one inner gradient step."""
    policy = Hypernetwork(1, 20, 6)
    log_std = torch.zeros(6)
    parameters = dict(policy.named_parameters())
    context, x = torch.ones(1, 1), torch.randn(1, rows, 20)
    action, advantage = torch.randn(1, rows, 6), torch.randn(1, rows)
    vector = [torch.randn_like(p) for p in parameters.values()]

    def mean(weights):
        return torch.func.functional_call(policy, weights, (context, x))

    def adapted(weights):
        if not inner:
            return weights
        log_probability = -0.5 * (((action - mean(weights)) / log_std.exp()) ** 2).sum(-1)
        gradients = torch.autograd.grad(
            -(log_probability * advantage).mean(), list(weights.values()), create_graph=True
        )
        return {name: w - 5e-5 * g for (name, w), g in zip(weights.items(), gradients)}

    def step():
        new = mean(adapted(parameters))
        old = new.detach()
        kl = 0.5 * (((new - old) / log_std.exp()) ** 2).sum(-1).mean()
        gradients = torch.autograd.grad(kl, list(parameters.values()), create_graph=True)
        along = sum((g * v).sum() for g, v in zip(gradients, vector))
        torch.autograd.grad(along, list(parameters.values()))

    return step


def pearl(tasks, rows=256, transitions=100, observations=20, latent=5):
    """An update of hyper-PEARL: twin Q and encoder, then V, its target and the policy, at the Qs just stepped."""
    sizes = [observations + ACTIONS + 1, 200, 200, 200]
    encoder = nn.Sequential(
        *(layer for i, o in zip(sizes, sizes[1:]) for layer in (nn.Linear(i, o), nn.ReLU())), nn.Linear(200, 2 * latent)
    )
    policy = Hypernetwork(latent, observations, 2 * ACTIONS)
    critics = [Hypernetwork(observations, ACTIONS + latent, 1) for _ in range(2)]
    value, target = (Hypernetwork(observations, latent, 1) for _ in range(2))
    for network in (policy, *critics, value):
        for head in network.heads:
            for layer in head.values():
                nn.init.uniform_(layer.weight, -0.01, 0.01)
                nn.init.zeros_(layer.bias)
    target.load_state_dict(value.state_dict())
    optimisers = [adam([encoder], 3e-4), adam(critics, 5e-5), adam([value], 5e-5), adam([policy], 1e-4)]
    context = torch.randn(tasks, transitions, sizes[0])
    s, s2 = torch.randn(tasks * rows, observations), torch.randn(tasks * rows, observations)
    a, r = torch.randn(tasks * rows, ACTIONS), torch.randn(tasks * rows)

    def smaller_q(actions, z):
        base = torch.cat([actions, z], 1).unsqueeze(1)
        return torch.minimum(*(critic(s, base).view(-1) for critic in critics))

    def step():
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        mean, spread = encoder(context).chunk(2, -1)
        precision = 1 / nn.functional.softplus(spread).clamp(min=1e-7)
        variance = 1 / precision.sum(1)
        mean = variance * (precision * mean).sum(1)
        z = mean + variance.sqrt() * torch.randn_like(mean)
        kl = 0.5 * (variance + mean**2 - 1 - variance.log()).sum()
        of_rows = z.repeat_interleave(rows, 0)
        fixed = of_rows.detach()
        output = policy(z.detach(), s.view(tasks, rows, -1)).reshape(tasks * rows, -1)
        mu, log_std = output.chunk(2, -1)
        log_std = log_std.clamp(-20, 2)
        noise = torch.randn_like(mu)
        u = mu + log_std.exp() * noise
        action = u.tanh()
        log_prob = (-0.5 * noise**2 - log_std - 0.9189 - 2 * (0.6931 - u - nn.functional.softplus(-2 * u))).sum(1)
        with torch.no_grad():
            y = 5 * r + 0.99 * target(s2, fixed.unsqueeze(1)).view(-1)
        base = torch.cat([a, of_rows], 1).unsqueeze(1)
        (sum(((critic(s, base).view(-1) - y) ** 2).mean() for critic in critics) + 0.1 * kl).backward()
        optimisers[0].step()
        optimisers[1].step()
        for critic in critics:
            critic.requires_grad_(False)
        q = smaller_q(action, fixed)
        goal = (q - log_prob).detach()
        ((value(s, fixed.unsqueeze(1)).view(-1) - goal) ** 2).mean().backward()
        optimisers[2].step()
        with torch.no_grad():
            torch._foreach_lerp_(list(target.parameters()), list(value.parameters()), 0.005)
        ((log_prob - q).mean() + 1e-3 * (mu**2).mean() + 1e-3 * (log_std**2).mean()).backward()
        optimisers[3].step()
        for critic in critics:
            critic.requires_grad_(True)

    return step


CASES = {
    "pearl": pearl,
    "critic_train": critic_train,
    "critic_forward": critic_forward,
    "td3": lambda batch: td3(HyperCritic, batch),
    "td3_mlp": lambda batch: td3(MlpCritic, batch),
    "hvp": lambda batch: hessian_vector(False, batch),
    "hvp_inner": lambda batch: hessian_vector(True, batch),
}


def timing(step, seconds):
    step()
    samples, end, cpu = [], time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end or not samples:
        start = time.perf_counter()
        step()
        samples.append((time.perf_counter() - start) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000 / len(samples)
    return {"ms": sorted(samples)[len(samples) // 2], "cpu_ms": cpu_ms}


def main():
    steps = {}
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        key = (request["case"], request["batch"])
        if key not in steps:
            steps.clear()
            torch.manual_seed(0)
            steps[key] = CASES[request["case"]](request["batch"])
        print(json.dumps(timing(steps[key], request["seconds"])), flush=True)


main()
