"""Whole updates of TD3, SAC and PEARL in float64, apart from any of our code: sizes, clips and encoders that sac.json and pearl.json lack.

    python -m venv v && v/bin/pip install numpy torch
    v/bin/python generate.py               # td3.json, sac-sizes.json and pearl-sizes.json into this folder
    v/bin/python generate.py --check FILE  # recompute the cases of such a file and print the largest difference, relative

README.md has the formulas of parameters and inputs. Phases are chosen so that nothing lies within 1e-3 of the kink of a ReLU, a
clip or a minimum. Gradients are PyTorch's, and so is the GRU.
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch

torch.set_default_dtype(torch.float64)


def rounded(values, shape):
    """To float32 and back: a float32 program starts from the very same numbers."""
    return torch.tensor(np.asarray(values, np.float32).astype(np.float64)).reshape(shape)


def parameter(entry, k):
    i = np.arange(math.prod(entry["shape"]), dtype=np.int64)
    wave = np.sin(0.37 * (i + 1) + 1.7 * (k + 1) + 0.013 * ((i * i) % 997))
    return rounded(entry["bound"] * wave, entry["shape"]).requires_grad_()


def sine(shape, phase, scale=1.0):
    return rounded(scale * np.sin(0.91 * np.arange(math.prod(shape)) + phase), shape)


class Network:
    """Parameters in their order, and Adam."""

    def __init__(self, entries, first_k):
        self.names = [entry["name"] for entry in entries]
        self.parameters = [parameter(entry, first_k + j) for j, entry in enumerate(entries)]
        self.adam = Adam(self.parameters)

    def __getitem__(self, name):
        return self.parameters[self.names.index(name)]

    def __contains__(self, name):
        return name in self.names

    def gradients(self, loss):
        return torch.autograd.grad(loss, self.parameters, retain_graph=True)

    def step(self, gradients, rate):
        moves = self.adam.moves(gradients, rate)
        self.parameters = [(p - move).detach().requires_grad_() for p, move in zip(self.parameters, moves)]

    def follow(self, online, tau):
        pairs = zip(self.parameters, online.parameters)
        self.parameters = [((1 - tau) * own + tau * other).detach().requires_grad_() for own, other in pairs]

    def first(self, count):
        return [listed(p.reshape(-1)[:count]) for p in self.parameters]


class Adam:
    def __init__(self, parameters):
        self.count = 0
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]

    def moves(self, gradients, rate):
        self.count += 1
        self.moments = [
            (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g) for (m, v), g in zip(self.moments, gradients)
        ]
        first, second = 1 - 0.9**self.count, 1 - 0.999**self.count
        return [rate * (m / first) / ((v / second).sqrt() + 1e-8) for m, v in self.moments]


def networks_of(case, kind_of):
    networks, k = {}, 0
    for name in case["order"]:
        entries = case["params"][kind_of(name)]
        networks[name] = Network(entries, k)
        k += len(entries)
    return networks


def number(value):
    return float(f"{torch.as_tensor(value).item():.9g}")


def listed(tensor):
    return [number(value) for value in tensor.detach().reshape(-1)]


def figures(gradients):
    return [{"l2": number(g.norm()), "first": listed(g.reshape(-1)[:4])} for g in gradients]


def norm(gradients):
    return number(torch.sqrt(sum((g * g).sum() for g in gradients)))


# Layers


def linear(network, name, x):
    return x @ network[name + ".weight"].T + network[name + ".bias"]


def stems(network, prefix=""):
    return [name[: -len(".weight")] for name in network.names if name.startswith(prefix) and name.endswith(".weight")]


def mlp(network, x, outputs=1):
    """ReLU between layers; the last ones, as many as there are outputs, all read the layer before them."""
    names = stems(network)
    for name in names[:-outputs]:
        x = torch.relu(linear(network, name, x))
    return [linear(network, name, x) for name in names[-outputs:]]


def hyper(network, meta, base, heads=("last_layer",)):
    """The trunk on the meta variable; its heads' layers on the base variable, W per row [out, in], gain 1 + s1."""
    e, block = meta, 0
    while True:
        name = f"hyper.hyper.{block}"
        if name + ".weight" in network:
            e = linear(network, name, e)
        elif name + ".fc.1.weight" in network:
            e = e + linear(network, name + ".fc.3", torch.relu(linear(network, name + ".fc.1", torch.relu(e))))
        else:
            break
        block += 1

    def layer(name, x):
        bias = linear(network, name + ".b1", e)
        weight = linear(network, name + ".W1", e).reshape(-1, bias.shape[1], x.shape[1])
        return (1 + linear(network, name + ".s1", e)) * torch.einsum("roi,ri->ro", weight, x) + bias

    hidden = torch.relu(layer("layer1", base))
    return [layer(name, hidden) for name in heads]


