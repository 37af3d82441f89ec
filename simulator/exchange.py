"""What a gateway or worker asks of datastores: puts and gets over one link a node, dialled when first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from covey.errors import Reason, Status
from covey.grouping import Scope
from covey.messages import FromDatastore, Get, GetDone, Put, PutDone, Watched
from covey.model import Answer, ObjectRef, Placement, Read
from covey.reads import Fetched, gather, split_by_node
from covey.simulator.network import End, Network
from covey.simulator.world import Process

Done = Callable[[Any], None]


class Exchange:
    """A process's requests to datastores. A lost link fails what was asked over it, as UNAVAILABLE."""

    def __init__(self, process: Process[Any, Any], network: Network) -> None:
        self._process = process
        self._network = network
        self._links: dict[str, End] = {}
        self._queued: dict[str, list[Put | Get]] = {}
        self._asked: dict[int, tuple[str, Put | Get, Done]] = {}
        self._nodes: dict[str, None] = {}
        self._last = 0

    def set_nodes(self, placement: Placement) -> None:
        """From now on these are the nodes; links to others are closed."""
        self._nodes = {node.id: None for node in placement.nodes}
        for name in [name for name in self._links if name not in self._nodes]:
            self._links[name].close()
            self._fail([name])

    def put(self, node: str, put: Put, deadline: float, done: Callable[[PutDone], None]) -> None:
        """Store an object, under a request number of our own; `done` gets the answer, whatever happens."""
        self._last += 1
        self._ask(node, replace(put, request=self._last), done)
        self._process.world.at(deadline, self._expire, self._last)

    def fetch(
        self,
        scope: Scope,
        reads: Sequence[Read],
        deadline: float,
        node: str,
        done: Callable[[Fetched], None],
        known: Mapping[Read, tuple[ObjectRef, ...]] | None = None,
    ) -> None:
        """Ask each node for its part of the reads; `done` gets them merged. `node` is the one that is not remote.

        What a read may find and is `known` comes without its payload.
        """
        split = split_by_node(reads)
        answered: dict[str, Sequence[Answer]] = {}

        def take(name: str, answer: GetDone) -> None:
            answered[name] = answer.answers
            if len(answered) == len(split):
                done(gather(reads, answered, node))

        for name, positions in split.items():
            self._last += 1
            wanted = tuple([reads[position] for position in positions])
            held = tuple([ref for read in wanted for ref in known.get(read, ())]) if known else ()
            get = Get(self._last, scope, wanted, deadline, known=held)
            self._ask(name, get, partial(take, name))
            self._process.world.at(deadline, self._expire, self._last)
        if not split:
            done(gather(reads, answered, node))

    def heard(self, messages: Sequence[FromDatastore]) -> None:
        """Answers have come."""
        for message in messages:
            asked = self._asked.pop(message.request, None)
            if asked is not None and not isinstance(message, Watched):
                asked[2](message)

    def ended(self, end: End) -> None:
        """A link to a node is gone, with all that was asked over it."""
        self._fail([name for name, link in self._links.items() if link is end])

    def _ask(self, node: str, request: Put | Get, done: Done) -> None:
        if node not in self._nodes:
            done(_failure(request, Status.UNAVAILABLE, Reason.NO_HOME, f"no datastore of node {node!r} is known"))
            return
        self._asked[request.request] = (node, request, done)
        if node in self._links:
            self._links[node].send(request)
        elif node in self._queued:
            self._queued[node].append(request)
        else:
            self._queued[node] = [request]
            self._network.dial(self._process, node, "exchange", lambda end: self._dialled(node, end))

    def _dialled(self, node: str, end: End | None) -> None:
        queued = self._queued.pop(node)
        if end is None:
            self._fail([node])
            return
        self._links[node] = end
        for request in queued:
            end.send(request)

    def _fail(self, nodes: Sequence[str]) -> None:
        for name in nodes:
            self._links.pop(name, None)
        for number in [number for number, (name, _, _) in self._asked.items() if name in nodes]:
            name, request, done = self._asked.pop(number)
            done(_failure(request, Status.UNAVAILABLE, Reason.HOME_LOST, f"node {name!r} can't be reached"))

    def _expire(self, number: int) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None and self._process.alive:
            name, request, done = asked
            done(_failure(request, Status.DEADLINE_EXCEEDED, Reason.LATE, f"node {name!r} did not answer in time"))


def _failure(request: Put | Get, status: Status, reason: Reason, message: str) -> PutDone | GetDone:
    if isinstance(request, Put):
        return PutDone(request.request, None, status, reason, message)
    answer = Answer((), False, status, reason, message)
    return GetDone(request.request, tuple([answer for _ in request.reads]))
