"""
The hosts that no proxy is asked for: those of loopback, and those of no_proxy as curl reads it. The library's own reading knows neither `*`,
ports nor brackets.
"""

from __future__ import annotations

import ipaddress
import re
import socket

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_direct(address: str, no_proxy: str) -> bool:
    """`address` is `host:port`; `no_proxy` has hosts, domains, addresses and networks, each with or without a port; `*` is all."""
    host, _, port = address.lower().rpartition(":")
    host = host.strip("[]").removesuffix(".")
    own = _parsed(host)
    entries = re.split(r"[\s,]+", no_proxy.lower())
    return _is_own(host, own) or any(_covers(entry, host, own, port) for entry in entries if entry)


def _parsed(host: str) -> _Address | None:
    try:
        # In any spelling that systems know, such as 127.1.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        try:
            own = ipaddress.IPv6Address(host)
        except ValueError:
            return None
        return own.ipv4_mapped or own


def _is_own(host: str, own: _Address | None) -> bool:
    if own is None:
        return host == "localhost" or host.endswith(".localhost")
    return own.is_loopback or own.is_unspecified


def _covers(entry: str, host: str, own: _Address | None, port: str) -> bool:
    # Of an address of IPv6 only what follows its bracket is a port.
    found = re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", entry)
    named, of_port = (entry, None) if found is None else found.groups()
    if of_port not in (None, port):
        return False
    name = named.replace("[", "").replace("]", "")
    network = _network(name)
    if network is None:
        domain = re.sub(r"^\*?\.", "", name).removesuffix(".")
        return domain == "*" or (own is None and f".{host}".endswith(f".{domain}"))
    return own is not None and own in network


def _network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    # Python's library takes a mask for bits, too.
    if re.fullmatch(r"[^/]*(/[0-9]{1,3})?", name) is None:
        return None
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        return None