def draw(mean, output, noise):
    """Clipped log-std, action, log-density."""
    log_std = torch.clamp(output, -20, 2)
    u = mean + torch.exp(log_std) * noise
    correction = 2 * (math.log(2) - u - torch.logaddexp(-2 * u, torch.zeros_like(u)))
    log_prob = (-noise**2 / 2 - log_std - math.log(2 * math.pi) / 2 - correction).sum(1)
    return log_std, torch.tanh(u), log_prob


# SAC


def sac(case, update_count):
    rows, states, actions = case["batch"], case["state_dim"], case["action_dim"]
    phases, rates = case["phases"], case["learning_rates"]
    networks = networks_of(case, lambda name: "actor" if name == "actor" else "critic")
    state, next_state = (sine([rows, states], phases[name]) for name in ("state", "next_state"))
    action = sine([rows, actions], phases["action"], 0.9)
    noise, next_noise = (sine([rows, actions], phases[name], 1.5) for name in ("noise", "next_noise"))
    reward, terminated = sine([rows], phases["reward"]), torch.tensor(case["terminated"])
    is_learnt = "log_alpha" in case
    log_alpha = torch.tensor(float(case["log_alpha"] if is_learnt else math.log(case["alpha"])))
    alpha_adam = Adam([log_alpha])

    def policy(at, noise):
        mean, output = mlp(networks["actor"], at, 2)
        return mean, *draw(mean, output, noise)

    def q(name, at, action):
        if case["critic"] == "mlp":
            return mlp(networks[name], torch.cat([at, action], 1))[0][:, 0]
        return hyper(networks[name], at, action)[0][:, 0]

    def target():
        mean, log_std, action, log_prob = policy(next_state, next_noise)
        next_q = [q(name, next_state, action) for name in ("q1_target", "q2_target")]
        soft = torch.minimum(*next_q) - torch.exp(log_alpha) * log_prob
        y = case["reward_scale"] * reward + case["gamma"] * (1 - terminated) * soft
        return y.detach(), dict(next_mean=mean, next_log_std=log_std, next_action=action, next_log_prob=log_prob), next_q

    def critics(y):
        qs = [q(name, state, action) for name in ("q1", "q2")]
        losses = [((one - y) ** 2).mean() for one in qs]
        gradients = {name: networks[name].gradients(loss) for name, loss in zip(("q1", "q2"), losses)}
        return qs, [number(loss) for loss in losses], gradients

    def actor():
        mean, log_std, action, log_prob = policy(state, noise)
        qs = [q(name, state, action) for name in ("q1", "q2")]
        loss = (torch.exp(log_alpha) * log_prob - torch.minimum(*qs)).mean()
        parts = dict(mean=mean, log_std=log_std, pi_action=action, log_prob=log_prob)
        return parts, qs, loss, networks["actor"].gradients(loss)

    def temperature(log_prob):
        slope = -(log_prob.detach() + case["target_entropy"]).mean()
        return number(log_alpha * slope), slope

    y, next_parts, next_q = target()
    qs, losses, gradients = critics(y)
    parts, pi_q, actor_loss, actor_gradients = actor()
    low, high = (torch.tensor(case[name], dtype=torch.float64) for name in ("low", "high"))
    case["start"] = {
        **{name: listed(value) for name, value in {**next_parts, **parts, "y": y}.items()},
        "pi_action_env": listed((low + high) / 2 + (high - low) / 2 * parts["pi_action"]),
        **{name: [listed(one) for one in twins] for name, twins in dict(next_q=next_q, q=qs, pi_q=pi_q).items()},
        "critic_losses": losses,
        "grads": {name: figures(g) for name, g in {**gradients, "actor": actor_gradients}.items()},
        "actor_loss": number(actor_loss),
    }
    if is_learnt:
        loss, slope = temperature(parts["log_prob"])
        case["start"].update(alpha_loss=loss, alpha_grad=number(slope))

    for update in range(1, update_count + 1):
        y, *_ = target()
        _, losses, gradients = critics(y)
        for name in ("q1", "q2"):
            networks[name].step(gradients[name], rates["critic"])
        parts, _, actor_loss, actor_gradients = actor()
        networks["actor"].step(actor_gradients, rates["actor"])
        given = {"y": listed(y), "critic_losses": losses, "actor_loss": number(actor_loss)}
        given["actor_grads"] = figures(actor_gradients)
        if is_learnt:
            given["alpha_loss"], slope = temperature(parts["log_prob"])
            log_alpha = log_alpha - alpha_adam.moves([slope], rates["alpha"])[0]
            given["log_alpha"] = number(log_alpha)
        for name in ("q1", "q2"):
            networks[name + "_target"].follow(networks[name], case["tau"])
        given["after"] = {name: network.first(2) for name, network in networks.items()}
        case[f"update_{update}"] = given
    return case


