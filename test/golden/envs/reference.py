"""The environments as Gymnasium's simulator gives them, behind one small interface: for recordings and for parity runs.

Single-task environments are Gymnasium's own. Meta-RL tasks are written here anew over its simulator, from the task
definitions (observation, reward terms, termination), as an independent check of the TypeScript ones. The point robots
need no simulator.
"""

import gymnasium
import mujoco
import numpy as np


class Single:
    """One of Gymnasium's environments without its wrappers."""

    context = np.zeros(0)
    # Whether a reset adds noise.
    starts_vary = True

    def __init__(self, name):
        self.env = gymnasium.make(name).unwrapped
        self.limit = gymnasium.spec(name).max_episode_steps
        self.low, self.high = self.env.action_space.low.astype(float), self.env.action_space.high.astype(float)
        # Only Ant's step reads body positions of the state before it.
        self.keeps_xpos = name.startswith("Ant")

    @property
    def model(self):
        return self.env.model

    def reset(self, seed):
        return self.env.reset(seed=seed)[0]

    def action(self, draw):
        return draw.uniform(1.2 * self.low, 1.2 * self.high)

    def step(self, action):
        observation, reward, terminated, _, info = self.env.step(action)
        return observation, reward, terminated, {key: info[key] for key in sorted(info)}

    def state(self):
        """All that decides the future, by the names that the TypeScript environments save it under."""
        data = self.env.data
        state = {"time": data.time, "qpos": data.qpos, "qvel": data.qvel, "qaccWarmstart": data.qacc_warmstart}
        return {**state, "xpos": data.xpos} if self.keeps_xpos else state

    def noise(self):
        """Position and velocity beside the reference pose, right after a reset."""
        return self.env.data.qpos - self.model.qpos0, self.env.data.qvel


class Pendulum(Single):
    model = None
    keeps_xpos = False

    def step(self, action):
        _, reward, terminated, info = super().step(action)
        angle, speed = self.env.state
        # Gymnasium rounds this observation to float32.
        return np.array([np.cos(angle), np.sin(angle), speed]), reward, terminated, info

    def state(self):
        angle, speed = self.env.state
        return {"angle": angle, "speed": speed}

    def noise(self):
        return self.env.state[:1], self.env.state[1:]


class Meta(Single):
    """A task with a context, over the simulator of a single-task environment."""

    limit = 200
    base = ""

    def __init__(self, draw_context):
        super().__init__(self.base)
        self.limit = type(self).limit
        self.draw_context = draw_context

    def reset(self, seed):
        self.context = self.draw_context(np.random.default_rng(seed))
        self.env.reset(seed=seed)
        return self.observation()

    def step(self, action):
        data = self.env.data
        before = self.tracked().copy()
        self.env.do_simulation(action, self.env.frame_skip)
        velocity = (self.tracked() - before) / self.env.dt
        terms = self.terms(velocity, action)
        assert np.isfinite(data.qpos).all()
        return self.observation(), sum(terms.values()), self.fallen(), terms

    def fallen(self):
        return False


class CheetahMeta(Meta):
    base = "HalfCheetah-v5"

    def observation(self):
        data = self.env.data
        return np.concatenate([data.qpos[1:], data.qvel, data.body("torso").xpos])

    def tracked(self):
        return self.env.data.qpos[:1]

    def terms(self, velocity, action):
        return {"reward_forward": self.forward(velocity[0]), "reward_ctrl": -0.5 * 1e-1 * np.sum(np.square(action))}


class CheetahDirection(CheetahMeta):
    def forward(self, velocity):
        return self.context[0] * velocity


class CheetahVelocity(CheetahMeta):
    def forward(self, velocity):
        return -1.0 * abs(velocity - self.context[0])


class AntMeta(Meta):
    base = "Ant-v5"

    def observation(self):
        data = self.env.data
        return np.concatenate([data.qpos[2:], data.qvel])

    def tracked(self):
        return self.env.data.body("torso").xpos[:2]

    def terms(self, velocity, action):
        forces = np.clip(self.env.data.cfrc_ext, -1, 1)
        return {
            "reward_forward": self.forward(velocity),
            "reward_ctrl": -0.5 * 1e-2 * np.sum(np.square(action)),
            "reward_contact": -0.5 * 1e-3 * np.sum(np.square(forces)),
            "reward_survive": 0.05,
        }

    def fallen(self):
        return not 0.2 <= self.env.data.qpos[2] <= 1.0


class AntVelocity(AntMeta):
    def forward(self, velocity):
        return 1.0 - abs(velocity[0] - self.context[0])


class AntDirection(AntMeta):
    def forward(self, velocity):
        return velocity[0] if self.context[0] > 0 else -velocity[0]


class AntDirectionRadians(AntMeta):
    def forward(self, velocity):
        return np.dot(velocity, (np.cos(self.context[0]), np.sin(self.context[0])))


