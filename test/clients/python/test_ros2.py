"""The ROS 2 node over the real server. No ROS is there: the little of `rclpy` that the node uses has a stand-in here."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from conftest import OBSERVATION, ROOT, Server, until


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
            self.subscribed: dict[str, Callable[[Any], None]] = {}
            self.logged: list[str] = []
            self._parameters: dict[str, Any] = {}

        def declare_parameter(self, name: str, default: Any) -> None:
            self._parameters[name] = given.get(name, default)

        def get_parameter(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(value=self._parameters[name])

        def create_publisher(self, _kind: type, topic: str, _depth: int) -> Publisher:
            return self.topics.setdefault(topic, Publisher())

        def create_subscription(self, _kind: type, topic: str, listener: Callable[[Any], None], _depth: int) -> None:
            self.subscribed[topic] = listener

        def get_fully_qualified_name(self) -> str:
            return "/hyperpolicy"

        def get_logger(self) -> SimpleNamespace:
            return SimpleNamespace(error=lambda text, throttle_duration_sec: self.logged.append(text))

    return Node


def test_commands_go_on_whatever_goes_wrong(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"address": server.address, "model": "m", "age_ms_max": 600_000.0}
    message = type("Message", (SimpleNamespace,), {})
    modules: dict[str, dict[str, Any]] = {
        "rclpy": {},
        "rclpy.node": {"Node": stand_in_node(given)},
        "std_msgs": {},
        "std_msgs.msg": {"Float32MultiArray": message, "String": message},
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
    node = program.HyperpolicyNode()
    commands, modes = node.topics["command"], node.topics["mode"]

    def reach(mode: str) -> None:
        until(lambda: mode in modes.sent)
        modes.sent.clear()

    def more_commands() -> None:
        before = len(commands.sent)
        until(lambda: len(commands.sent) > before + 2)

    try:
        reach("no observation")
        node.subscribed["observation"](message(data=OBSERVATION))
        reach("fresh")
        node.subscribed["observation"](message(data=[1, float("nan"), 3]))
        reach("hold")
        more_commands()
        node.subscribed["observation"](message(data=OBSERVATION))
        reach("fresh")
        commands.fault_count = 1
        reach("fault")
        reach("fresh")
        commands.fault_count = 3
        until(lambda: commands.fault_count == 0)
        more_commands()
        assert set(node.logged) == {"RuntimeError: no context"}
    finally:
        node.stop()
