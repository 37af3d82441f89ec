"""What the scheduler's core is told has happened. `peer` numbers a link; numbers are never used again."""

from __future__ import annotations

from covey.declaration import Declaration
from covey.messages import (
    BatchReport,
    Beat,
    CancelEvent,
    GatewayJoined,
    LaneReady,
    NodeJoined,
    SubmitEvent,
    WorkerJoined,
)
from covey.model import GroupId
from covey.values import dataclass


@dataclass(frozen=True, slots=True)
class Elected:
    """This process leads from now on, in this epoch."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Declared:
    """The registry has this declaration as the current one of its pipeline."""

    tenant: str
    declaration: Declaration


@dataclass(frozen=True, slots=True)
class GroupsPinned:
    """The correlation metadata says where these groups live; it replaces what it said before."""

    homes: tuple[tuple[GroupId, str], ...]


@dataclass(frozen=True, slots=True)
class GatewayConnected:
    peer: int
    joined: GatewayJoined


@dataclass(frozen=True, slots=True)
class WorkerConnected:
    peer: int
    joined: WorkerJoined


@dataclass(frozen=True, slots=True)
class NodeConnected:
    peer: int
    joined: NodeJoined


@dataclass(frozen=True, slots=True)
class PeerLost:
    """A link ended, whoever was at the other end."""

    peer: int


@dataclass(frozen=True, slots=True)
class PeerSaid:
    """A message of a connected peer."""

    peer: int
    message: SubmitEvent | CancelEvent | BatchReport | LaneReady | Beat


@dataclass(frozen=True, slots=True)
class MetadataWritten:
    """The write-behind of group records has ended. Losing some is harmless: the next one carries newer figures."""

    failed: bool = False


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Admit nothing more; what is open may finish."""


Stimulus = (
    Elected
    | Declared
    | GroupsPinned
    | GatewayConnected
    | WorkerConnected
    | NodeConnected
    | PeerLost
    | PeerSaid
    | MetadataWritten
    | StopRequested
)
