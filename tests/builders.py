"""Values that tests need and do not care about, with everything dull filled in."""

from __future__ import annotations

from covey.declaration import (
    Declaration,
    Join,
    Missing,
    Need,
    NeedKind,
    PoolDeclaration,
    StageDeclaration,
)
from covey.model import Event, ObjectRef, Priority, Scope

SCOPE = Scope("default", "collisions")


def collisions(missing: Missing = Missing.DROP, timeout_s: float = 0.0, batch_max: int = 32) -> Declaration:
    """The pipeline of the example: a stateful stage, a batched one with a history, a join."""
    return Declaration(
        pipeline="collisions",
        objective_s=0.2,
        pools=(
            PoolDeclaration("observations", "/observations/{scene}/{tick:int}", "template", "{scene}"),
            PoolDeclaration("tracks", "/tracks/{scene}", "template", "{scene}"),
            PoolDeclaration(
                "positions", "/positions/{scene}/{actor}/{tick:int}", "template", "{scene}/{actor}", keep_last=8
            ),
            PoolDeclaration("predictions", "/predictions/{scene}/{tick:int}/{actor}", "template", "{scene}/{tick}"),
            PoolDeclaration("alerts", "/alerts/{scene}/{tick:int}/{pair}"),
        ),
        stages=(
            StageDeclaration(
                "track",
                on="observations",
                needs=(Need("tracks", NeedKind.LATEST),),
                emits=("positions", "tracks"),
            ),
            StageDeclaration(
                "predict",
                on="positions",
                needs=(Need("positions", NeedKind.LAST, count=8),),
                emits=("predictions",),
                batch_max=batch_max,
            ),
            StageDeclaration(
                "collide",
                on="predictions",
                join=Join(("scene", "tick"), missing, timeout_s),
                emits=("alerts",),
            ),
        ),
    ).versioned()


def event(
    tick: int = 0,
    scene: str = "s",
    *,
    event_id: str = "",
    deadline: float = 10.0,
    priority: Priority = Priority.HIGH,
    payload: bytes | None = b"observed",
    declaration: str = "",
) -> Event:
    """An observation of one scene at one tick."""
    ref = ObjectRef("observations", f"/observations/{scene}/{tick}", scene, size=len(payload or b"") or 1 << 20)
    name = event_id or f"{scene}-{tick}"
    return Event(SCOPE, name, ref, payload, priority, deadline, declaration)
