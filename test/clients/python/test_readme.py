"""The README of the client: its program runs as written against a real server, and its tables name what there is."""

from __future__ import annotations

import re

from conftest import ROOT, Servers

from hyperpolicy._connection import CONNECTION_DEFAULTS
from hyperpolicy._generated import STATUS_BY_KIND

README = (ROOT / "clients/python/README.md").read_text()


def test_the_control_loop_runs(servers: Servers) -> None:
    address = servers.start().address
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(program.replace("127.0.0.1:50051", address), names)  # noqa: S102
    stream = names["stream"]
    assert (stream.ended, stream.version, names["action"].shape) == (True, 1, (6,))  # type: ignore[attr-defined]


def test_every_kind_of_error_is_in_its_table() -> None:
    named = re.findall(r"`([a-z_]+)`", README.split("## Errors")[1])
    assert set(STATUS_BY_KIND) <= set(named)


def test_every_option_is_in_its_table_with_its_default() -> None:
    for name, default in CONNECTION_DEFAULTS.items():
        (told,) = re.findall(rf"^\| `{name}` +\| (\S+)", README, re.MULTILINE)
        assert told == ({"tls": "off"}.get(name, "none") if default is None else str(default)), name