# TD3


def td3(case, update_count):
    rows, states, actions = case["batch"], case["state_dim"], case["action_dim"]
    phases, rates = case["phases"], case["learning_rates"]
    networks = networks_of(case, lambda name: "actor" if name.startswith("actor") else "critic")
    state, next_state = (sine([rows, states], phases[name]) for name in ("state", "next_state"))
    action, noise = sine([rows, actions], phases["action"], 0.9), sine([rows, actions], phases["noise"], 1.5)
    reward, terminated = sine([rows], phases["reward"]), torch.tensor(case["terminated"])

    def q(name, at, action):
        if case["critic"] == "mlp":
            return mlp(networks[name], torch.cat([at, action], 1))[0][:, 0]
        return hyper(networks[name], at, action)[0][:, 0]

    def policy(name, at):
        return torch.tanh(mlp(networks[name], at)[0])

    for update in range(1, update_count + 1):
        limit = case["target_noise_clip"]
        smoothing = torch.clamp(case["target_noise"] * noise, -limit, limit)
        next_action = torch.clamp(policy("actor_target", next_state) + smoothing, -1, 1)
        next_q = torch.minimum(*(q(name, next_state, next_action) for name in ("q1_target", "q2_target")))
        y = (reward + case["gamma"] * (1 - terminated) * next_q).detach()
        losses = [((q(name, state, action) - y) ** 2).mean() for name in ("q1", "q2")]
        gradients = {name: networks[name].gradients(loss) for name, loss in zip(("q1", "q2"), losses)}
        for name, own in gradients.items():
            networks[name].step(own, rates["critic"])
        if update % case["policy_delay"] == 0:
            gradients["actor"] = networks["actor"].gradients(-q("q1", state, policy("actor", state)).mean())
            networks["actor"].step(gradients["actor"], rates["actor"])
            for name in ("actor", "q1", "q2"):
                networks[name + "_target"].follow(networks[name], case["tau"])
        case[f"update_{update}"] = {
            "next_action": listed(next_action),
            "y": listed(y),
            "critic_losses": [number(loss) for loss in losses],
            "grads": {name: figures(own) for name, own in gradients.items()},
            "after": {name: network.first(2) for name, network in networks.items()},
        }
    return case


