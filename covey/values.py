"""`dataclass` for values that are made by the hundred thousand. Pure.

    from covey.values import dataclass

    @dataclass(frozen=True, slots=True)

A frozen dataclass sets every field through `object.__setattr__`, which makes it four times as dear to construct as a
plain one, and a message is little else than construction. So what the type checker sees is the standard library's
`dataclass`, and what runs is the same without the guard: nothing may assign to a value, and mypy is who says so.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Any:
        """Equal and hashed by its fields, as a frozen one is, which is all that it is for."""
        assert frozen, "this is for values; a dataclass whose fields change is the standard library's"
        return dataclasses.dataclass(slots=slots, unsafe_hash=True)
