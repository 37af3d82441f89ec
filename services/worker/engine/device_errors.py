"""What an error says of the device, wherever in a chain of exceptions it stands: users wrap them in their own."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any


class Kind(enum.Enum):
    """Of an error: the user's own, memory that is short for now, or the end of this process's use of the device."""

    RAISED = enum.auto()
    OUT_OF_MEMORY = enum.auto()
    LOST = enum.auto()


_SPELLED = ("CUDA error", "CUDNN_STATUS", "cuDNN error", "cuBLAS")
_SHORT_OF_MEMORY = ("out of memory", "ALLOC_FAILED")


def kind_of(torch: Any, error: BaseException) -> tuple[Kind, str]:
    """The kind of an error, and what the device says itself, if it does.

    `torch` is the module, or a stand-in for it. Errors of the device are typed or, by older versions, spelled.
    """
    accelerator = getattr(torch, "AcceleratorError", ())
    for each in chain(error):
        says = str(each).partition("\n")[0]
        if isinstance(each, torch.cuda.OutOfMemoryError):
            return Kind.OUT_OF_MEMORY, says
        if isinstance(each, accelerator) or (isinstance(each, RuntimeError) and says.startswith(_SPELLED)):
            is_short = any(sign in says for sign in _SHORT_OF_MEMORY)
            return (Kind.OUT_OF_MEMORY if is_short else Kind.LOST), says
    return Kind.RAISED, ""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came of, the outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
