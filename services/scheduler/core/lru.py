"""What is known of the groups that were used last: a bounded table from which the least recently used goes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def entry(table: OrderedDict[K, V], key: K, make: Callable[[], V], most: int) -> V:
    """The entry of a key, which is then the most recently used; made if need be, in place of the oldest."""
    found = table.get(key)
    if found is None:
        found = table[key] = make()
        if len(table) > most:
            table.popitem(last=False)
    else:
        table.move_to_end(key)
    return found
