"""Where groups live, by one placement: everyone who knows the same placement computes the same homes. Pure.

In this order: the group's own exception (placed by load, moved or pinned); where its pipeline keeps branches together,
the home of its *stem*, the group's name up to the first `/` (`s1` is the stem of the branch `s1/7`); else rendezvous
hashing. So the actors of a scene, and what lives for one event of it, are near the scene without a record of their own,
and one record moves them all.
"""

from __future__ import annotations

from covey.grouping import ranked, rendezvous
from covey.model import GroupId, Placement

KNOWN_MAX = 65_536
"""Homes that are remembered once they have been asked for."""


class Homes:
    """Computed once a placement; `nodes` are the names of its nodes, in its order."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.nodes = tuple([node.id for node in placement.nodes])
        self._exceptions = {group: node for group, node in placement.exceptions.items() if node in self.nodes}
        self.copied = placement.copies > 1 or bool(placement.replicas)
        """Some groups have more readers than their homes."""
        self._together = dict.fromkeys(placement.together)
        self._known: dict[GroupId, str] = {}

    def of(self, group: GroupId) -> str:
        """The node where a group lives; empty without nodes. An exception that names no node of now is void."""
        home = self._known.get(group)
        if home is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            home = self._known[group] = self._find(group)
        return home

    def _find(self, group: GroupId) -> str:
        if not self.nodes:
            return ""
        root = self.root_of(group)
        placed = self._exceptions.get(group) or self._exceptions.get(root)
        return placed or rendezvous(*root, self.nodes)

    def nearest(self, group: GroupId, node: str) -> str:
        """The node that a reader on `node` asks: this one if it holds the group, else the group's home."""
        if not self.copied:
            return self.of(group)
        readers = self.readers(group)
        return node if node in readers else readers[0]

    def root_of(self, group: GroupId) -> GroupId:
        """The group whose home decides: the stem, where branches live with it, else the group itself."""
        if group.scope not in self._together:
            return group
        return stem_of(group) or group

    def readers(self, group: GroupId) -> tuple[str, ...]:
        """The nodes that hold a group for reads, its home first."""
        home = self.of(group)
        if not self.copied:
            return (home,)
        replicas = self.placement.replicas.get(group, ())
        hashed = ranked(*group, self.nodes) if self.placement.copies > 1 else ()
        default = [node for node in hashed if node != home][: self.placement.copies - 1]
        return tuple(dict.fromkeys([home, *default, *(node for node in replicas if node in self.nodes)]))


def stem_of(group: GroupId) -> GroupId | None:
    """The stem of a branch; None for a group that is no branch, such as a key that is a group of its own."""
    name, slash, _ = group.group.partition("/")
    return GroupId(group.scope, name) if slash and name else None