# PEARL


def gaussian(output, latent):
    return output[..., :latent], torch.clamp(torch.logaddexp(output[..., latent:], torch.zeros(())), min=1e-7)


def posterior_of(case, encoder, context):
    """Product of a Gaussian per transition; or one Gaussian of the mean of outputs, or of a GRU's last state."""
    latent, kind = case["latent_dim"], case.get("encoder", "product")
    if kind == "gru":
        features = context
        for name in stems(encoder, "fc"):
            features = torch.relu(linear(encoder, name, features))
        width = features.shape[2]
        own = {name[len("gru.") :]: encoder[name] for name in encoder.names if name.startswith("gru.")}
        _, state = torch.func.functional_call(torch.nn.GRU(width, width, batch_first=True), own, (features,))
        return gaussian(linear(encoder, "last_fc", state[0]), latent)
    output = mlp(encoder, context)[0]
    if kind == "mean":
        return gaussian(output.mean(1), latent)
    mean, variance = gaussian(output, latent)
    total = 1 / (1 / variance).sum(1)
    return total * (mean / variance).sum(1), total


def pearl(case, update_count):
    tasks, per_task, transitions = case["tasks"], case["batch"], case["context"]
    states, actions, latent, rows = case["state_dim"], case["action_dim"], case["latent_dim"], case["tasks"] * case["batch"]
    phases, rates, is_hyper = case["phases"], case["learning_rates"], case["networks"] == "hyper"
    networks = networks_of(case, lambda name: {"q1": "q", "q2": "q", "v_target": "v"}.get(name, name))
    context = [
        sine([tasks, transitions, states], phases["context_state"]),
        sine([tasks, transitions, actions], phases["context_action"], 0.9),
        sine([tasks, transitions, 1], phases["context_reward"]),
    ]
    if case.get("next_observation"):
        context.append(sine([tasks, transitions, states], phases["context_next_state"]))
    context = torch.cat(context, 2)
    latent_noise = sine([tasks, latent], phases["latent_noise"], 1.5)
    state, next_state = (sine([rows, states], phases[name]) for name in ("state", "next_state"))
    action, noise = sine([rows, actions], phases["action"], 0.9), sine([rows, actions], phases["noise"], 1.5)
    reward, terminated = sine([rows], phases["reward"]), torch.tensor(case["terminated"])

    def q(name, action, z):
        z = z.repeat_interleave(per_task, 0)
        if is_hyper:
            return hyper(networks[name], state, torch.cat([action, z], 1))[0][:, 0]
        return mlp(networks[name], torch.cat([state, action, z], 1))[0][:, 0]

    def v(name, at, z):
        z = z.repeat_interleave(per_task, 0)
        return (hyper(networks[name], at, z) if is_hyper else mlp(networks[name], torch.cat([at, z], 1)))[0][:, 0]

    def policy(z):
        z = z.repeat_interleave(per_task, 0)
        if is_hyper:
            mean, output = hyper(networks["policy"], z, state, ("last_layer", "last_layer_log"))
        else:
            mean, output = mlp(networks["policy"], torch.cat([state, z], 1), 2)
        return mean, *draw(mean, output, noise)

    def infer():
        mean, variance = posterior_of(case, networks["encoder"], context)
        kl = ((variance + mean**2 - 1 - torch.log(variance)) / 2).sum()
        return mean, variance, kl, mean + torch.sqrt(variance) * latent_noise

    def q_losses(z):
        y = case["reward_scale"] * reward + case["gamma"] * (1 - terminated) * v("v_target", next_state, z)
        qs = [q(name, action, z) for name in ("q1", "q2")]
        return y, qs, [((one - y.detach()) ** 2).mean() for one in qs]

    def value_loss(z, drawn, log_prob):
        value = v("v", state, z)
        target = (torch.minimum(q("q1", drawn, z), q("q2", drawn, z)) - log_prob).detach()
        return value, target, ((value - target) ** 2).mean()

    def policy_terms(z, mean, log_std, drawn, log_prob):
        return [
            (log_prob - torch.minimum(q("q1", drawn, z), q("q2", drawn, z))).mean(),
            case["mean_weight"] * (mean**2).mean(),
            case["log_std_weight"] * (log_std**2).mean(),
        ]

    def encoder_gradients(losses, kl):
        encoder = networks["encoder"]
        return encoder.gradients(sum(losses)), encoder.gradients(case["kl_weight"] * kl)

    mean, variance, kl, z = infer()
    parts, half = [], (transitions + 1) // 2
    for own in (context[:, :half], context[:, half:]):
        if own.shape[1] > 0:
            own_mean, own_variance = posterior_of(case, networks["encoder"], own)
            parts.append(dict(transitions=own.shape[1], mean=listed(own_mean), variance=listed(own_variance)))
    y, qs, losses = q_losses(z)
    from_q, from_kl = encoder_gradients(losses, kl)
    own = {name: networks[name].gradients(loss) for name, loss in zip(("q1", "q2"), losses)}
    fixed = z.detach()
    pi_mean, log_std, drawn, log_prob = policy(fixed)
    value, v_target, v_loss = value_loss(fixed, drawn, log_prob)
    terms = policy_terms(fixed, pi_mean, log_std, drawn, log_prob)
    own["v"], own["policy"] = networks["v"].gradients(v_loss), networks["policy"].gradients(sum(terms))
    case["start"] = {
        **{name: listed(value) for name, value in dict(posterior_mean=mean, posterior_variance=variance, z=z, y=y).items()},
        "parts": parts,
        "kl": number(kl),
        "q": [listed(one) for one in qs],
        "q_losses": [number(loss) for loss in losses],
        **{name: listed(value) for name, value in dict(v=value, mean=pi_mean, log_std=log_std, pi_action=drawn).items()},
        **{name: listed(value) for name, value in dict(log_prob=log_prob, v_target=v_target).items()},
        "v_loss": number(v_loss),
        "policy_loss": number(sum(terms)),
        "policy_terms": [number(term) for term in terms],
        "grad_norms": {
            "q_losses": {"encoder": norm(from_q), "q1": norm(own["q1"]), "q2": norm(own["q2"])},
            "kl": {"encoder": norm(from_kl)},
            "v_loss": {"v": norm(own["v"])},
            "policy_loss": {"policy": norm(own["policy"])},
            "regularisers": {"policy": norm(networks["policy"].gradients(terms[1] + terms[2]))},
        },
        "grads": {
            "encoder": figures([a + b for a, b in zip(from_q, from_kl)]),
            **{name: figures(gradients) for name, gradients in own.items()},
        },
    }

    for update in range(1, update_count + 1):
        _, _, kl, z = infer()
        fixed = z.detach()
        pi_mean, log_std, drawn, log_prob = policy(fixed)
        _, _, losses = q_losses(z)
        whole = [a + b for a, b in zip(*encoder_gradients(losses, kl))]
        twins = [networks[name].gradients(loss) for name, loss in zip(("q1", "q2"), losses)]
        for name, gradients in zip(("q1", "q2"), twins):
            networks[name].step(gradients, rates["q"])
        networks["encoder"].step(whole, rates["encoder"])
        _, _, v_loss = value_loss(fixed, drawn, log_prob)
        of_v = networks["v"].gradients(v_loss)
        networks["v"].step(of_v, rates["v"])
        networks["v_target"].follow(networks["v"], case["tau"])
        policy_loss = sum(policy_terms(fixed, pi_mean, log_std, drawn, log_prob))
        of_policy = networks["policy"].gradients(policy_loss)
        networks["policy"].step(of_policy, rates["policy"])
        case[f"update_{update}"] = {
            "z": listed(z),
            "kl": number(kl),
            "q_losses": [number(loss) for loss in losses],
            "v_loss": number(v_loss),
            "policy_loss": number(policy_loss),
            "grad_norms": {"encoder": norm(whole), "v": norm(of_v), "policy": norm(of_policy)},
            "after": {name: network.first(2) for name, network in networks.items()},
        }
    return case


