"""Whether a put may be stored here, and what must be known first. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from covey.declaration import PoolDeclaration
from covey.errors import InvalidArgument, Reason, Unavailable
from covey.grouping import KEY_BYTES_MAX, Scope, check_key
from covey.messages import Put
from covey.model import OBJECT_BYTES_MAX, GroupId, ObjectRef
from covey.services.datastore.core.answering import declared
from covey.services.datastore.core.commands import FindKeys
from covey.services.datastore.core.state import Blocker, GroupLoad, Loading, Parked, Place, SeriesId, State


def admit(state: State, put: Put) -> Place:
    """Where the put's object belongs. Raises a CoveyError if it can't be stored here."""
    ref = put.ref
    pools = declared(state, put.scope, ref.pool)
    check_key(ref.key)
    place = place_of(pools, put.scope, ref)
    if place is None:
        raise InvalidArgument(f"key {ref.key!r} does not match the template {pools[0].template!r} of pool {ref.pool!r}")
    if len(place.group.group.encode()) > KEY_BYTES_MAX:
        raise InvalidArgument(f"a group has at most {KEY_BYTES_MAX} bytes: {place.group.group[:80]!r}")
    size = len(put.payload) or ref.size
    bytes_max = min(OBJECT_BYTES_MAX, state.limits.memory_bytes_max)
    if size > bytes_max:
        raise InvalidArgument(f"an object has at most {bytes_max:,} bytes, not {size:,}", Reason.TOO_LARGE)
    return place


def place_of(pools: Iterable[PoolDeclaration], scope: Scope, ref: ObjectRef) -> Place | None:
    """Where an object belongs by the first of the pools that has its key: an older one, during a rolling update."""
    for pool in pools:
        template = pool.compiled
        fields = template.match(ref.key)
        if fields is not None:
            group_id = GroupId(scope, ref.group or pool.group_of(ref.key, fields)[0])
            if template.index is None:
                return Place(pool, group_id, None, "")
            return Place(pool, group_id, int(fields[template.index]), template.series(fields))
    return None


def unknown(state: State, place: Place, parked: Parked) -> tuple[Blocker, ...]:
    """What must be loaded before a durable put can be numbered. Raises Unavailable if storage failed to."""
    blockers: list[Blocker] = []
    group = state.groups.get(place.group)
    if group is None or group.loading is not Loading.DONE:
        blockers.append(GroupLoad(place.group))
    if place.series and place.pool.keep_last:
        scope, pool = place.group.scope, place.pool.name
        series = state.series.get(SeriesId(scope, pool, place.series))
        keys = FindKeys(scope, pool, series=place.series, epoch=state.homes.placement.epoch)
        if (series is None or not series.complete) and keys not in parked.found:
            blockers.append(keys)
    if any(blocker in parked.failed for blocker in blockers):
        raise Unavailable("what storage holds could not be read", Reason.STORAGE_FAILED)
    return tuple(blockers)
