"""Figures of the reference networks, computed in float64 apart from any of our code: what the network tests compare with.

    python -m venv v && v/bin/pip install numpy autograd
    v/bin/python generate.py            # all cases into this folder
    v/bin/python generate.py --check FILE   # recompute the cases of a file of reference vectors and print the largest difference

Parameters and inputs are formulas, so that nothing large is stored:
  parameter tensor k, flat index i: p_k[i] = bound_k sin(0.37 (i + 1) + 1.7 (k + 1) + 0.013 (i^2 mod 997)), rounded to float32
  input of n values, phase f:       x[i] = sin(0.91 i + f)
Names, [out, in] weights and head layouts are those of the released PyTorch networks (Sarafian et al. 2021).
"""

import argparse
import json
import pathlib

import autograd.numpy as np
from autograd import grad


def shapes_of_hyper(meta, base, output, trunk=(256, 512, 1024), hidden=256, log_head=False, prefix=""):
    """Parameter names and shapes of one hypernetwork, in the order of its state dict."""
    listed = []

    def linear(name, outputs, inputs, bound=None):
        limit = 0.5 / np.sqrt(inputs) if bound is None else bound
        listed.append((prefix + name + ".weight", [outputs, inputs], limit))
        listed.append((prefix + name + ".bias", [outputs], 0.02))

    previous = meta
    for stage, width in enumerate(trunk):
        linear(f"hyper.hyper.{3 * stage}", width, previous)
        for block in (1, 2):
            linear(f"hyper.hyper.{3 * stage + block}.fc.1", width, width)
            linear(f"hyper.hyper.{3 * stage + block}.fc.3", width, width)
        previous = width
    heads = [("layer1", base, hidden), ("last_layer", hidden, output)]
    if log_head:
        heads.append(("last_layer_log", hidden, output))
    for name, inputs, outputs in heads:
        linear(name + ".W1", inputs * outputs, previous, 0.02)
        linear(name + ".b1", outputs, previous, 0.02)
        linear(name + ".s1", outputs, previous, 0.02)
    return listed


def parameters_of(listed):
    values = {}
    for k, (name, shape, bound) in enumerate(listed):
        i = np.arange(int(np.prod(shape)), dtype=np.int64)
        angle = 0.37 * (i + 1) + 1.7 * (k + 1) + 0.013 * ((i * i) % 997)
        values[name] = (bound * np.sin(angle)).astype(np.float32).astype(np.float64).reshape(shape)
    return values


def sine(shape, phase, scale=1.0):
    i = np.arange(int(np.prod(shape)))
    return (scale * np.sin(0.91 * i + phase)).astype(np.float32).astype(np.float64).reshape(shape)


def relu(x):
    return np.maximum(x, 0)


def hyper(p, meta, base, prefix="", layout="out-in"):
    """Outputs of the dynamic network, a list: one per output layer. meta [K, M], base [B, I], K = B or 1."""

    def linear(name, x):
        return x @ p[prefix + name + ".weight"].T + p[prefix + name + ".bias"]

    h = meta
    index = 0
    while f"{prefix}hyper.hyper.{index}.weight" in p:
        h = linear(f"hyper.hyper.{index}", h)
        for block in (index + 1, index + 2):
            h = h + linear(f"hyper.hyper.{block}.fc.3", relu(linear(f"hyper.hyper.{block}.fc.1", relu(h))))
        index += 3

    def layer(name, x):
        bias, gain = linear(name + ".b1", h), 1 + linear(name + ".s1", h)
        inputs, outputs = x.shape[1], bias.shape[1]
        flat = linear(name + ".W1", h)
        if layout == "in-out":
            weight = np.reshape(flat, (-1, inputs, outputs))
        else:
            weight = np.swapaxes(np.reshape(flat, (-1, outputs, inputs)), 1, 2)
        return gain * np.sum(weight * x[:, :, None], axis=1) + bias

    hidden = relu(layer("layer1", base))
    names = ["last_layer", "last_layer_log"]
    return [layer(name, hidden) for name in names if f"{prefix}{name}.b1.bias" in p]


