"""How is one latency objective split among the stages of a DAG?

Time is cut into slots. For each stage it is known what it costs to be done within so many; wanted are the slots of
each, at least cost, so that no path has more than all of them. The DAG is taken apart into parts in series, whose costs
are combined by trying every split, and parts side by side, which have the same slots and whose costs add up: the
dynamic programme of Nexus (Shen et al., SOSP 2019), from trees to series-parallel graphs. A DAG that can't be taken
apart so is cut into levels that follow one another: what results holds, and may cost more than it has to.
O(stages * slots^2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from covey.services.scheduler.core.provision import Edge


class _Part(NamedTuple):
    """Some stages, and what they cost by the slots that they have. The kind says how `parts` lie."""

    costs: tuple[float, ...]
    stage: str = ""
    parts: tuple[_Part, ...] = ()
    in_series: bool = False


class _Arc(NamedTuple):
    """A part between two nodes of the graph that is being reduced."""

    tail: str
    head: str
    part: _Part


SOURCE, SINK = "source", "sink"


def split(edges: Sequence[Edge], costs: Mapping[str, Sequence[float]]) -> dict[str, int] | None:
    """Slots by stage, as few as the least cost takes; `costs` (stage -> cost by slots from 0 on) fall as slots grow.

    None if no path can be that short.
    """
    whole = _whole(edges, {stage: _Part(tuple(of), stage) for stage, of in costs.items()})
    least = whole.costs[-1]
    if least == float("inf"):
        return None
    slots: dict[str, int] = {}
    _give(whole, whole.costs.index(least), slots)
    return slots


def depths(stages: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Stages on the longest path that ends with each; `stages` in topological order."""
    found = {"": 0}
    for stage in stages:
        found[stage] = 1 + max(found[edge.source] for edge in edges if edge.target == stage)
    del found[""]
    return found


def _whole(edges: Sequence[Edge], leaves: Mapping[str, _Part]) -> _Part:
    free = _Part((0.0,) * len(next(iter(leaves.values())).costs))
    ends = [stage for stage in leaves if not any(edge.source == stage for edge in edges)]
    arcs = [_Arc(f"{stage} begins", f"{stage} ends", leaf) for stage, leaf in leaves.items()]
    arcs += [_Arc(f"{source} ends" if source else SOURCE, f"{target} begins", free) for source, target in edges]
    arcs += [_Arc(f"{stage} ends", SINK, free) for stage in ends]
    before = len(arcs) + 1
    while len(arcs) < before:
        before = len(arcs)
        arcs = _merge_side_by_side(arcs)
        arcs = _merge_in_series(arcs)
    if len(arcs) == 1:
        return arcs[0].part
    levels: dict[int, list[_Part]] = {}
    for stage, depth in depths(list(leaves), edges).items():
        levels.setdefault(depth, []).append(leaves[stage])
    whole = free
    for level in levels.values():
        abreast = free
        for part in level:
            abreast = _side_by_side(abreast, part)
        whole = _in_series(whole, abreast)
    return whole


def _merge_side_by_side(arcs: Sequence[_Arc]) -> list[_Arc]:
    merged: dict[tuple[str, str], _Part] = {}
    for tail, head, part in arcs:
        known = merged.get((tail, head))
        merged[tail, head] = part if known is None else _side_by_side(known, part)
    return [_Arc(tail, head, part) for (tail, head), part in merged.items()]


def _merge_in_series(arcs: Sequence[_Arc]) -> list[_Arc]:
    """Remove every inner node that has one arc to it and one from it."""
    left = list(arcs)
    for node in dict.fromkeys(arc.head for arc in arcs):
        into = [arc for arc in left if arc.head == node]
        out_of = [arc for arc in left if arc.tail == node]
        if len(into) == 1 and len(out_of) == 1:
            left = [arc for arc in left if node not in (arc.head, arc.tail)]
            left.append(_Arc(into[0].tail, out_of[0].head, _in_series(into[0].part, out_of[0].part)))
    return left


def _side_by_side(one: _Part, other: _Part) -> _Part:
    if not _has_stages(one) or not _has_stages(other):
        return other if _has_stages(other) else one
    costs = tuple(a + b for a, b in zip(one.costs, other.costs, strict=True))
    return _Part(costs, parts=(one, other))


def _in_series(first: _Part, then: _Part) -> _Part:
    if not _has_stages(first) or not _has_stages(then):
        return then if _has_stages(then) else first
    costs = tuple(min(_splits(first, then, slots)) for slots in range(len(first.costs)))
    return _Part(costs, parts=(first, then), in_series=True)


def _splits(first: _Part, then: _Part, slots: int) -> list[float]:
    """What it costs if the first has 0, 1, ... of the slots."""
    return [a + b for a, b in zip(first.costs[: slots + 1], then.costs[slots::-1], strict=True)]


def _has_stages(part: _Part) -> bool:
    return bool(part.stage or part.parts)


def _give(part: _Part, slots: int, into: dict[str, int]) -> None:
    if part.stage:
        into[part.stage] = slots
    elif part.in_series:
        first, then = part.parts
        splits = _splits(first, then, slots)
        given = splits.index(min(splits))
        _give(first, given, into)
        _give(then, slots - given, into)
    else:
        for inner in part.parts:
            _give(inner, slots, into)
