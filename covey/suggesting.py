"""Which group rules would have made reads local? What `covey suggest` computes. Pure.

The evidence is what tasks have read together (`covey.model.TaskReads`). Objects that one task reads belong into one
group, and a rule is a template of key fields, so the question is which fields of a key to name, pool by pool, such that

1. no task reads outside one group (one group for everything would do, so that this can always be had), and then
2. the objects that were seen fall into as many groups as possible: small groups are what a mesh can spread.

Fields are matched by their values and not by their names. The pools that tasks read together form components, which
have nothing to do with one another. Within one, a *slot* is a field of each pool such that in every task all the
objects read have one value there. A rule is a row of slots. Each slot can only split groups, never force a read apart,
so all slots together are the finest partition that reads nothing remotely; slots that split nothing are left out. The
work is linear in the records; only components of many pools with many equal fields are cut short (SLOTS_MAX).

A slot whose field never varied is kept: it costs nothing on what was seen, and a mesh with one scene today may have two
tomorrow. That is also where little evidence misleads: while no task has read across two values of a field, every finer
partition looks fine. `notes` say where a suggestion rests on few tasks or on a field with one value.
In the other direction a single task that reads across two groups merges them: no remote reads come first.

A pool that is seen only in triggers which came inline needs no read. It follows its readers (the same slots, where its
keys have such values) as long as they have slots: it would save nothing to put every event's object on one node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, product

from covey.declaration import Declaration, PoolDeclaration
from covey.evidence import Counted, Evidence, Together, count_by_pool
from covey.model import TaskReads

SLOTS_MAX = 10_000
"""Slots of one component that are looked at, those of equally named fields first."""
EVIDENCE_TASKS = 30
"""Fewer tasks that read several objects are little to go by."""

Slot = dict[str, int]
"""Pool -> the position of the field in its template."""


@dataclass(frozen=True, slots=True)
class PoolSuggestion:
    """`group` is the rule to declare, as the text of a template; None: let each key be its own group."""

    pool: PoolDeclaration
    group: str | None
    now: Counted
    then: Counted
    triggers: int
    """Recorded tasks that one of its objects triggered inline."""
    notes: tuple[str, ...] = ()

    @property
    def declared(self) -> bool:
        """Whether the pool has this rule already."""
        kind = "" if self.group is None else "template"
        return (self.pool.group_kind, self.pool.group) == (kind, self.group or "")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What the evidence says, for every pool that was seen; `now` and `then` are over all of them."""

    tasks: int
    pools: tuple[PoolSuggestion, ...]
    now: Counted
    then: Counted


@dataclass(frozen=True, slots=True)
class Component:
    """Pools that are read together, the tasks that did so, and the slots of their rules."""

    pools: tuple[str, ...]
    tasks: tuple[Together, ...]
    slots: tuple[Slot, ...]


def suggest(declaration: Declaration, records: Iterable[TaskReads]) -> Suggestion:
    """The finest template rules under which no recorded task would have read remotely; rules of now play no part."""
    evidence = Evidence(declaration, records)
    components = [_solved(evidence, pools) for pools in _components(evidence)]
    rules: dict[str, str | None] = {}
    followed: dict[int, None] = {}
    for pool in evidence.values:
        if pool not in evidence.read:
            rules[pool] = _following(evidence, pool, components, followed)
    for number, component in enumerate(components):
        rules.update(_rules_of(evidence, component, number in followed))
    return _told(evidence, declaration, components, rules)


# --- the search ------------------------------------------------------------------------------------------------------


def _components(evidence: Evidence) -> list[tuple[str, ...]]:
    """The pools that tasks read together, directly or by way of others; each after one that it was read with."""
    beside: dict[str, dict[str, None]] = {pool: {} for pool in evidence.pools if pool in evidence.read}
    for together in evidence.times:
        pools = [pool for pool, _ in together.read]
        for pool in pools:
            beside[pool].update(dict.fromkeys(pools))
    found: list[tuple[str, ...]] = []
    seen: dict[str, None] = {}
    for first in beside:
        if first in seen:
            continue
        reached = [first]
        for pool in reached:
            reached += [other for other in beside[pool] if other not in reached]
        seen.update(dict.fromkeys(reached))
        found.append(tuple(reached))
    return found


