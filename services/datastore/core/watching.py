"""Who watches which pool, and what they are told. Pure."""

from __future__ import annotations

from covey.errors import CoveyError, Reason, ResourceExhausted, Status
from covey.grouping import Scope
from covey.messages import Watch, Watched
from covey.model import ObjectValue
from covey.services.datastore.core.answering import declared
from covey.services.datastore.core.commands import Send
from covey.services.datastore.core.state import PoolId, State


def begin(state: State, link: int, watch: Watch) -> list[Send]:
    """From now on the link is told of every put into the pool, or told why not."""
    try:
        declared(state, watch.scope, watch.pool)
        if sum(map(len, state.watches.values())) >= state.limits.watches_max:
            raise ResourceExhausted(f"node {state.node} has {state.limits.watches_max:,} watches already")
    except CoveyError as error:
        return [Send(link, Watched(watch.request, None, error.status, error.reason, error.message))]
    state.watches.setdefault(PoolId(watch.scope, watch.pool), {})[link, watch.request] = None
    return []


def tell(state: State, scope: Scope, value: ObjectValue) -> list[Send]:
    """Tell those who watch the pool of a new version."""
    watches = state.watches.get(PoolId(scope, value.ref.pool), ())
    return [Send(link, Watched(request, value)) for link, request in watches]


def end(state: State, link: int, request: int | None = None) -> list[int]:
    """End the watch of this request, or all of the link, without a word; the requests that watched."""
    ended = []
    for pool, watches in list(state.watches.items()):
        for watch in [found for found in watches if found[0] == link and request in (None, found[1])]:
            del watches[watch]
            ended.append(watch[1])
        if not watches:
            del state.watches[pool]
    return ended


def cut_off(state: State, link: int) -> list[Send]:
    """End the watches of a reader that is too slow, and say so."""
    message = "more objects wait to be read than a watch may leave unread"
    ended = end(state, link)
    state.counts.slow_readers += len(ended)
    return [
        Send(link, Watched(request, None, Status.RESOURCE_EXHAUSTED, Reason.SLOW_READER, message)) for request in ended
    ]
