"""The ROS 2 node over the real server. No ROS is there: the little of `rclpy` that the node uses has a stand-in here."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from conftest import OBSERVATION, ROOT, Server, until


class Message(SimpleNamespace):
    """With `data`, as every type of std_msgs that the node uses."""


class Publisher:
    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.fault_count = 0

    def publish(self, message: Any) -> None:
        if self.fault_count > 0:
            self.fault_count -= 1
            raise RuntimeError("no context")
        self.sent.append(message.data)


def stand_in_node(given: dict[str, Any]) -> type:
    class Node:
        def __init__(self, _name: str) -> None:
            self.topics: dict[str, Publisher] = {}
            self.subscribed: dict[str, Callable[..., None]] = {}
            self.logged: list[str] = []
            self._parameters: dict[str, Any] = {}

        def declare_parameter(self, name: str, default: Any) -> None:
            self._parameters[name] = given.get(name, default)

        def get_parameter(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(value=self._parameters[name])

        def create_publisher(self, _kind: type, topic: str, _depth: int) -> Publisher:
            return self.topics.setdefault(topic, Publisher())

        def create_subscription(self, _kind: type, topic: str, listener: Callable[..., None], _depth: int) -> None:
            self.subscribed[topic] = listener

        def get_fully_qualified_name(self) -> str:
            return "/hyperpolicy"

        def get_logger(self) -> SimpleNamespace:
            return SimpleNamespace(error=lambda text, throttle_duration_sec: self.logged.append(text))

    return Node


@pytest.fixture
def node(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    given = {"address": server.address, "model": "m", "age_ms_max": 600_000.0}
    modules: dict[str, dict[str, Any]] = {
        "rclpy": {},
        "rclpy.node": {"Node": stand_in_node(given)},
        "std_msgs": {},
        "std_msgs.msg": {"Float32MultiArray": Message, "String": Message},
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("hyperpolicy_node", ROOT / "clients/robot/ros2/hyperpolicy_node.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    made = program.HyperpolicyNode()
    yield made
    made.stop()


def observe(node: Any, values: list[float], waited_ms: float = 0) -> None:
    """As an executor that is late by `waited_ms`; -1 is a middleware that does not tell when a message came."""
    received_ns = 0 if waited_ms == -1 else time.time_ns() - int(1e6 * waited_ms)
    node.subscribed["observation"](Message(data=values), {"source_timestamp": 0, "received_timestamp": received_ns})


def reach(node: Any, mode: str) -> None:
    modes = node.topics["mode"].sent
    until(lambda: mode in modes)
    modes.clear()


def more_commands(node: Any) -> None:
    commands = node.topics["command"].sent
    before = len(commands)
    until(lambda: len(commands) > before + 2)


@pytest.mark.parametrize(("waited_ms", "age_ms"), [(0, 0), (30_000, 30_000), (-1, 0)])
def test_an_action_is_as_old_as_the_message_that_it_answers(node: Any, waited_ms: float, age_ms: float) -> None:
    reach(node, "no observation")
    before_ms = 1000 * time.perf_counter() - age_ms
    observe(node, OBSERVATION, waited_ms)
    after_ms = 1000 * time.perf_counter() - age_ms
    reach(node, "fresh")
    more_commands(node)
    cycles = [cycle for cycle in node._controller.cycles() if cycle.mode == "fresh"]  # noqa: SLF001: what it applied
    observed_at_ms = [cycle.due_ms + cycle.jitter_ms + cycle.took_ms - cycle.age_ms for cycle in cycles]
    assert len(observed_at_ms) > 2
    # To the rounding of sums, and to what the system's clock is set by meanwhile.
    assert before_ms - 1 <= min(observed_at_ms) <= max(observed_at_ms) <= after_ms + 1


def test_commands_go_on_whatever_goes_wrong(node: Any) -> None:
    commands = node.topics["command"]
    reach(node, "no observation")
    observe(node, OBSERVATION)
    reach(node, "fresh")
    observe(node, [1, float("nan"), 3])
    reach(node, "hold")
    more_commands(node)
    observe(node, OBSERVATION)
    reach(node, "fresh")
    commands.fault_count = 1
    reach(node, "fault")
    reach(node, "fresh")
    commands.fault_count = 3
    until(lambda: commands.fault_count == 0)
    more_commands(node)
    assert set(node.logged) == {"RuntimeError: no context"}
