"""The robot's control loop: the cases that both languages keep, and a loop over the real server that is killed meanwhile."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from conftest import OBSERVATION, ROOT, Server, Servers

from hyperpolicy import HyperpolicyError, PolicyClient
from hyperpolicy.robot import Commander, Controller, Cycle, Observed

CASES = json.loads((ROOT / "test/clients/robot/commander.json").read_text())


def commander(options: dict[str, Any]) -> Commander:
    return Commander(
        safe_action=options["safeAction"],
        age_ms_max=options["ageMsMax"],
        ramp_ms=options["rampMs"],
        interpolation_ms=options["interpolationMs"],
        watchdog_ms=options["watchdogMs"],
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_commander(case: dict[str, Any]) -> None:
    made = commander(case["options"])
    for step in case["steps"]:
        if "take" in step:
            is_newest = made.take(np.array(step["take"], dtype=np.float32), step["observedAtMs"])
            assert is_newest == step.get("isNewest", True), step
        elif "safe" in step:
            made.set_safe_action(step["safe"])
        elif "decide" in step:
            assert made.decide(*step["decide"]) == step["mode"], step
        else:
            assert made.command(step["command"]).tolist() == step["is"], step


def test_a_loop_goes_to_the_safe_action_without_a_server_and_comes_back(servers: Servers) -> None:
    first = servers.start()
    port = first.address.rsplit(":", 1)[1]
    modes: list[str] = []
    again: list[Server] = []
    seen: list[Cycle] = []

    def apply(_command: Any, cycle: Cycle) -> None:
        seen.append(cycle)
        modes.append(cycle.mode)
        if cycle.mode == "fresh" and first.process.poll() is None:
            first.process.kill()
            first.process.wait()
        # Before the first answer it is at the safe action too.
        if cycle.mode == "safe" and "ramp" in modes and not again:
            again.append(servers.start("--port", port))
        if cycle.mode == "fresh" and again:
            raise StopIteration

    with PolicyClient(first.address) as client, client.act_stream(model="m", resume=True, newest_wins=True) as stream:
        safe_action = [0.25, -0.25]
        controller = Controller(
            stream, safe_action=safe_action, observe=lambda: OBSERVATION, apply=apply, period_ms=10, ramp_ms=500
        )
        with pytest.raises(StopIteration):
            controller.run()
    assert all(cycle.age_ms <= 100 for cycle in seen if cycle.mode in ("fresh", "hold"))
    assert all(np.allclose(cycle.command, safe_action) for cycle in seen if cycle.mode == "safe")
    assert any(cycle.problem == "unavailable" for cycle in seen)
    indices = [cycle.index for cycle in seen]
    assert indices == sorted(set(indices))
    assert controller.summary().modes["ramp"] > 0


@pytest.mark.parametrize("wrong", [[0.0], [0.0, float("nan")]])
def test_a_safe_action_that_does_not_fit(wrong: list[float]) -> None:
    made = Commander(safe_action=[0, 0], age_ms_max=100, ramp_ms=50, interpolation_ms=0, watchdog_ms=30)
    with pytest.raises(HyperpolicyError, match="Commander safe action: expected 2 finite values, got"):
        made.set_safe_action(wrong)


@pytest.mark.parametrize("wrong", [[], [0.0, float("inf")], [[0.0, 0.0]]])
def test_a_first_safe_action_that_is_none(wrong: Any) -> None:
    with pytest.raises(HyperpolicyError, match="Commander safe action: expected one or more finite values, got"):
        Commander(safe_action=wrong, age_ms_max=100, ramp_ms=50, interpolation_ms=0, watchdog_ms=30)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"observe": None}, "^Controller observe: expected a function, got none$"),
        ({"apply": "motors"}, '^Controller apply: expected a function, got "motors"$'),
        ({"safe_policy": [0, 0]}, "^Controller safe_policy: expected a function, got a list of 2$"),
        ({"log_cycle_count_max": -3}, "^Controller log_cycle_count_max: expected an integer from 1 to"),
    ],
)
def test_a_controller_that_is_refused(client: PolicyClient, given: dict[str, Any], text: str) -> None:
    working: Any = {"safe_action": [0, 0], "observe": lambda: OBSERVATION, "apply": lambda _command, _cycle: None}
    with client.act_stream(model="m") as stream, pytest.raises(HyperpolicyError, match=text):
        Controller(stream, **{**working, **given})


@pytest.mark.parametrize(("old_ms", "mode"), [(300_000, "fresh"), (601_000, "safe")])
def test_the_age_of_an_action_is_that_of_its_observation(client: PolicyClient, old_ms: float, mode: str) -> None:
    with client.act_stream(model="m") as stream:
        controller = Controller(
            stream,
            safe_action=[0, 0],
            observe=lambda: Observed(OBSERVATION, 1000 * time.perf_counter() - old_ms),
            apply=lambda _command, _cycle: None,
            age_ms_max=600_000,
            answer_ms_max=60_000,
        )
        controller.run(cycle_count=1)
    (cycle,) = controller.cycles()
    assert (cycle.mode, cycle.problem) == (mode, None)
    assert cycle.age_ms >= old_ms
    assert cycle.latency_ms is not None
    assert cycle.latency_ms < 60_000


@pytest.mark.parametrize("at_ms", [1e300, float("nan"), -float("inf"), "soon"])
def test_an_observation_of_another_clock_is_refused(client: PolicyClient, at_ms: Any) -> None:
    with client.act_stream(model="m") as stream:
        observe = lambda: Observed(OBSERVATION, at_ms)  # noqa: E731
        made = Controller(stream, safe_action=[0, 0], observe=observe, apply=lambda _command, _cycle: None)
        with pytest.raises(HyperpolicyError, match=r"^Controller observe observed_at_ms: expected a (time|number)"):
            made.run(cycle_count=1)


@pytest.mark.parametrize("count", ["2", -1, 1.5])
def test_a_count_of_cycles_that_is_none(client: PolicyClient, count: Any) -> None:
    with client.act_stream(model="m") as stream:
        made = Controller(stream, safe_action=[0, 0], observe=lambda: OBSERVATION, apply=lambda _command, _cycle: None)
        with pytest.raises(HyperpolicyError, match="^Controller run cycle_count: expected an integer from 0 to"):
            made.run(cycle_count=count)


def test_an_observation_that_cannot_be_sent_costs_its_cycle_alone(client: PolicyClient) -> None:
    observations: list[Any] = [OBSERVATION, [1, float("nan"), 3], "none", OBSERVATION]
    with client.act_stream(model="m") as stream:
        controller = Controller(
            stream,
            safe_action=[0, 0],
            observe=lambda: observations.pop(0),
            apply=lambda _command, _cycle: None,
            age_ms_max=60_000,
            answer_ms_max=60_000,
        )
        controller.run(cycle_count=4)
    assert [cycle.mode for cycle in controller.cycles()] == ["fresh", "hold", "hold", "fresh"]
    assert [cycle.problem for cycle in controller.cycles()] == [None, "invalid_argument", "invalid_argument", None]


def test_answers_of_another_size_are_dropped_and_the_stream_goes_on(client: PolicyClient) -> None:
    with client.act_stream(model="m") as stream:
        controller = Controller(
            stream,
            safe_action=[0, 0, 0],
            observe=lambda: OBSERVATION,
            apply=lambda _command, _cycle: None,
            age_ms_max=60_000,
            answer_ms_max=60_000,
        )
        controller.run(cycle_count=3)
        assert not stream.ended
    assert [(cycle.mode, cycle.problem) for cycle in controller.cycles()] == [("safe", "failed_precondition")] * 3


def test_a_safe_policy_follows_the_observation(client: PolicyClient) -> None:
    observed = iter(range(100))
    seen: list[Cycle] = []
    # A stream of a model that is not there: no answer ever comes.
    with client.act_stream(model="none", newest_wins=True) as stream:
        controller = Controller(
            stream,
            safe_action=[0, 0],
            safe_policy=lambda observation: np.asarray(observation)[:2] + 1,
            observe=lambda: np.full(len(OBSERVATION), next(observed), np.float32),
            apply=lambda _command, cycle: seen.append(cycle),
        )
        controller.run(cycle_count=3)
    assert [cycle.command.tolist() for cycle in seen] == [[1, 1], [2, 2], [3, 3]]
    assert {cycle.mode for cycle in seen} == {"safe"}


def test_as_many_cycles_as_asked_for(client: PolicyClient) -> None:
    applied: list[Any] = []
    with client.act_stream(model="m", newest_wins=True) as stream:
        # A time that a busy machine keeps too.
        controller = Controller(
            stream,
            safe_action=[0, 0],
            observe=lambda: OBSERVATION,
            apply=lambda command, _cycle: applied.append(command),
            age_ms_max=60_000,
            answer_ms_max=60_000,
        )
        summary = controller.run(cycle_count=5)
    assert (summary.cycle_count, summary.modes["fresh"], len(applied)) == (5, 5, 5)
    assert all(cycle.latency_ms is not None and cycle.version == 1 for cycle in controller.cycles())


@pytest.mark.parametrize("name", ["answer_ms_max", "age_ms_max", "ramp_ms", "interpolation_ms", "watchdog_ms", "period_ms"])
def test_times_of_any_size(client: PolicyClient, name: str) -> None:
    times: dict[str, Any] = {name: 1e15}
    with client.act_stream(model="m") as stream:
        controller = Controller(
            stream, safe_action=[0, 0], observe=lambda: OBSERVATION, apply=lambda _command, _cycle: None, **times
        )
        assert controller.run(cycle_count=1).cycle_count == 1