class AntHyperl(Meta):
    """HypeRL's single-task Ant: no control cost, contact forces of all bodies observed."""

    base = "Ant-v5"
    limit = 1000

    def observation(self):
        data = self.env.data
        return np.concatenate([data.qpos[2:], data.qvel, np.clip(data.cfrc_ext, -1, 1).ravel()])

    tracked = AntMeta.tracked
    fallen = AntMeta.fallen

    def terms(self, velocity, action):
        forces = np.clip(self.env.data.cfrc_ext, -1, 1)
        return {
            "reward_forward": velocity[0],
            "reward_contact": -0.5 * 1e-3 * np.sum(np.square(forces)),
            "reward_survive": 1.0,
        }


class RandomBody(Meta):
    """Gymnasium's v4 runner whose masses, inertias, damping and friction are scaled by powers of the context."""

    def __init__(self, draw_context):
        super().__init__(draw_context)
        model = self.model
        self.nominal = [model.body_mass.copy(), model.body_inertia.copy(), model.dof_damping.copy(), model.geom_friction.copy()]

    def reset(self, seed):
        model, (mass, inertia, damping, friction) = self.model, self.nominal
        self.context = context = self.draw_context(np.random.default_rng(seed))
        parts, joints = model.nbody - 1, model.nu
        split = np.cumsum([parts, 3 * parts, joints])
        masses, inertias, dampings, frictions = np.split(context, split)
        model.body_mass[1:] = mass[1:] * 1.5**masses
        model.body_inertia[1:] = inertia[1:] * 1.5 ** inertias.reshape(-1, 3)
        model.dof_damping[3:] = damping[3:] * 1.3**dampings
        model.geom_friction[:] = friction * 1.5 ** frictions.reshape(-1, 3)
        mujoco.mj_setConst(model, self.env.data)
        self.env.reset(seed=seed)
        return self.observation()

    def observation(self):
        data = self.env.data
        return np.concatenate([data.qpos[1:], np.clip(data.qvel, -10, 10)])

    def tracked(self):
        return self.env.data.qpos[:1]

    def terms(self, velocity, action):
        return {
            "reward_forward": velocity[0],
            "reward_survive": 1.0,
            "reward_ctrl": -1e-3 * np.sum(np.square(action)),
        }


class RandomHopper(RandomBody):
    base = "Hopper-v4"

    def fallen(self):
        qpos, qvel = self.env.data.qpos, self.env.data.qvel
        rest = np.concatenate([qpos[2:], qvel])
        return not ((np.abs(rest) < 100).all() and qpos[1] > 0.7 and abs(qpos[2]) < 0.2)


class RandomWalker(RandomBody):
    base = "Walker2d-v4"

    def fallen(self):
        height, angle = self.env.data.qpos[1:3]
        return not (0.8 < height < 2.0 and -1.0 < angle < 1.0)


class PointRobot(Single):
    """PEARL's point on a plane: from the origin to a goal on the unit half circle, by steps of at most 0.1 an axis."""

    limit = 20
    model = None
    starts_vary = False
    low, high = np.full(2, -0.1), np.full(2, 0.1)

    def __init__(self, sparse):
        self.sparse = sparse

    def reset(self, seed):
        angle = np.random.default_rng(seed).uniform(0, np.pi)
        self.context = np.array([np.cos(angle), np.sin(angle)])
        self.position = np.zeros(2)
        return self.position

    def action(self, draw):
        # Drifts to the goal, so that a recording has steps far from it, at the edge of the sparse reward and within.
        return super().action(draw) + 0.2 * (self.context - self.position)

    def step(self, action):
        self.position = self.position + np.clip(action, self.low, self.high)
        distance = np.linalg.norm(self.position - self.context)
        near = 1 - distance if distance <= 0.2 else 0.0
        return self.position, near if self.sparse else -distance, False, {"distance": distance}

    def state(self):
        return {"position": self.position}


def uniform(low, high, size=1):
    return lambda draw: draw.uniform(low, high, size)


def direction(draw):
    return draw.choice([-1.0, 1.0], 1)


SINGLE = """
HalfCheetah-v5 Hopper-v5 Walker2d-v5 Ant-v5 InvertedPendulum-v5 HalfCheetah-v4 Hopper-v4 Walker2d-v4 Ant-v4
""".split()

META = {
    "HalfCheetah-Fwd-Back": lambda: CheetahDirection(direction),
    "HalfCheetah-Vel": lambda: CheetahVelocity(uniform(0, 3)),
    "HalfCheetah-Vel-Medium": lambda: CheetahVelocity(uniform(2.5, 3)),
    "Ant-Fwd-Back": lambda: AntDirection(direction),
    "ant-fwd-back-hyperl": lambda: AntDirectionRadians(direction),
    "Ant-Vel": lambda: AntVelocity(uniform(0, 3)),
    "ant-hyperl": lambda: AntHyperl(lambda draw: np.zeros(0)),
    "Hopper-Rand-Params": lambda: RandomHopper(uniform(-3, 3, 4 + 12 + 3 + 15)),
    "Walker2d-Rand-Params": lambda: RandomWalker(uniform(-3, 3, 7 + 21 + 6 + 24)),
    "Point-Robot": lambda: PointRobot(sparse=False),
    "Point-Robot-Sparse": lambda: PointRobot(sparse=True),
}

NAMES = [*SINGLE, "Pendulum-v1", *META]


def make(name):
    if name in META:
        return META[name]()
    return Pendulum(name) if name == "Pendulum-v1" else Single(name)
