"""
What a caller may give, checked before anything is sent. What fits into a message and means nothing to the model is the server's to
refuse. Each check raises HyperpolicyError invalid_argument with the name of the argument.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import invalid_argument


# Of an integer whose digits are shown: about a hundred of them.
_SHOWN_BIT_COUNT_MAX = 333


def shown(value: object) -> str:
    """A value in short, for an error."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return json.dumps(f"{value[:100]}..." if len(value) > 100 else value, ensure_ascii=False)
    if isinstance(value, int) and value.bit_length() > _SHOWN_BIT_COUNT_MAX:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, bool | int | float | complex | np.generic):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {list(value.shape)}"
    if isinstance(value, Mapping):
        names = ", ".join(str(name) for name in list(value)[:5])
        return f"a {type(value).__name__} with {names}" if names else f"an empty {type(value).__name__}"
    if isinstance(value, Sequence):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def check_names(where: str, given: Mapping[str, object], names: Collection[str]) -> None:
    """All names of `given` are among those."""
    for name in given:
        if name not in names:
            raise invalid_argument(where, f"options among {', '.join(names)}", shown(name))


def is_integer(given: object) -> bool:
    return isinstance(given, int | np.integer) and not isinstance(given, bool)


def is_number(given: object) -> bool:
    return is_integer(given) or isinstance(given, float | np.floating)


def as_float(given: Any) -> float:
    """Infinite where it is larger than floats are."""
    try:
        return float(given)
    except OverflowError:
        return math.inf if given > 0 else -math.inf


def check_integer(where: str, given: Any, low: int, high: int) -> int:
    """From `low` to `high`, both included."""
    if is_integer(given) and low <= given <= high:
        return int(given)
    raise invalid_argument(where, f"an integer from {low} to {high}", shown(given))


def check_time(where: str, given: Any, *, or_zero: bool = False) -> float:
    """A duration in milliseconds, however long."""
    if is_number(given) and (given > 0 or (or_zero and given == 0)):
        return as_float(given)
    raise invalid_argument(where, f"a number of milliseconds {'from' if or_zero else 'above'} 0", shown(given))


def check_number(where: str, given: Any) -> float:
    if is_number(given):
        return as_float(given)
    raise invalid_argument(where, "a number", shown(given))


def check_text(where: str, given: Any, bytes_max: float = math.inf) -> str:
    if not isinstance(given, str) or given == "":
        raise invalid_argument(where, "a text that is not empty", shown(given))
    try:
        size = len(given.encode())
    except UnicodeEncodeError:
        # Half of a surrogate pair.
        raise invalid_argument(where, "a text that UTF-8 can encode", ascii(given[:100])) from None
    if size > bytes_max:
        raise invalid_argument(where, f"at most {bytes_max} bytes", shown(given))
    return given


def check_boolean(where: str, given: Any) -> bool:
    if isinstance(given, bool | np.bool_):
        return bool(given)
    raise invalid_argument(where, "True or False", shown(given))


def check_function(where: str, given: Any) -> None:
    if not callable(given):
        raise invalid_argument(where, "a function", shown(given))


def check_choice(where: str, given: Any, choices: Collection[str]) -> str:
    if isinstance(given, str) and given in choices:
        return given
    raise invalid_argument(where, f"one of {', '.join(choices)}", shown(given))


def check_one_of(where: str, given: Mapping[str, object], names: Sequence[str]) -> None:
    """At most one of these is given."""
    if sum(given.get(name) is not None for name in names) > 1:
        raise invalid_argument(where, f"one of {' and '.join(names)}", "both")


_ADDRESS = re.compile(r"(?:[^\s:/\[\]@]+|\[[\da-fA-F:.]+\]):(\d{1,5})", re.ASCII)


def check_address(where: str, given: Any) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    found = _ADDRESS.fullmatch(given) if isinstance(given, str) else None
    if found is not None and 1 <= int(found[1]) <= 65_535:
        return str(given)
    raise invalid_argument(where, "host:port, such as 127.0.0.1:50051 or [::1]:50051", shown(given))


def check_token(where: str, given: Any) -> str:
    """A text that fits a header field. The error does not show it: it is a secret."""
    if isinstance(given, str) and re.fullmatch(r"[\x21-\x7e]+", given):
        return given
    actual = f"{len(given)} characters, not all of which are" if isinstance(given, str) else shown(given)
    raise invalid_argument(where, "printable ASCII characters without spaces", actual)


def check_metadata(where: str, given: Any) -> dict[str, str]:
    """Header fields: names in lower case, values of printable characters."""
    if not isinstance(given, Mapping):
        raise invalid_argument(where, "a dict of texts by name", shown(given))
    for name, value in given.items():
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_.-]+", name) or re.search(r"^grpc-|-bin$", name):
            expected = "names of a-z 0-9 _ . - that neither begin with grpc- nor end with -bin"
            raise invalid_argument(where, expected, shown(name))
        if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e]*", value):
            raise invalid_argument(f"{where} {name}", "a text of printable ASCII characters", shown(value))
    return dict(given)