# Cases


def layer(name, inputs, outputs, weight=1.5, bias=0.25):
    return [
        {"name": name + ".weight", "shape": [outputs, inputs], "bound": round(weight / math.sqrt(inputs), 6)},
        {"name": name + ".bias", "shape": [outputs], "bound": bias},
    ]


def stack(name, sizes, first=1):
    return [entry for n, pair in enumerate(zip(sizes, sizes[1:])) for entry in layer(f"{name}{n + first}", *pair)]


def hyper_params(meta, base, trunk, hidden, outputs, scale=0.5, bias=0.25):
    entries, block = [], 0
    for inputs, width in zip([meta, *trunk], trunk):
        entries += layer(f"hyper.hyper.{block}", inputs, width, 1.2)
        for n in (1, 2):
            for part in ("fc.1", "fc.3"):
                entries += layer(f"hyper.hyper.{block + n}.{part}", width, width, 0.6)
        block += 3
    for name, inputs, size in [("layer1", base, hidden), *((name, hidden, size) for name, size in outputs)]:
        for head, count in (("W1", inputs * size), ("b1", size), ("s1", size)):
            entries += layer(f"{name}.{head}", trunk[-1], count, scale, bias)
    return entries


def sac_case(hidden, log_std=(7.0, 0.5), trunk=None, dynamic=3, **settings):
    states, actions, count = settings["state_dim"], settings["action_dim"], len(hidden) + 1
    actor = stack("linear", [states, *hidden])
    actor += layer(f"linear{count}a", hidden[-1], actions, 2.5) + layer(f"linear{count}b", hidden[-1], actions, *log_std)
    critic = stack("linear", [states + actions, *hidden, 1])
    if trunk:
        critic = hyper_params(states, actions, trunk, dynamic, [("last_layer", 1)])
    return {
        "critic": "sa-hyper" if trunk else "mlp",
        **dict(gamma=0.99, tau=0.02, reward_scale=5, learning_rates=dict(actor=0.002, critic=0.003, alpha=0.004)),
        **settings,
        "params": {"actor": actor, "critic": critic},
        "order": ["actor", "q1", "q2", "q1_target", "q2_target"],
    }