def _solved(evidence: Evidence, pools: tuple[str, ...]) -> Component:
    tasks = tuple([together for together in evidence.times if together.read[0][0] in pools])
    steady, agree = _agreement(evidence, pools, tasks)
    slots = list(islice(_slots(evidence, pools, steady, agree), SLOTS_MAX))
    slots.sort(key=lambda slot: -sum(_name(evidence, pool, slot) == _name(evidence, pools[0], slot) for pool in pools))
    return Component(pools, tasks, tuple(_finest(evidence, pools, slots)))


Pairs = dict[tuple[str, str], list[tuple[int, int]]]


def _agreement(
    evidence: Evidence, pools: tuple[str, ...], tasks: Sequence[Together]
) -> tuple[dict[str, dict[int, None]], Pairs]:
    """Per pool, the fields that have one value within every task; per two pools, the fields with equal values."""
    steady = {pool: dict.fromkeys(range(len(evidence.fields(pool)))) for pool in pools}
    agree: Pairs = {}
    for together in tasks:
        shared = {pool: evidence.shared(pool, keys) for pool, keys in together.read}
        for pool, values in shared.items():
            for field in [field for field in steady[pool] if values[field] is None]:
                del steady[pool][field]
        for mine, theirs in combinations(sorted(shared, key=pools.index), 2):
            pairs: Iterable[tuple[int, int]] = agree.get((mine, theirs), product(steady[mine], steady[theirs]))
            agree[mine, theirs] = [
                (a, b) for a, b in pairs if shared[mine][a] is not None and shared[mine][a] == shared[theirs][b]
            ]
    return steady, agree


def _slots(
    evidence: Evidence, pools: tuple[str, ...], steady: Mapping[str, Mapping[int, None]], agree: Pairs
) -> Iterator[Slot]:
    """Every choice of a steady field of each pool such that any two pools which are read together agree."""

    def extended(slot: Slot) -> Iterator[Slot]:
        if len(slot) == len(pools):
            yield slot
            return
        pool = pools[len(slot)]
        for field in sorted(steady[pool], key=lambda field: evidence.fields(pool)[field] not in _names(evidence, slot)):
            if all((agreed := agree.get((other, pool))) is None or (slot[other], field) in agreed for other in slot):
                yield from extended({**slot, pool: field})

    return extended({})


def _finest(evidence: Evidence, pools: tuple[str, ...], slots: Sequence[Slot]) -> list[Slot]:
    """The slots that name no field twice, and of the others those that still split a pool's groups."""
    chosen: list[Slot] = []
    named: dict[tuple[str, int], None] = {}
    for slot in slots:
        if not any(item in named for item in slot.items()):
            chosen.append(slot)
            named.update(dict.fromkeys(slot.items()))
    for slot in slots:
        for pool, field in slot.items():
            if (pool, field) not in named and _splits(evidence, pool, field, chosen):
                chosen.append(slot)
                named.update(dict.fromkeys(slot.items()))
                break
    return sorted(chosen, key=lambda slot: [slot[pool] for pool in pools])


def _splits(evidence: Evidence, pool: str, field: int, slots: Sequence[Slot]) -> bool:
    """Whether a further field of a pool tells objects apart that its slots do not."""
    fields = [slot[pool] for slot in slots]
    rows = [[values[each] for each in (*fields, field)] for values in evidence.values[pool].values()]
    return len({tuple(row) for row in rows}) > len({tuple(row[:-1]) for row in rows})


# --- rules -----------------------------------------------------------------------------------------------------------


def _rules_of(evidence: Evidence, component: Component, is_followed: bool) -> dict[str, str | None]:
    first, *others = component.pools
    if not others and not is_followed and len(component.slots) == len(evidence.fields(first)):
        return {first: None}  # each key is alone, as it is without a rule
    if not component.slots:
        return dict.fromkeys(component.pools, first)
    return {pool: _text([_name(evidence, pool, slot) for slot in component.slots]) for pool in component.pools}


