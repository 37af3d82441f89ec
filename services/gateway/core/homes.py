"""Where does a group live, and which nodes can answer a read? Plain functions of the view. Pure."""

from __future__ import annotations

from covey.declaration import Declaration, PoolDeclaration
from covey.edge import GroupWanted, KeyWanted, PrefixWanted, SeriesWanted, Wanted
from covey.errors import InvalidArgument, NotFound, Reason, Unavailable
from covey.grouping import TemplateRule
from covey.model import GroupId, KeyRead, LastRead, Node, Read, ScanRead, Scope
from covey.services.gateway.core.admission import address_of
from covey.services.gateway.core.state import State

READ_MAX = 10_000
"""Objects that one get may ask for."""


def home_of(state: State, scope: Scope, group: str) -> Node:
    """The node where a group lives. Raises Unavailable while there is no node."""
    if state.view is None or not state.homes.nodes:
        raise Unavailable("no datastore has joined the mesh", Reason.NO_HOME)
    name = state.homes.of(GroupId(scope, group))
    return next(node for node in state.view.placement.nodes if node.id == name)


def read_of(state: State, scope: Scope, declaration: Declaration, wanted: Wanted) -> Read:
    """What a client wants, with the nodes to ask: the home of the group where it can be named, else all of them."""
    if not state.homes.nodes:
        raise Unavailable("no datastore has joined the mesh", Reason.NO_HOME)
    match wanted:
        case KeyWanted(key, version, group):
            address = address_of(declaration, key, group, 0)
            node = home_of(state, scope, address.ref.group).id
            return KeyRead(address.pool.name, key, address.ref.group, version, node, required=False)
        case SeriesWanted(series, count, as_of):
            pool, nodes = _series_nodes(state, scope, declaration, series)
            return LastRead(pool.name, series, _checked(count), as_of, exclusive=False, nodes=nodes)
        case PrefixWanted(prefix, limit):
            pool = _pool_of_prefix(declaration, prefix)
            return ScanRead(pool.name, prefix, "", _checked(limit), state.homes.nodes)
        case GroupWanted(name, group, limit):
            pool = declaration.pool(name)
            return ScanRead(pool.name, "", group, _checked(limit), (home_of(state, scope, group).id,))


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
