"""Tensors between NumPy and messages; checked where a caller gives one, and where a server does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _messages as messages
from ._checks import as_float, shown
from .errors import HyperpolicyError, invalid_argument

FloatArray: TypeAlias = NDArray[np.float32]

# What a method takes: an array, one row of values, or rows of equal length. Values are finite in float32.
TensorLike: TypeAlias = NDArray[Any] | Sequence[float] | Sequence[Sequence[float]] | Sequence[NDArray[Any]]

# As messages have them.
_FLOAT32: np.dtype[np.float32] = np.dtype("<f4")
# Values that are summed to see whether all are finite.
_SUMMED_COUNT_MAX = 128

_FORMS = "an array of numbers, a sequence of numbers, or a sequence of equally long rows"


def given_array(where: str, given: Any) -> FloatArray:
    """As float32, [N] or [N, M]. Raises invalid_argument: none of these forms; a value that float32 has not."""
    array = given if isinstance(given, np.ndarray) else _of_sequence(where, given)
    if array.dtype.kind not in "fiu":
        raise invalid_argument(where, _FORMS, shown(given))
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.float64), np.nan)
    if array.ndim not in (1, 2):
        raise invalid_argument(f"{where} shape", "one or two sizes", str(list(array.shape)))
    floats = np.ascontiguousarray(array) if array.dtype == _FLOAT32 else _converted(array)
    if not _all_finite(floats):
        at = np.argwhere(~np.isfinite(floats))[0]
        place = "".join(f"[{i}]" for i in at)
        raise invalid_argument(f"{where}{place}", "a number that is finite in float32", str(array[tuple(at)]))
    return floats


def _converted(array: NDArray[Any]) -> FloatArray:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=_FLOAT32)


def _all_finite(floats: FloatArray) -> bool:
    """Of few values the sum tells sooner than a test of each: as Python's floats it is finite where all are."""
    if floats.size <= _SUMMED_COUNT_MAX:
        return math.isfinite(sum(floats.ravel().tolist()))
    return bool(np.isfinite(floats).all())


def _of_sequence(where: str, given: Any) -> NDArray[Any]:
    if not isinstance(given, Sequence) or isinstance(given, str | bytes | bytearray | memoryview):
        raise invalid_argument(where, _FORMS, shown(given))
    if len(given) == 0:
        return np.zeros(0, dtype=np.float32)
    if not _is_row(given[0]):
        return np.asarray(_row(where, given), dtype=np.float64)
    column_count = len(given[0])
    for r, row in enumerate(given):
        if not _is_row(row):
            raise invalid_argument(f"{where}[{r}]", "a sequence of numbers", shown(row))
        if len(row) != column_count:
            raise invalid_argument(where, f"{column_count} values in every row", f"{len(row)} in row {r}")
    rows = [_row(f"{where}[{r}]", row) for r, row in enumerate(given)]
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), column_count)


def _is_row(given: object) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim > 0
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)


def _row(where: str, row: Any) -> list[float]:
    for i, value in enumerate(row):
        # Values of arrays and of frameworks that are not NumPy's are numbers too.
        if isinstance(value, bool | str | bytes | complex) or not hasattr(value, "__float__") or np.ndim(value) != 0:
            raise invalid_argument(f"{where}[{i}]", "a number", shown(value))
    return [as_float(value) for value in row]


def tensor_message(where: str, given: Any) -> Any:
    """A tensor of a request. Raises invalid_argument."""
    message = messages.Tensor()
    set_tensor(message, where, given)
    return message


def set_tensor(message: Any, where: str, given: Any) -> None:
    """Fills a tensor of a request in. Raises invalid_argument."""
    array = given_array(where, given)
    message.shape.extend(array.shape)
    message.data = array.tobytes()


def row_count(message: Any) -> int:
    """How many rows a tensor of a request makes: [O] is one."""
    shape = message.shape
    return 1 if len(shape) == 1 else int(shape[0])


def row_size(message: Any) -> int:
    """How many values a row has."""
    return int(message.shape[-1])


class Sender:
    """Whose answer it is."""

    __slots__ = ("address", "method")

    def __init__(self, method: str, address: str) -> None:
        self.method = method
        self.address = address

    def unusable(self, what: str) -> HyperpolicyError:
        """The error of an answer that cannot be used: of another service, another version of this one, or damaged; `what` as a noun phrase."""
        remedy = "Check the address, and that client and server are of one release"
        expected = f"a hyperpolicy server at {self.address}"
        return HyperpolicyError("failed_precondition", self.method, expected, what, remedy)

    def array(self, name: str, response: Any, *, rank: int, rows: int | None = None) -> FloatArray:
        """
        A copy of the values of a field, [rows] or [rows, columns]. Raises failed_precondition: none; bytes or rows that are not as the
        shape or the request says; not finite.
        """
        if not response.HasField(name):
            raise self.unusable(f"a response without {name}")
        message = getattr(response, name)
        shape, data = list(message.shape), message.data
        size = 4 * math.prod(shape)
        is_asked = len(shape) == rank and shape[0] > 0 and (rows is None or shape[0] == rows)
        if not is_asked or size != len(data) or size == 0:
            asked = "" if rows is None else f" for {rows} rows"
            raise self.unusable(f"a response whose {name} has shape {shape} in {len(data)} bytes{asked}")
        # A copy: the message's own bytes never change.
        values: FloatArray = np.ndarray(shape, _FLOAT32, bytearray(data))
        if not _all_finite(values):
            at = int(np.argmin(np.isfinite(values.ravel())))
            raise self.unusable(f"a response whose {name} has {values.ravel()[at]} at {at}")
        return values