def td3_case(hidden, trunk=None, dynamic=3, **settings):
    states, actions = settings["state_dim"], settings["action_dim"]
    critic = stack("linear", [states + actions, *hidden, 1])
    if trunk:
        critic = hyper_params(states, actions, trunk, dynamic, [("last_layer", 1)])
    return {
        "critic": "sa-hyper" if trunk else "mlp",
        **dict(gamma=0.99, tau=0.1, policy_delay=2, target_noise=0.5, target_noise_clip=0.4),
        "learning_rates": dict(actor=0.002, critic=0.003),
        **settings,
        "params": {"actor": stack("linear", [states, *hidden, actions]), "critic": critic},
        "order": ["actor", "q1", "q2", "actor_target", "q1_target", "q2_target"],
    }


def pearl_case(hidden, encoder_hidden, trunk=None, dynamic=3, **settings):
    states, actions, latent = settings["state_dim"], settings["action_dim"], settings["latent_dim"]
    read = states + actions + 1 + (states if settings.get("next_observation") else 0)
    encoder, last = stack("fc", [read, *encoder_hidden], 0), encoder_hidden[-1]
    if settings.get("encoder") == "gru":
        for name, shape in [("weight_ih", [last]), ("weight_hh", [last]), ("bias_ih", []), ("bias_hh", [])]:
            entry = {"name": f"gru.{name}_l0", "shape": [3 * last, *shape], "bound": round(1.2 / math.sqrt(last), 6)}
            encoder.append(entry)
    encoder += layer("last_fc", last, 2 * latent)
    if trunk:
        heads = [("last_layer", actions), ("last_layer_log", actions)]
        policy = hyper_params(latent, states, trunk, dynamic, heads, 0.7, 0.5)
        q = hyper_params(states, actions + latent, trunk, dynamic, [("last_layer", 1)])
        v = hyper_params(states, latent, trunk, dynamic, [("last_layer", 1)])
    else:
        policy, end = stack("fc", [states + latent, *hidden], 0), layer("last_fc", hidden[-1], 1)
        policy += layer("last_fc", hidden[-1], actions, 3) + layer("last_fc_log_std", hidden[-1], actions, 3, 0.5)
        q = stack("fc", [states + actions + latent, *hidden], 0) + end
        v = stack("fc", [states + latent, *hidden], 0) + end
    return {
        "networks": "hyper" if trunk else "mlp",
        **dict(gamma=0.99, tau=0.02, reward_scale=5, kl_weight=0.1, mean_weight=0.001, log_std_weight=0.001),
        "learning_rates": dict(encoder=0.002, policy=0.001, q=0.003, v=0.0015),
        **settings,
        "params": {"encoder": encoder, "policy": policy, "q": q, "v": v},
        "order": ["encoder", "policy", "q1", "q2", "v", "v_target"],
    }


