"""Whether a put may be stored here, and what must be known first. Pure."""

from __future__ import annotations

from covey.declaration import PoolDeclaration
from covey.errors import InvalidArgument, Moved, Reason, Unavailable
from covey.grouping import KEY_BYTES_MAX, check_key
from covey.messages import Put
from covey.model import OBJECT_BYTES_MAX, GroupId
from covey.services.datastore.core.answering import declared
from covey.services.datastore.core.commands import FindKeys
from covey.services.datastore.core.state import Blocker, GroupLoad, Loading, Parked, SeriesId, State, lives_here

INDEX_MAX = 2**63 - 1


def admit(state: State, put: Put) -> tuple[PoolDeclaration, int | None, GroupId]:
    """The put's pool, index and group. Raises a CoveyError if it can't be stored here."""
    ref = put.ref
    pools = declared(state, put.scope, ref.pool)
    check_key(ref.key)
    # Under a rolling update the key may be one of an older declaration.
    pool = next((pool for pool in pools if pool.compiled.match(ref.key) is not None), pools[0])
    fields = pool.fields_of(ref.key)
    group_id = GroupId(put.scope, ref.group or pool.group_of(ref.key, fields)[0])
    if len(group_id.group.encode()) > KEY_BYTES_MAX:
        raise InvalidArgument(f"a group has at most {KEY_BYTES_MAX} bytes: {group_id.group[:80]!r}")
    if not lives_here(state, group_id):
        raise Moved(f"group {group_id.group!r} does not live on node {state.node}")
    index = int(fields[pool.compiled.index]) if pool.compiled.index is not None else None
    if index is not None and not -INDEX_MAX <= index <= INDEX_MAX:
        raise InvalidArgument(f"the index of {ref.key} does not fit in 64 bits")
    size = len(put.payload) or ref.size
    bytes_max = min(OBJECT_BYTES_MAX, state.limits.memory_bytes_max)
    if size > bytes_max:
        raise InvalidArgument(f"an object has at most {bytes_max:,} bytes, not {size:,}", Reason.TOO_LARGE)
    return pool, index, group_id


def unknown(
    state: State, put: Put, pool: PoolDeclaration, index: int | None, group_id: GroupId, parked: Parked
) -> tuple[Blocker, ...]:
    """What must be loaded before a durable put can be numbered. Raises Unavailable if storage failed to."""
    blockers: list[Blocker] = []
    group = state.groups.get(group_id)
    if group is None or group.loading is not Loading.DONE:
        blockers.append(GroupLoad(group_id))
    if index is not None and pool.keep_last:
        series_id = SeriesId(put.scope, pool.name, pool.compiled.series(pool.fields_of(put.ref.key)))
        series = state.series.get(series_id)
        keys = FindKeys(put.scope, pool.name, series=series_id.series)
        if (series is None or not series.complete) and keys not in parked.found:
            blockers.append(keys)
    if any(blocker in parked.failed for blocker in blockers):
        raise Unavailable("what storage holds could not be read", Reason.STORAGE_FAILED)
    return tuple(blockers)
