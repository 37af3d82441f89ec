"""What the live runs run: a chain of three on emulated devices, and the identity, to measure the mesh itself.

No stage does anything but hand on what it was given, so that on an emulated device time is the profile's, and on the
CPU it is the mesh's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import covey

OBJECTIVE_S = 3.0
BATCH_MAX = 8
PAYLOAD = b"x" * 64


def build(name: str, stages: tuple[str, ...]) -> covey.Pipeline:
    """A chain of identities, which store nothing."""
    app = covey.Pipeline(name, objective_s=OBJECTIVE_S)
    pools = [app.pool(f"/{pool}/{{n:int}}", codec="bytes", transient=True) for pool in ("events", *stages)]
    for stage, source, target in zip(stages, pools, pools[1:], strict=False):
        _add(app, stage, source, target)
    return app


def _add(app: covey.Pipeline, name: str, source: Any, target: Any) -> None:
    def hand_on(batch: covey.Batch) -> None:
        for task in batch:
            task.emit(target, task.trigger.value)

    hand_on.__name__ = name
    app.stage(on=source, emits=target, batch_max=BATCH_MAX)(hand_on)


chain = build("chain", ("screen", "classify", "identify"))
one = build("one", ("first",))
three = build("three", ("first", "second", "third"))


def events(count: int = 64) -> Iterator[tuple[str, bytes]]:
    """Samples for `covey profile`."""
    for number in range(count):
        yield f"/events/{number}", PAYLOAD