def phases(names, *values):
    return dict(zip(names.split(), values, strict=True))


sac_inputs = "state action reward next_state next_noise noise"
one_row = phases(sac_inputs, 1.94, 0.91, 3.91, 0.43, 3.22, 2.19)
three_layers = phases(sac_inputs, 3.46, 2.38, 5.86, 0.28, 5.15, 1.74)
sac_cases = {
    "one_row": (
        sac_case([6], state_dim=2, action_dim=1, batch=1, terminated=[0], low=[-3.0], high=[0.5], log_alpha=0.3,
                 target_entropy=-1, phases=one_row),
        3,
    ),
    "one_row_hyper": (
        sac_case([5], trunk=[4], state_dim=2, action_dim=1, batch=1, terminated=[1], low=[-1.0], high=[1.0], alpha=1.0,
                 phases=one_row),
        2,
    ),
    "three_layers_clipped": (
        sac_case([8, 6, 7], (60.0, 3.0), state_dim=3, action_dim=3, batch=4, terminated=[1, 1, 1, 0], alpha=1.0,
                 low=[-1e4, 0.0, -0.01], high=[2e4, 1.0, 0.0], reward_scale=1000, phases=three_layers),
        2,
    ),
}  # fmt: skip

td3_inputs = "state action reward next_state noise"
td3_cases = {
    "one_row": (
        td3_case([5], state_dim=2, action_dim=1, batch=1, terminated=[0], low=[-3.0], high=[0.5], policy_delay=1,
                 phases=phases(td3_inputs, 3.74, 4.45, 4.77, 5.65, 4.44)),
        2,
    ),
    "one_row_hyper": (
        td3_case([4], trunk=[4], state_dim=2, action_dim=1, batch=1, terminated=[1], low=[-1.0], high=[1.0],
                 phases=phases(td3_inputs, 3.74, 4.45, 4.77, 5.65, 4.44)),
        2,
    ),
    "three_layers": (
        td3_case([8, 6, 7], state_dim=3, action_dim=3, batch=4, terminated=[0, 1, 0, 0], low=[-1e4, 0.0, -0.01],
                 high=[2e4, 1.0, 0.0], phases=phases(td3_inputs, 1.35, 0.38, 3.4, 4.98, 5.27)),
        4,
    ),
    "hyper": (
        td3_case([6, 5], trunk=[4, 5], state_dim=3, action_dim=2, batch=3, terminated=[0, 0, 0], low=[-2.0, 0.0],
                 high=[0.5, 3.0], phases=phases(td3_inputs, 0.73, 4.58, 2.02, 3.55, 3.83)),
        4,
    ),
}  # fmt: skip

