"""Records Gymnasium's environments for the tests: compiled model fields and one trajectory of 200 steps each.

    python -m venv v && v/bin/pip install mujoco==3.3.7 'gymnasium[mujoco]==1.2.3'
    v/bin/python generate.py                 # all environments into this folder
    v/bin/python generate.py --env Ant-v5 --seed 7 --out DIR

For each environment E: E.json (versions, seed, columns) and E.f64.gz (rows of little-endian float64, one per step). A row
holds the simulator's state before the step, the action, and what the step gave. After a terminated step the next row
starts a new episode. Actions are uniform in 1.2 times the bounds, so some exceed them.
"""

import argparse
import gzip
import json
import pathlib

import gymnasium
import mujoco
import numpy as np

STEP_COUNT = 200

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

ENVIRONMENTS = """
HalfCheetah-v5 Hopper-v5 Walker2d-v5 Ant-v5 InvertedPendulum-v5 Hopper-v4 Walker2d-v4 Ant-v4
""".split()

# Only Ant's step reads body positions of the state before it.
XPOS_ENVIRONMENTS = ("Ant-v5", "Ant-v4")


def plain(value):
    return np.asarray(value).astype(float).ravel().tolist()


def model_fields(model):
    fields = {name: plain(getattr(model, name)) for name in MODEL_FIELDS}
    fields.update({f"opt.{name}": plain(getattr(model.opt, name)) for name in OPTION_FIELDS})
    fields["stat.meaninertia"] = plain(model.stat.meaninertia)
    return fields


def record(name, seed):
    env = gymnasium.make(name).unwrapped
    limit = gymnasium.spec(name).max_episode_steps
    draw = np.random.default_rng(seed)
    low, high = env.action_space.low.astype(float), env.action_space.high.astype(float)
    rows, columns, starts = [], None, []
    episode = 0
    env.reset(seed=seed)
    starts.append(0)
    for step in range(STEP_COUNT):
        data = env.data
        action = draw.uniform(1.2 * low, 1.2 * high)
        row = {"time": data.time, "qpos": data.qpos, "qvel": data.qvel, "qaccWarmstart": data.qacc_warmstart}
        if name in XPOS_ENVIRONMENTS:
            row["xpos"] = data.xpos
        row = {key: plain(value) for key, value in row.items()}
        observation, reward, terminated, _, info = env.step(action)
        row.update({"action": plain(action), "observation": plain(observation), "reward": plain(reward)})
        row["terminated"] = plain(terminated)
        for key in sorted(info):
            row[f"info.{key}"] = plain(info[key])
        columns = columns or [[key, len(value)] for key, value in row.items()]
        rows.append([x for values in row.values() for x in values])
        if terminated:
            episode += 1
            env.reset(seed=seed + 1000 * episode)
            starts.append(step + 1)
    header = {
        "environment": name,
        "seed": seed,
        "versions": {"gymnasium": gymnasium.__version__, "mujoco": mujoco.__version__, "numpy": np.__version__},
        "episodeStepCountMax": limit,
        "rowCount": len(rows),
        "episodeStarts": [start for start in starts if start < len(rows)],
        "columns": columns,
        "model": model_fields(env.model),
    }
    return header, np.array(rows, dtype="<f8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    options = parser.parse_args()
    for name in options.env or ENVIRONMENTS:
        header, rows = record(name, options.seed)
        (options.out / f"{name}.json").write_text(json.dumps(header, indent=None, separators=(",", ":")) + "\n")
        (options.out / f"{name}.f64.gz").write_bytes(gzip.compress(rows.tobytes(), 9, mtime=0))


if __name__ == "__main__":
    main()
