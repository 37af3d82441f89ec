"""A sorted collection of the keys of a pool, for reads by prefix. Pure.

A list of sorted blocks: finding is two bisections, and an insertion moves one block instead of everything, as Grant
Jenks's `sortedcontainers` does it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

BLOCK_MAX = 1_000

KeyInGroup = tuple[str, str]
"""A key and the group that it was put in, which an explicit group makes part of the address."""


class SortedKeys:
    """(key, group) pairs in order, each at most once."""

    def __init__(self) -> None:
        self._blocks: list[list[KeyInGroup]] = []
        self._firsts: list[KeyInGroup] = []

    def add(self, key: str, group: str) -> None:
        item = (key, group)
        if not self._blocks:
            self._blocks, self._firsts = [[item]], [item]
            return
        position = self._block_of(item)
        block = self._blocks[position]
        at = bisect_left(block, item)
        if at < len(block) and block[at] == item:
            return
        block.insert(at, item)
        self._firsts[position] = block[0]
        if len(block) > BLOCK_MAX:
            half = len(block) // 2
            self._blocks[position : position + 1] = [block[:half], block[half:]]
            self._firsts[position : position + 1] = [block[0], block[half]]

    def remove(self, key: str, group: str) -> None:
        """Remove a pair that is there; raises KeyError if it is not."""
        item = (key, group)
        position = self._block_of(item)
        block = self._blocks[position] if self._blocks else []
        at = bisect_left(block, item)
        if at == len(block) or block[at] != item:
            raise KeyError(item)
        del block[at]
        if block:
            self._firsts[position] = block[0]
        else:
            del self._blocks[position], self._firsts[position]

    def under(self, prefix: str) -> Iterator[KeyInGroup]:
        """The pairs whose key begins with `prefix`, in order."""
        start = (prefix, "")
        for position in range(self._block_of(start), len(self._blocks)):
            block = self._blocks[position]
            for at in range(bisect_left(block, start), len(block)):
                if not block[at][0].startswith(prefix):
                    return
                yield block[at]

    def __iter__(self) -> Iterator[KeyInGroup]:
        for block in self._blocks:
            yield from block

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def _block_of(self, item: KeyInGroup) -> int:
        """The block that holds `item`, or would."""
        at = bisect_left(self._firsts, item)
        if at < len(self._firsts) and self._firsts[at] == item:
            return at
        return max(at - 1, 0)
