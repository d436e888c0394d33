"""The robot's loop of the Python client: `clients-loop.py OPTIONS`, with OPTIONS as JSON. Prints a summary for each period."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from hyperpolicy import PolicyClient
from hyperpolicy.robot import Controller, CycleSummary

given = json.loads(sys.argv[1])
observation = np.zeros(given["observationSize"], dtype=np.float32)


def run(client: PolicyClient, period_ms: float) -> CycleSummary:
    safe_action = client.get_model(model=given["model"]).safe_action
    with client.act_stream(model=given["model"], client_id="loop", resume=True, newest_wins=True) as stream:

        def loop(ms: float) -> CycleSummary:
            controller = Controller(
                stream, safe_action=safe_action, observe=lambda: observation, apply=lambda *_: None, period_ms=period_ms
            )
            return controller.run(cycle_count=int(ms / period_ms))

        loop(given["warmMs"])
        return loop(1000 * given["seconds"])


def told(summary: CycleSummary) -> dict[str, Any]:
    return {
        "cyclesPerSecond": summary.cycles_per_second,
        "jitterMs": summary.jitter_ms,
        "latencyMs": summary.latency_ms,
        "missedCount": summary.missed_count,
        "skippedCount": summary.skipped_count,
    }


with PolicyClient(given["address"]) as policy:
    print(json.dumps([told(run(policy, period_ms)) for period_ms in given["periodsMs"]]))
