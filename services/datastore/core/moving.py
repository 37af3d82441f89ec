"""What a datastore knows of the other nodes, and of groups that are on their way between them. No behaviour. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from covey.homes import Homes
from covey.messages import HandOver, KeptVersion, PutDone
from covey.model import GroupId, Node, ObjectName


@dataclass(slots=True, eq=False)
class Giving:
    """A group that is being handed over, piece by piece: what is left to be sent. `first` is its first message."""

    group: GroupId
    first: int
    versions: deque[KeptVersion]
    evicted: deque[ObjectName]
    copy: bool = False


@dataclass(slots=True, eq=False)
class Spread:
    """A put that is answered when so many nodes more have it, or know that they are no readers any more."""

    group: GroupId
    version: int
    answers: list[tuple[int, PutDone]]
    """By link."""
    left: int = 0


@dataclass(slots=True, eq=False)
class Peer:
    """Another node of the placement, as one that groups are handed over to.

    `life` is that of the process which answered last, `sent` what it has not acknowledged, oldest first.
    """

    node: Node
    link: int = 0
    met: bool = False
    reach_at: float | None = 0.0
    """When to open a link; None while there is one."""
    life: int | None = None
    sent: deque[HandOver] = field(default_factory=deque)
    bytes_sent: int = 0
    queue: OrderedDict[GroupId, None] = field(default_factory=OrderedDict)
    giving: Giving | None = None
    announced: int = 0
    told: int = 0
    """The placements for which it has been told, over this link, what comes, and that all has been handed over."""
    versions_sent: int = 0
    """In what it has not acknowledged."""
    tenure: int = 0
    """Another one for each process of the node: what one was sent, the next does not have."""
    to_copy: OrderedDict[GroupId, None] = field(default_factory=OrderedDict)
    copying: dict[GroupId, int] = field(default_factory=dict)
    """Groups that it has been sent a copy of and has not acknowledged: the last message."""
    waits: dict[GroupId, list[Spread]] = field(default_factory=dict)
    """Puts that are answered when it has the whole of a group."""
    waits_for_it: list[Spread] = field(default_factory=list)
    """Puts that are answered when it acts upon the placement of now."""
    told_copies: int = 0


@dataclass(slots=True, eq=False)
class Giver:
    """Another node, as one that hands groups over to this one: what has been heard from one life of it.

    `last` is its last message that was taken or refused; `refused` are those of the last ones that were refused.
    """

    life: int
    link: int
    last: int = 0
    refused: OrderedDict[int, None] = field(default_factory=OrderedDict)
    held: deque[HandOver] = field(default_factory=deque)
    """What it sent by a placement that this node does not know yet."""
    announced: int = -1
    """The newest placement epoch for which it has said which groups it has for this node ..."""
    coming: dict[GroupId, None] = field(default_factory=dict)
    """... and those of them that are not here yet."""
    copied: int = -1
    """The newest epoch for which it has said that the readers have all that lives with it."""
    announcing: int = -1
    """The epoch of what it is saying, if there is more to come."""


@dataclass(slots=True)
class Moves:
    """Groups on their way. Epochs are those of placements."""

    member: bool = False
    joined: int = 0
    """This node's membership, by the newest placement that names it."""
    settled: int = -1
    """The newest epoch at which every other node has handed over what lives here."""
    done: int = -1
    """The newest epoch at which nothing is here that lives elsewhere."""
    since: list[Homes] = field(default_factory=list)
    """The placements since this node was last settled, that one first; empty if it has not been."""
    adopted: bool = False
    """A placement is new, and who waits must hear of it."""
    informed: bool = False
    """Another node has said what comes from it, and who waits must hear of it."""
    scan: deque[GroupId] = field(default_factory=deque)
    """Groups that have yet to be looked at: do they live elsewhere now?"""
    stale: tuple[Homes, dict[GroupId, None]] | None = None
    """The placement before, and the groups whose exceptions differ, if nothing else does: only these can have moved."""
    leaving: dict[GroupId, str] = field(default_factory=dict)
    """Groups that live elsewhere and are still here: where."""
    arriving: dict[GroupId, str] = field(default_factory=dict)
    """Groups of which a part is here: who hands them over."""
    arrived: list[GroupId] = field(default_factory=list)
    """Groups that are whole since the last look at who waits for them."""
    marks: dict[GroupId, list[ObjectName]] = field(default_factory=dict)
    """What was evicted of each group when the placement was adopted."""
    discarding: dict[GroupId, None] = field(default_factory=dict)
    """Groups that another node has, and whose objects have yet to be taken out of memory."""
    peers: dict[str, Peer] = field(default_factory=dict)
    givers: dict[str, Giver] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    """Node -> the newest epoch for which it has said that all was handed over."""
    spreads: dict[tuple[GroupId, int], Spread] = field(default_factory=dict)
    """Puts that wait for readers, by group and version."""
    spread_by: dict[int, Spread] = field(default_factory=dict)
    """The same, by the message that must be acknowledged."""
    copies_since: list[Homes] = field(default_factory=list)
    """The placements, none left out, since all homes had said that their readers have everything; empty if unknown."""
    last_tenure: int = 0
    last_link: int = 0
    last_request: int = 0