def gradients(loss, p, listed):
    g = grad(loss)(p)
    return [
        {"l2": float(np.sqrt(np.sum(g[name] ** 2))), "first": [float(v) for v in g[name].reshape(-1)[:4]]}
        for name, _, _ in listed
    ]


def numbers(x):
    return [float(v) for v in np.asarray(x).reshape(-1)]


def case(name, listed, fields):
    params = [{"name": n, "shape": s, "bound": float(b)} for n, s, b in listed]
    return {"case": name, **fields, "params": params}


def critic_case(name, listed, q, state_dim, action_dim, batch, context_dim=0):
    p = parameters_of(listed)
    state, action = sine((batch, state_dim), 0.1), sine((batch, action_dim), 0.7, 0.9)
    context = sine((batch, context_dim), 0.4)
    target = sine((batch, 1), 0.3)

    def value(params, a):
        return q(params, state, a, context)

    def loss(params):
        return np.mean((value(params, action) - target) ** 2)

    fields = {"state_dim": state_dim, "action_dim": action_dim, "batch": batch}
    if context_dim > 0:
        fields["context_dim"] = context_dim
    return {
        **case(name, listed, fields),
        "q": numbers(value(p, action)),
        "dq_da": numbers(grad(lambda a: np.sum(value(p, a)))(action)),
        "mse_loss": float(loss(p)),
        "grads": gradients(loss, p, listed),
    }


def sa_critic(state_dim, action_dim, batch, **options):
    listed = shapes_of_hyper(state_dim, action_dim, 1, **options)
    return critic_case(
        "sa_hyper_critic", listed, lambda p, s, a, c: hyper(p, s, a)[0], state_dim, action_dim, batch
    )


def as_critic(state_dim, action_dim, batch):
    listed = shapes_of_hyper(action_dim, state_dim, 1)
    return critic_case(
        "as_hyper_critic", listed, lambda p, s, a, c: hyper(p, a, s)[0], state_dim, action_dim, batch
    )


def emb_critic(state_dim, action_dim, batch):
    listed = [("embedding", [5], 0.5)] + shapes_of_hyper(5, state_dim + action_dim, 1, prefix="q1.")

    def q(p, s, a, c):
        return hyper(p, p["embedding"][None, :], np.concatenate([s, a], 1), prefix="q1.")[0]

    return critic_case("emb_hyper_critic", listed, q, state_dim, action_dim, batch)


def pearl_critic(state_dim, action_dim, context_dim, batch):
    listed = shapes_of_hyper(state_dim, action_dim + context_dim, 1, prefix="hyper.")

    def q(p, s, a, c):
        return hyper(p, s, np.concatenate([a, c], 1), prefix="hyper.")[0]

    return critic_case("pearl_hyper_critic", listed, q, state_dim, action_dim, batch, context_dim)


