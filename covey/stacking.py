"""Arrays of one shape into one padded array and its mask: what a batched model takes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from covey.errors import InvalidArgument

Row: TypeAlias = list[Any]
"""The values of one task in their places; None where there is none."""


def stacked(rows: list[Row], pool: str, stage: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """[rows, width, ...] float32 and [rows, width] bool, from rows of one width; zero where the mask is False.

    Raises InvalidArgument when a value is no array of numbers, or two have different shapes.
    """
    width = len(rows[0]) if rows else 0
    mask = np.array([[value is not None for value in row] for row in rows], np.bool_).reshape(len(rows), width)
    arrays = [_numbers(value, pool, stage) for row in rows for value in row if value is not None]
    shape = arrays[0].shape if arrays else ()
    for array in arrays:
        if array.shape != shape:
            raise InvalidArgument(
                f"stage {stage!r} can't stack {pool!r}: its values have the shapes {shape} and {array.shape}"
            )
    stack = np.zeros((len(rows), width, *shape), np.float32)
    if arrays:
        stack[mask] = arrays
    return stack, mask


def _numbers(value: Any, pool: str, stage: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"stage {stage!r} can't stack {pool!r}: {type(value).__name__} is not an array of numbers"
        ) from None