pearl_inputs = "context_state context_action context_reward latent_noise state action reward next_state noise context_next_state"
one_task = phases(pearl_inputs, 1.94, 0.91, 3.91, 0.43, 3.22, 2.19, 0.35, 3.04, 0.22, 2.6)
three_tasks = phases(pearl_inputs, 0.42, 0.54, 2.55, 4.96, 0.74, 1.34, 3.76, 5.69, 3.46, 2.38)
two_tasks = phases(pearl_inputs, 5.86, 0.28, 5.15, 1.74, 0.87, 0.71, 1.85, 4.9, 1.08, 3.49)
pearl_cases = {
    "ones": (
        pearl_case([5], [6], tasks=1, batch=1, context=1, state_dim=1, action_dim=1, latent_dim=1, terminated=[0],
                   phases=one_task),
        2,
    ),
    "one_task_hyper": (
        pearl_case([5], [4], trunk=[4], tasks=1, batch=2, context=2, state_dim=2, action_dim=1, latent_dim=1,
                   terminated=[1, 1], phases=one_task),
        2,
    ),
    "mean_encoder": (
        pearl_case([6, 5], [7, 6], encoder="mean", next_observation=True, tasks=3, batch=2, context=5, state_dim=3,
                   action_dim=2, latent_dim=2, terminated=[0, 0, 1, 0, 0, 0], phases=three_tasks),
        2,
    ),
    "gru_encoder": (
        pearl_case([6], [5, 4], encoder="gru", next_observation=True, tasks=2, batch=3, context=4, state_dim=2,
                   action_dim=2, latent_dim=2, terminated=[0, 0, 1, 0, 0, 0], phases=two_tasks),
        2,
    ),
}  # fmt: skip


def text(value):
    """JSON with a line for what is smaller than a line."""
    line = json.dumps(value)
    if len(line) < 140:
        return line
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(name)}: {text(part)}" for name, part in value.items()) + "\n}"
    return "[\n" + ",\n".join(text(part) for part in value) + "\n]"


def difference(expected, actual):
    """Largest over all that is expected: of a list relative to its largest value."""
    if isinstance(expected, dict):
        return max([difference(value, actual[name]) for name, value in expected.items()], default=0)
    if isinstance(expected, list):
        if any(isinstance(value, (dict, list)) for value in expected):
            return max(difference(*pair) for pair in zip(expected, actual, strict=True))
        errors = [abs(e - a) for e, a in zip(expected, actual)]
        return max(errors, default=0) / (max(map(abs, expected), default=0) or 1)
    return abs(expected - actual) / (abs(expected) or 1)


def check(file):
    for name, given in json.loads(file.read_text()).items():
        if "phases" not in given:
            continue
        results = {key: value for key, value in given.items() if key == "start" or key.startswith("update_")}
        case = {key: value for key, value in given.items() if key not in results}
        compute = pearl if "networks" in case else sac if "start" in results else td3
        again = compute(case, sum(key != "start" for key in results))
        for part in results.values():
            part.pop("after", None)  # More values of each tensor there.
            part.pop("parts", None)  # Divided in another place there.
        print(f"{name}: {difference(results, again):.1e}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--check", type=pathlib.Path)
    checked = arguments.parse_args().check
    if checked:
        check(checked)
    else:
        folder = pathlib.Path(__file__).parent
        for file, compute, cases in (("td3", td3, td3_cases), ("sac-sizes", sac, sac_cases), ("pearl-sizes", pearl, pearl_cases)):
            computed = {name: compute(case, count) for name, (case, count) in cases.items()}
            (folder / f"{file}.json").write_text(text(computed) + "\n")
