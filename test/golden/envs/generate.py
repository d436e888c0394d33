"""Records Gymnasium's environments for the tests: compiled model fields, reset moments and one trajectory of 200 steps each.

    python -m venv v && v/bin/pip install mujoco==3.3.7 'gymnasium[mujoco]==1.2.3'
    v/bin/python generate.py                 # all environments into this folder
    v/bin/python generate.py --env Ant-v5 --seed 7 --out DIR

For each environment E: E.json (versions, seed, columns) and E.f64.gz (rows of little-endian float64, one per step). A row
holds the simulator's state before the step, the action, and what the step gave. After a terminated step the next row
starts a new episode. Actions are drawn from 1.2 times the bounds, so some exceed them.
"""

import argparse
import gzip
import json
import pathlib
import warnings

import gymnasium
import mujoco
import numpy as np

import reference

STEP_COUNT = 200
RESET_COUNT = 500

MODEL_FIELDS = """
qpos0 qpos_spring
body_parentid body_pos body_quat body_ipos body_iquat body_mass body_subtreemass body_inertia body_invweight0 body_gravcomp
jnt_type jnt_qposadr jnt_dofadr jnt_bodyid jnt_limited jnt_solref jnt_solimp jnt_pos jnt_axis jnt_stiffness jnt_range jnt_margin
dof_bodyid dof_parentid dof_solref dof_solimp dof_frictionloss dof_armature dof_damping dof_invweight0 dof_M0
geom_type geom_contype geom_conaffinity geom_condim geom_bodyid geom_priority geom_solmix geom_solref geom_solimp geom_size
geom_rbound geom_pos geom_quat geom_friction geom_margin geom_gap
actuator_trntype actuator_dyntype actuator_gaintype actuator_biastype actuator_trnid actuator_ctrllimited actuator_forcelimited
actuator_dynprm actuator_gainprm actuator_biasprm actuator_ctrlrange actuator_gear actuator_acc0
""".split()

OPTION_FIELDS = """
timestep impratio tolerance ls_tolerance noslip_tolerance ccd_tolerance gravity wind magnetic density viscosity integrator
cone jacobian solver iterations ls_iterations noslip_iterations ccd_iterations disableflags enableflags
""".split()


def plain(value):
    return np.asarray(value).astype(float).ravel().tolist()


def model_fields(model):
    fields = {name: plain(getattr(model, name)) for name in MODEL_FIELDS}
    fields.update({f"opt.{name}": plain(getattr(model.opt, name)) for name in OPTION_FIELDS})
    fields["stat.meaninertia"] = plain(model.stat.meaninertia)
    return fields


def moments(values):
    """Of the pooled reset noise: mean, standard deviation, kurtosis (3 for a normal, 1.8 for a uniform) and extremes."""
    values = np.concatenate(values)
    mean, deviation = values.mean(), values.std()
    return {
        "mean": float(mean),
        "deviation": float(deviation),
        "kurtosis": float((((values - mean) / deviation) ** 4).mean()),
        "lowest": float(values.min()),
        "highest": float(values.max()),
    }


def reset_moments(env, seed):
    positions, velocities = [], []
    for i in range(RESET_COUNT):
        env.reset(seed + i)
        position, velocity = env.noise()
        positions.append(position.copy())
        velocities.append(velocity.copy())
    return {"position": moments(positions), "velocity": moments(velocities)}


def record(name, seed):
    env = reference.make(name)
    draw = np.random.default_rng(seed)
    rows, columns, starts = [], None, []
    episode = 0
    env.reset(seed)
    starts.append(0)
    for step in range(STEP_COUNT):
        row = {key: plain(value) for key, value in env.state().items()}
        if len(env.context) > 0:
            row["context"] = plain(env.context)
        action = env.action(draw)
        observation, reward, terminated, info = env.step(action)
        row.update({"action": plain(action), "observation": plain(observation), "reward": plain(reward)})
        row["terminated"] = plain(terminated)
        for key, value in info.items():
            row[f"info.{key}"] = plain(value)
        columns = columns or [[key, len(value)] for key, value in row.items()]
        rows.append([x for values in row.values() for x in values])
        # Meta tasks change task four times, so that one recording holds several contexts.
        if terminated or (len(env.context) > 0 and (step + 1) % (STEP_COUNT // 4) == 0):
            episode += 1
            env.reset(seed + 1000 * episode)
            starts.append(step + 1)
    header = {
        "environment": name,
        "seed": seed,
        "versions": {"gymnasium": gymnasium.__version__, "mujoco": mujoco.__version__, "numpy": np.__version__},
        "episodeStepCountMax": env.limit,
        "rowCount": len(rows),
        "episodeStarts": [start for start in starts if start < len(rows)],
        "columns": columns,
        "resets": reset_moments(env, seed) if env.starts_vary else None,
        # Recorded once, with the environment that the model is of.
        "model": model_fields(env.model) if name in reference.SINGLE and env.model is not None else None,
    }
    return header, np.array(rows, dtype="<f8")


def main():
    warnings.simplefilter("ignore")
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", action="append", choices=reference.NAMES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    options = parser.parse_args()
    for name in options.env or reference.NAMES:
        header, rows = record(name, options.seed)
        (options.out / f"{name}.json").write_text(json.dumps(header, indent=None, separators=(",", ":")) + "\n")
        (options.out / f"{name}.f64.gz").write_bytes(gzip.compress(rows.tobytes(), 9, mtime=0))


if __name__ == "__main__":
    main()
