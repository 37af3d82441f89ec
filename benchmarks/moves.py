"""What do moves of groups cost, and do they lose, double or reorder anything?

    python -m benchmarks.moves [--moves 100] [--rate 60] [--nodes 3]

Replays the aircraft over Paris through the whole mesh, real processes on this machine: first with every scene staying
where it is, then with a scene pinned to another node every third of a second. Each move carries the scene's objects
and those of its actors along while events of the scene are in flight. The alerts are compared with those of one plain
process. The last line is one JSON object:

* `lost`: events without an outcome or with one that is not OK and whole, and alerts that the reference has alone;
* `doubled`: alerts that the reference has not, and objects that were put more than once (seen by a subscription);
* `reordered`: actors whose last positions were numbered in another order than that of their ticks;
* `latency_ms`: of the events that were sent while nothing moved, and while scenes did.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import covey
from covey.client import Client
from covey.clock import MonotonicClock
from covey.cluster import LocalCluster
from covey.embedded_valkey import embedded_valkey
from covey.errors import Status
from covey.model import GroupId, Outcome, Scope
from covey.services.scheduler.metadata import ValkeyMetadata
from covey.valkey import valkey_client
from examples.collisions import reference
from examples.collisions.model import TrajectoryModel
from examples.collisions.tracks import Frame, Replay, load

APP = "examples.collisions.pipeline:app"
SCOPE = Scope("default", "collisions")
DEADLINE_S = 30.0
MOVE_EVERY_S = 0.33
CALM_SHARE = 0.25
"""Of the events, those that are sent before anything moves."""

clock = MonotonicClock()


@dataclass
class Tally:
    """What came of the events, and what subscriptions saw."""

    outcomes: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    sent_at: dict[tuple[str, int], float] = field(default_factory=dict)
    latency_s: dict[tuple[str, int], float] = field(default_factory=dict)
    alerts: set[reference.Alert] = field(default_factory=set)
    puts: Counter[str] = field(default_factory=Counter)
    moves: int = 0
    moving_from: float = float("inf")


async def replay_with_moves(
    client: Client, pins: ValkeyMetadata, nodes: Sequence[str], frames: Sequence[Frame], moves: int, rate: float
) -> Tally:
    """Send the frames at a rate, and move scenes from a quarter of the way on."""
    tally = Tally()
    scenes = sorted({frame.scene for frame in frames})
    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(_watch(client, pool, tally)) for pool in ("positions", "alerts")]
        mover: asyncio.Task[None] | None = None
        async with client.stream() as stream:
            started = clock.now()
            for number, frame in enumerate(frames):
                await asyncio.sleep(max(0.0, started + number / rate - clock.now()))
                if mover is None and number >= CALM_SHARE * len(frames):
                    mover = group.create_task(_move(pins, scenes, nodes, moves, tally))
                name = (frame.scene, frame.tick)
                tally.sent_at[name] = clock.now()
                key = f"/observations/{frame.scene}/{frame.tick}"
                pending = await stream.send(key, frame.positions, deadline_s=DEADLINE_S)
                group.create_task(_answer(pending, name, tally))
        for task in watching:
            task.cancel()
    return tally


async def _answer(pending: Any, name: tuple[str, int], tally: Tally) -> None:
    outcome: Outcome = await pending
    tally.outcomes[name] = outcome
    tally.latency_s[name] = clock.now() - tally.sent_at[name]
    for value in outcome.results:
        _, _, scene, tick, pair = value.ref.key.split("/")
        tally.alerts.add((scene, int(tick), pair))


async def _watch(client: Client, pool: str, tally: Tally) -> None:
    async with client.subscribe(pool) as objects:
        async for found in objects:
            tally.puts[found.key] += 1


async def _move(pins: ValkeyMetadata, scenes: Sequence[str], nodes: Sequence[str], moves: int, tally: Tally) -> None:
    """Pin one scene after the other, each time to another node than before."""
    rng = Random(0)
    where: dict[str, str] = {}
    tally.moving_from = clock.now()
    while tally.moves < moves:
        scene = rng.choice(scenes)
        where[scene] = rng.choice([node for node in nodes if node != where.get(scene)])
        await pins.pin(GroupId(SCOPE, scene), where[scene])
        tally.moves += 1
        await asyncio.sleep(MOVE_EVERY_S)


async def reordered(client: Client, tally: Tally) -> int:
    """Actors whose newest positions were numbered in another order than that of their ticks."""
    series = {f"{key.rpartition('/')[0]}/*" for key in tally.puts if key.startswith("/positions/")}
    wrong = 0
    for name in sorted(series):
        versions = [found.version for found in await client.last(name, 8)]
        wrong += versions != sorted(set(versions))
    return wrong


def summary_of(tally: Tally, frames: Sequence[Frame], expected: reference.Reference, wrong: int) -> dict[str, Any]:
    comparison = reference.compare(tally.alerts, expected)
    whole = [outcome for outcome in tally.outcomes.values() if outcome.status is Status.OK and not outcome.incomplete]
    calm = [s for name, s in tally.latency_s.items() if tally.sent_at[name] < tally.moving_from]
    moving = [s for name, s in tally.latency_s.items() if tally.sent_at[name] >= tally.moving_from]
    return {
        "moves": tally.moves,
        "events": len(frames),
        "lost": len(frames) - len(whole) + len(comparison.missing),
        "doubled": len(comparison.unexpected) + sum(count > 1 for count in tally.puts.values()),
        "reordered": wrong,
        "alerts": len(tally.alerts),
        "outcomes": dict(Counter(str(outcome.status) for outcome in tally.outcomes.values())),
        "incomplete": sum(outcome.incomplete for outcome in tally.outcomes.values()),
        "latency_ms": {"calm": _figures(calm), "moving": _figures(moving)},
    }


def _figures(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) * 1e3
    return {
        "mean": round(float(np.mean(seconds)) * 1e3, 1),
        "p50": round(p50, 1),
        "p95": round(p95, 1),
        "p99": round(p99, 1),
    }


@asynccontextmanager
async def mesh(folder: Path, nodes: int) -> AsyncIterator[tuple[LocalCluster, ValkeyMetadata]]:
    """A cluster with as many workers as nodes, and its metadata."""
    async with (
        embedded_valkey() as url,
        valkey_client(url) as redis,
        LocalCluster(APP, folder=folder, nodes=nodes, workers=nodes, redis_url=url) as cluster,
    ):
        yield cluster, ValkeyMetadata(redis)


async def run(moves: int, rate: float, nodes: int) -> dict[str, Any]:
    """One replay, long enough for the moves."""
    replay: Replay = load()
    count = round(rate * moves * MOVE_EVERY_S * 1.1 / (1 - CALM_SHARE))
    frames = replay.frames[:count]
    with tempfile.TemporaryDirectory() as folder:
        async with mesh(Path(folder), nodes) as (cluster, pins), covey.connect(cluster.address) as client:
            names = sorted({part.node for part in cluster.parts if part.name.startswith("datastore")})
            tally = await replay_with_moves(client, pins, names, frames, moves, rate)
            wrong = await reordered(client, tally)
    model = TrajectoryModel()
    model.load("cpu")
    return summary_of(tally, frames, reference.run(frames, replay.domain, model), wrong)


def main() -> None:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--rate", type=float, default=60.0, help="events per second (60)")
    parser.add_argument("--nodes", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(run(options.moves, options.rate, options.nodes))))


if __name__ == "__main__":
    main()
