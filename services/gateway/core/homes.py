"""Where does a group live, and which nodes can answer a read? Plain functions of the view. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from covey.declaration import Declaration, PoolDeclaration
from covey.edge import GroupWanted, KeysWanted, KeyWanted, PrefixWanted, SeriesWanted, Wanted
from covey.errors import InvalidArgument, NotFound, Reason, Unavailable
from covey.grouping import TemplateRule
from covey.model import GroupId, KeyRead, LastRead, Node, Read, ScanRead, Scope
from covey.services.gateway.core.admission import Address, address_of
from covey.services.gateway.core.state import State

READ_MAX = 10_000
"""Objects that one get may ask for."""


def home_of(state: State, scope: Scope, group: str) -> Node:
    """The node where a group lives. Raises Unavailable while there is no node."""
    if state.view is None or not state.homes.nodes:
        raise Unavailable("no datastore has joined the mesh", Reason.NO_HOME)
    name = state.homes.of(GroupId(scope, group))
    return next(node for node in state.view.placement.nodes if node.id == name)


def addresses_of(declaration: Declaration, wanted: Wanted) -> tuple[Address, ...]:
    """Where the objects belong that a client names by their keys. Raises InvalidArgument or NotFound.

    A pool that is strict refuses to be read together with another group: that is what it is strict about.
    """
    match wanted:
        case KeyWanted(key, _, group):
            return (address_of(declaration, key, group, 0),)
        case KeysWanted(keys, group):
            _checked(len(keys))
            addresses = tuple([address_of(declaration, key, group, 0) for key in keys])
            strict = next((address.pool.name for address in addresses if address.pool.strict), "")
            if strict and spans_groups(addresses):
                raise InvalidArgument(f"pool {strict!r} is strict, and the keys are of several groups", Reason.NO_GROUP)
            return addresses
        case SeriesWanted() | PrefixWanted() | GroupWanted():
            return ()
        case _:
            assert_never(wanted)


def spans_groups(addresses: Sequence[Address]) -> bool:
    return any(address.ref.group != addresses[0].ref.group for address in addresses)


def reads_of(
    state: State, scope: Scope, declaration: Declaration, wanted: Wanted, addresses: Sequence[Address], at: float
) -> tuple[Read, ...]:
    """What a client wanted at the instant `at`, with the nodes to ask: homes where they can be named, else all nodes.

    `addresses` are those of `addresses_of`.
    """
    if not state.homes.nodes:
        raise Unavailable("no datastore has joined the mesh", Reason.NO_HOME)
    match wanted:
        case KeyWanted() | KeysWanted():
            version = wanted.version if isinstance(wanted, KeyWanted) else 0
            as_of = _instant(wanted.age_s, version, at)
            return tuple([_key_read(state, scope, address, version, as_of) for address in addresses])
        case SeriesWanted(series, count, as_of_index):
            pool, nodes = _series_nodes(state, scope, declaration, series)
            return (LastRead(pool.name, series, _checked(count), as_of_index, exclusive=False, nodes=nodes),)
        case PrefixWanted(prefix, limit):
            pool = _pool_of_prefix(declaration, prefix)
            return (ScanRead(pool.name, prefix, "", _checked(limit), state.homes.nodes),)
        case GroupWanted(name, group, limit):
            if name:
                declaration.pool(name)
            return (ScanRead(name, "", group, _checked(limit), (home_of(state, scope, group).id,)),)
        case _:
            assert_never(wanted)


def _key_read(state: State, scope: Scope, address: Address, version: int, as_of: float | None) -> KeyRead:
    ref = address.ref
    node = home_of(state, scope, ref.group).id
    return KeyRead(ref.pool, ref.key, ref.group, version, node, required=False, as_of=as_of)


def _instant(age_s: float | None, version: int, at: float) -> float | None:
    """The instant that a read looks back to."""
    if age_s is None:
        return None
    if version:
        raise InvalidArgument("a get names a version or a time, not both")
    if age_s < 0:
        raise InvalidArgument(f"the time that is asked for is {-age_s:.3f} s in the future")
    return at - age_s


def _checked(count: int) -> int:
    if not 1 <= count <= READ_MAX:
        raise InvalidArgument(f"a get asks for 1 to {READ_MAX:,} objects, not {count:,}")
    return count


def _series_nodes(
    state: State, scope: Scope, declaration: Declaration, series: str
) -> tuple[PoolDeclaration, tuple[str, ...]]:
    """The pool of a series, and the nodes that may hold its objects."""
    if series.count("*") != 1:
        raise InvalidArgument(f"a series is a key with one '*' in place of its index, not {series!r}")
    key = series.replace("*", "0")
    pool, fields = declaration.pool_of_key(key)
    if pool.compiled.index is None or pool.compiled.series(fields) != series:
        raise InvalidArgument(f"the '*' of {series!r} is not where pool {pool.name!r} ({pool.template}) has its index")
    rule = pool.rule
    if isinstance(rule, TemplateRule) and pool.compiled.index not in rule.names:
        return pool, (home_of(state, scope, rule.group_of(key, fields) or key).id,)
    return pool, state.homes.nodes


def _pool_of_prefix(declaration: Declaration, prefix: str) -> PoolDeclaration:
    """The one pool whose keys can begin with `prefix`."""
    if not prefix.startswith("/"):
        raise InvalidArgument(f"a prefix starts with '/': {prefix[:80]!r}")
    found = [pool for pool in declaration.pools if _may_begin(pool.template, prefix)]
    if not found:
        known = ", ".join(pool.template for pool in declaration.pools)
        raise NotFound(
            f"no key of {declaration.pipeline!r} begins with {prefix!r}; templates: {known}", Reason.UNKNOWN_POOL
        )
    if len(found) > 1:
        names = ", ".join(pool.name for pool in found)
        raise InvalidArgument(f"the prefix {prefix!r} fits several pools: {names}; make it longer")
    return found[0]


def _may_begin(template: str, prefix: str) -> bool:
    """Whether a key of the template can begin with `prefix`, judged part by part."""
    parts, wanted = template.split("/"), prefix.split("/")
    if len(wanted) > len(parts):
        return False
    *whole, last = zip(parts, wanted, strict=False)
    return all(_is_part(part, text) for part, text in whole) and _begins_part(*last)


def _is_part(part: str, text: str) -> bool:
    literal, brace, _ = part.partition("{")
    return text.startswith(literal) if brace else text == literal


def _begins_part(part: str, text: str) -> bool:
    literal, brace, _ = part.partition("{")
    return literal.startswith(text) or (bool(brace) and text.startswith(literal))