def _following(evidence: Evidence, pool: str, components: Sequence[Component], followed: dict[int, None]) -> str | None:
    """The rule by which inline triggers live where they are used; None where their keys do not tell."""
    triggered = [
        (number, component, [task for task in component.tasks if task.trigger and task.trigger.pool == pool])
        for number, component in enumerate(components)
    ]
    for number, component, tasks in sorted(triggered, key=lambda each: -sum(evidence.times[task] for task in each[2])):
        slots = component.slots if tasks else ()
        fields = [field for slot in slots if (field := _same_field(evidence, pool, tasks, slot)) is not None]
        if fields and len(fields) == len(slots):
            followed[number] = None
            return _text(fields)
    return None


def _same_field(evidence: Evidence, pool: str, tasks: Sequence[Together], slot: Slot) -> str | None:
    """The field of a trigger's key that has a slot's value in every task, of the slot's own name if there is one."""
    left = list(range(len(evidence.fields(pool))))
    for task in tasks:
        reader, (key, *_) = task.read[0]
        value = evidence.values[reader][key][slot[reader]]
        mine = evidence.values[pool][task.trigger.key if task.trigger else ""]
        left = [field for field in left if mine[field] == value]
    names = [evidence.fields(pool)[field] for field in left]
    return min(names, key=lambda name: name not in _names(evidence, slot), default=None)


def _text(fields: Sequence[str]) -> str:
    return "/".join([f"{{{field}}}" for field in fields])


def _name(evidence: Evidence, pool: str, slot: Slot) -> str:
    return evidence.fields(pool)[slot[pool]]


def _names(evidence: Evidence, slot: Slot) -> list[str]:
    return [_name(evidence, pool, slot) for pool in slot]


# --- what rules come to ----------------------------------------------------------------------------------------------


def with_rules(declaration: Declaration, rules: Mapping[str, str | None]) -> Declaration:
    """The declaration with these template rules, or none, for the pools that are named, and its own for the others."""

    def ruled(pool: PoolDeclaration) -> PoolDeclaration:
        if pool.name not in rules:
            return pool
        rule = rules[pool.name]
        return replace(pool, group_kind="" if rule is None else "template", group=rule or "", strict=False)

    return replace(declaration, pools=tuple([ruled(pool) for pool in declaration.pools])).versioned()


def _told(
    evidence: Evidence, declaration: Declaration, components: Sequence[Component], rules: Mapping[str, str | None]
) -> Suggestion:
    now, now_in_all = count_by_pool(evidence, declaration)
    then, then_in_all = count_by_pool(evidence, with_rules(declaration, rules))
    triggers: Counter[str] = Counter()
    for together, times in evidence.times.items():
        if together.trigger is not None:
            triggers[together.trigger.pool] += times
    notes = {pool: _notes(evidence, component, pool) for component in components for pool in component.pools}
    pools = [
        PoolSuggestion(
            pool, rules[name], now[name], then[name], triggers[name], notes.get(name, ()) if rules[name] else ()
        )
        for name, pool in evidence.pools.items()
        if name in rules
    ]
    return Suggestion(evidence.times.total(), tuple(pools), now_in_all, then_in_all)


def _notes(evidence: Evidence, component: Component, pool: str) -> tuple[str, ...]:
    """What to bear in mind of a rule."""
    notes = []
    if not component.slots:
        notes.append("tasks read across every field, so that one node gets all of these objects")
    several = sum(evidence.times[task] for task in component.tasks if task.trigger or _many(task.read))
    if several < EVIDENCE_TASKS:
        notes.append(f"thin evidence: {several} recorded tasks used several objects")
    for slot in component.slots:
        values = {row[slot[pool]] for row in evidence.values[pool].values()}
        if len(values) == 1:
            notes.append(
                f"{_name(evidence, pool, slot)} was always {values.pop()!r}: nothing shows whether tasks read across it"
            )
    return tuple(notes)


def _many(read: Sequence[tuple[str, tuple[str, ...]]]) -> bool:
    return sum(len(keys) for _, keys in read) > 1
