"""A ROS 2 node around the control loop: observations of a topic in, commands out. The README of clients/robot has its topics."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import numpy as np
import rclpy
from rclpy.node import Node
from std_msgs.msg import Float32MultiArray, String

from hyperpolicy import PolicyClient
from hyperpolicy.robot import Controller, Cycle, Observed


def now_ms() -> float:
    """Of the controller's clock."""
    return 1000 * time.perf_counter()


def waited_ms(received_ns: int) -> float:
    """Since a message came to this machine, by the system's clock; 0 where the middleware does not say when (0)."""
    return max(0.0, (time.time_ns() - received_ns) / 1e6) if received_ns > 0 else 0.0


class NoObservation(Exception):
    """None came, or it is too old to act on."""


class HyperpolicyNode(Node):
    """Publishes a command every `period_ms`, from its start until `stop`."""

    def __init__(self) -> None:
        super().__init__("hyperpolicy")
        for name, default in (("address", "127.0.0.1:50051"), ("model", ""), ("period_ms", 10.0), ("age_ms_max", 100.0)):
            self.declare_parameter(name, default)
        given = {name: self.get_parameter(name).value for name in ("address", "model", "period_ms", "age_ms_max")}
        self._age_ms_max = given["age_ms_max"]
        self._period_s = given["period_ms"] / 1000
        self._newest: Observed | None = None
        self._mode = ""
        self._commands = self.create_publisher(Float32MultiArray, "command", 1)
        self._modes = self.create_publisher(String, "mode", 10)
        self._client = PolicyClient(given["address"])
        self._safe_action = self._client.get_model(model=given["model"]).safe_action
        self._stream = self._client.act_stream(
            model=given["model"], client_id=self.get_fully_qualified_name(), resume=True, newest_wins=True
        )
        self._controller = Controller(
            self._stream,
            safe_action=self._safe_action,
            observe=self._observe,
            apply=self._apply,
            period_ms=given["period_ms"],
            age_ms_max=given["age_ms_max"],
        )
        self.create_subscription(Float32MultiArray, "observation", self._receive, 1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._stream.close()
        self._client.close()

    def _receive(self, message: Float32MultiArray, info: Mapping[str, int]) -> None:
        # An executor that is busy calls this later.
        observed_at_ms = now_ms() - waited_ms(info["received_timestamp"])
        self._newest = Observed(np.array(message.data, dtype=np.float32), observed_at_ms)

    def _run(self) -> None:
        """Ends at `stop` only: without this thread there are no commands."""
        while not self._stop.is_set():
            try:
                self._controller.run(stop=self._stop)
            except NoObservation:
                self._publish_without_cycle("no observation")
            except Exception as error:  # noqa: BLE001: whatever it is, commands go on
                self._log(error)
                self._publish_without_cycle("fault")

    def _publish_without_cycle(self, mode: str) -> None:
        """The commander goes to the safe action by its watchdog."""
        try:
            self._publish(self._controller.command(), mode)
        except Exception as error:  # noqa: BLE001: the next one may go out
            self._log(error)
        self._stop.wait(self._period_s)

    def _log(self, error: Exception) -> None:
        self.get_logger().error(f"{type(error).__name__}: {error}", throttle_duration_sec=1.0)

    def _observe(self) -> Observed:
        newest = self._newest
        if newest is None or now_ms() - newest.observed_at_ms > self._age_ms_max:
            raise NoObservation
        return newest

    def _apply(self, command: np.ndarray, cycle: Cycle) -> None:
        self._publish(command, cycle.mode)

    def _publish(self, command: np.ndarray, mode: str) -> None:
        self._commands.publish(Float32MultiArray(data=command.tolist()))
        if mode != self._mode:
            self._mode = mode
            self._modes.publish(String(data=mode))


def main() -> None:
    rclpy.init()
    node = HyperpolicyNode()
    try:
        rclpy.spin(node)
    finally:
        node.stop()
        node.destroy_node()
        rclpy.shutdown()


if __name__ == "__main__":
    main()