def normal_log_prob(x, mean, log_std):
    return -0.5 * ((x - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)


def linear_of(p, name, x):
    return x @ p[name + ".weight"].T + p[name + ".bias"]


def plain_critic(name, layers, q, state_dim, action_dim, batch):
    """layers: name, inputs, outputs of each linear layer; q of parameters and state and action."""
    listed = []
    for layer, inputs, outputs in layers:
        listed.append((layer + ".weight", [outputs, inputs], 1 / np.sqrt(inputs)))
        listed.append((layer + ".bias", [outputs], 0.02))
    return critic_case(name, listed, lambda p, s, a, c: q(p, s, a), state_dim, action_dim, batch)


def mlp_critic(state_dim, action_dim, batch):
    layers = [("q1.0", state_dim + action_dim, 256), ("q1.2", 256, 256), ("q1.4", 256, 1)]

    def q(p, s, a):
        h = relu(linear_of(p, "q1.0", np.concatenate([s, a], 1)))
        return linear_of(p, "q1.4", relu(linear_of(p, "q1.2", h)))

    return plain_critic("mlp_standard_critic", layers, q, state_dim, action_dim, batch)


def d2rl_critic(state_dim, action_dim, batch):
    inputs = state_dim + action_dim
    layers = [("l1_1", inputs, 256)] + [(f"l1_{i}", 256 + inputs, 256) for i in (2, 3, 4)] + [("out1", 256, 1)]

    def q(p, s, a):
        x = np.concatenate([s, a], 1)
        h = relu(linear_of(p, "l1_1", x))
        for i in (2, 3, 4):
            h = relu(linear_of(p, f"l1_{i}", np.concatenate([h, x], 1)))
        return linear_of(p, "out1", h)

    return plain_critic("q_d2rl_critic", layers, q, state_dim, action_dim, batch)


def resnet35_critic(state_dim, action_dim, batch):
    blocks = [(f"q1.block_{i}.fc.{j}", 256, 256) for i in range(35) for j in (1, 3)]
    layers = [("q1.0", state_dim + action_dim, 256), *blocks, ("q1.fc", 256, 1)]

    def q(p, s, a):
        h = linear_of(p, "q1.0", np.concatenate([s, a], 1))
        for i in range(35):
            inner = relu(linear_of(p, f"q1.block_{i}.fc.1", relu(h)))
            h = h + linear_of(p, f"q1.block_{i}.fc.3", inner)
        return linear_of(p, "q1.fc", relu(h))

    return plain_critic("resnet35_critic", layers, q, state_dim, action_dim, batch)


def resnet_features_critic(state_dim, action_dim, batch):
    layers, previous = [], state_dim
    for stage, width in enumerate((256, 512, 1024)):
        layers.append((f"q1_emb.0.hyper.{3 * stage}", previous, width))
        layers += [(f"q1_emb.0.hyper.{3 * stage + b}.fc.{j}", width, width) for b in (1, 2) for j in (1, 3)]
        previous = width
    layers += [("q1_emb.1", 1024, 10), ("q1.0", 10 + action_dim, 256), ("q1.2", 256, 1)]

    def q(p, s, a):
        h = s
        for stage in range(3):
            h = linear_of(p, f"q1_emb.0.hyper.{3 * stage}", h)
            for b in (1, 2):
                name = f"q1_emb.0.hyper.{3 * stage + b}.fc"
                h = h + linear_of(p, name + ".3", relu(linear_of(p, name + ".1", relu(h))))
        features = linear_of(p, "q1_emb.1", h)
        return linear_of(p, "q1.2", relu(linear_of(p, "q1.0", np.concatenate([features, a], 1))))

    return plain_critic("resnet_features_critic", layers, q, state_dim, action_dim, batch)


def maml_policy(state_dim, action_dim, context_dim, states):
    prefix = "hyper."
    listed = [("sigma", [action_dim], 0.02)] + shapes_of_hyper(context_dim, state_dim, action_dim, prefix=prefix)
    p = parameters_of(listed)
    state, context = sine((states, state_dim), 0.2), sine((1, context_dim), 0.4)
    action = sine((states, action_dim), 0.9)

    def mu(params):
        return hyper(params, context, state, prefix=prefix, layout="in-out")[0]

    def log_prob(params):
        return np.sum(normal_log_prob(action, mu(params), params["sigma"]), axis=1)

    fields = {"context_dim": context_dim, "state_dim": state_dim, "action_dim": action_dim, "states": states}
    return {
        **case("maml_hyper_policy", listed, fields),
        "mu": numbers(mu(p)),
        "std": numbers(np.exp(p["sigma"])),
        "log_prob": numbers(log_prob(p)),
        "grads": gradients(lambda params: np.mean(log_prob(params)), p, listed),
    }


def pearl_policy(state_dim, action_dim, context_dim, states):
    """Squashed by tanh; log_prob is that of the actions tanh(0.5 sin(0.91 i + 0.9)), one context per state."""
    prefix = "hyper."
    listed = shapes_of_hyper(context_dim, state_dim, action_dim, log_head=True, prefix=prefix)
    p = parameters_of(listed)
    state, context = sine((states, state_dim), 0.2), sine((states, context_dim), 0.4)
    before = sine((states, action_dim), 0.9, 0.5)

    def log_prob(params):
        mean, log_std = hyper(params, context, state, prefix=prefix)
        log_std = np.clip(log_std, -20, 2)
        return np.sum(normal_log_prob(before, mean, log_std) - np.log(1 - np.tanh(before) ** 2), axis=1)

    mean, log_std = hyper(p, context, state, prefix=prefix)
    fields = {"context_dim": context_dim, "state_dim": state_dim, "action_dim": action_dim, "states": states}
    return {
        **case("pearl_hyper_policy", listed, fields),
        "mu": numbers(mean),
        "log_std": numbers(np.clip(log_std, -20, 2)),
        "action": numbers(np.tanh(mean)),
        "log_prob": numbers(log_prob(p)),
        "grads": gradients(lambda params: np.mean(log_prob(params)), p, listed),
    }


CASES = {
    "mlp-standard-critic": lambda: mlp_critic(17, 6, 4),
    "q-d2rl-critic": lambda: d2rl_critic(11, 3, 4),
    "resnet35-critic": lambda: resnet35_critic(17, 6, 3),
    "resnet-features-critic": lambda: resnet_features_critic(11, 3, 3),
    "sa-hyper-critic-narrow": lambda: sa_critic(4, 2, 3, trunk=(32, 48), hidden=24),
    "as-hyper-critic": lambda: as_critic(17, 6, 3),
    "emb-hyper-critic": lambda: emb_critic(17, 6, 4),
    "pearl-hyper-critic": lambda: pearl_critic(20, 6, 5, 3),
    "pearl-hyper-policy": lambda: pearl_policy(20, 6, 5, 3),
    "maml-hyper-policy-2d": lambda: maml_policy(27, 8, 2, 3),
}

SOURCE = "Computed in float64 by test/golden/networks/generate.py; names and layouts of the released PyTorch networks."


def check(path):
    known = json.loads(pathlib.Path(path).read_text())
    makers = {
        "sa_hyper_critic": lambda g: sa_critic(g["state_dim"], g["action_dim"], g["batch"]),
        "maml_hyper_policy": lambda g: maml_policy(g["state_dim"], g["action_dim"], g["context_dim"], g["states"]),
    }
    for name, theirs in known.items():
        ours = makers[name](theirs)
        assert [q["name"] for q in ours["params"]] == [q["name"] for q in theirs["params"]]
        assert [q["shape"] for q in ours["params"]] == [q["shape"] for q in theirs["params"]]
        assert np.allclose([q["bound"] for q in ours["params"]], [q["bound"] for q in theirs["params"]])
        for field in ("q", "dq_da", "mse_loss", "mu", "std", "log_prob"):
            if field in theirs:
                a, b = np.atleast_1d(ours[field]), np.atleast_1d(theirs[field])
                print(name, field, float(np.max(np.abs(a - b)) / np.max(np.abs(b))))
        worst = max(abs(a["l2"] - b["l2"]) / b["l2"] for a, b in zip(ours["grads"], theirs["grads"]))
        print(name, "gradient norms", worst)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check")
    options = parser.parse_args()
    if options.check:
        return check(options.check)
    folder = pathlib.Path(__file__).parent
    for name, make in CASES.items():
        (folder / f"{name}.json").write_text(json.dumps({"source": SOURCE, **make()}) + "\n")
        print(name)


main()
