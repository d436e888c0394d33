"""The README of the client: its programs run as written against a real server, and its tables name what there is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import ROOT, Servers, until

from hyperpolicy._connection import CONNECTION_DEFAULTS
from hyperpolicy._generated import STATUS_BY_KIND

README = (ROOT / "clients/python/README.md").read_text()


def test_its_programs_run(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    address = servers.start().address
    loop, evaluation = (one.replace("127.0.0.1:50051", address) for one in re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    names: dict[str, Any] = {}
    exec(loop, names)  # noqa: S102
    stream = names["stream"]
    assert (stream.ended, stream.version, names["action"].shape) == (True, 1, (6,))
    told: list[str] = []

    def has_ended() -> bool:
        told.append(capsys.readouterr().out)
        return "ended" in "".join(told)

    until(has_ended)
    assert re.search(r"100 actions of version 1, \d+ of them held; the last: \[", "".join(told))
    assert "None" not in "".join(told)
    assert "stream ended by this program\n" in "".join(told)
    # Short episodes, and fewer of them.
    short = evaluation.replace("num_envs=8", "num_envs=2, max_episode_steps=20").replace("episodes=10", "episodes=2")
    exec(short, names)  # noqa: S102
    assert names["result"].lengths == (20, 20)


def test_the_robots_program_runs(servers: Servers) -> None:
    text = (ROOT / "clients/robot/README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program.replace("127.0.0.1:50051", servers.start().address), names)  # noqa: S102
    assert (names["stream"].ended, names["summary"].cycle_count) == (True, 200)


def test_every_kind_of_error_is_in_its_table() -> None:
    named = re.findall(r"`([a-z_]+)`", README.split("## Errors")[1])
    assert set(STATUS_BY_KIND) <= set(named)


def test_every_option_is_in_its_table_with_its_default() -> None:
    for name, default in CONNECTION_DEFAULTS.items():
        (told,) = re.findall(rf"^\| `{name}` +\| (\S+)", README, re.MULTILINE)
        assert told == ({"tls": "off"}.get(name, "none") if default is None else str(default)), name
