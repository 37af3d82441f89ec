"""What follows from a declaration, looked up once for all of its tasks."""

from __future__ import annotations

from covey.declaration import Declaration, Missing, Need, NeedKind, PoolDeclaration, StageDeclaration, graph
from covey.grouping import TemplateRule
from covey.model import Scope
from covey.services.scheduler.core.state import PipelinePlan, StageId, StagePlan


def compiled(scope: Scope, declaration: Declaration) -> PipelinePlan:
    """A version of a pipeline with what the core looks up for every task."""
    found = graph(declaration)
    stages = {}
    for stage in declaration.stages:
        below = [other for other in declaration.stages if other.join and stage.name in found.upstream[other.name]]
        joins = [other.join.missing for other in below if other.join is not None]
        stages[stage.name] = StagePlan(
            id=StageId(scope, declaration.version, stage.name),
            declaration=stage,
            pool=found.pools[stage.on],
            needs=tuple(found.pools[need.pool] for need in stage.needs),
            state_pool=found.pools[stage.state_pool] if stage.state_pool is not None else None,
            foreseeable=_foreseeable(declaration, stage),
            fatal=Missing.DROP in joins,
            homeless=not stage.needs and all(found.pools[name].transient for name in (stage.on, *stage.emits)),
            tolerated=bool(joins) and Missing.DROP not in joins,
            followers=tuple(other.name for other in declaration.stages if other.on in stage.emits and other != stage),
        )
    recorded = frozenset(pool.name for pool in declaration.pools if _outlives_an_index(pool))
    foresees = any(plan.foreseeable for plan in stages.values())
    return PipelinePlan(scope, declaration, found, stages, recorded, foresees)


def _foreseeable(declaration: Declaration, stage: StageDeclaration) -> tuple[tuple[Need, PoolDeclaration], ...]:
    """The needs that name their keys, but for the state; of a stage that comes after another."""
    if not graph(declaration).upstream[stage.name]:
        return ()
    return tuple(
        (need, declaration.pool(need.pool))
        for need in stage.needs
        if need.kind is not NeedKind.LAST and need.pool not in (stage.state_pool, stage.on)
    )


def _outlives_an_index(pool: PoolDeclaration) -> bool:
    rule = pool.rule
    return (
        not pool.transient
        and rule is not None
        and not (isinstance(rule, TemplateRule) and pool.compiled.index in rule.names)
    )
