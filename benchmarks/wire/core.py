"""The scheduler's core alone, without IO: what a stimulus costs, by the number of groups, and how long the collector
stops it.

    python -m benchmarks.wire.core [--groups 1000000]

A gateway, workers and nodes that answer at once are played in virtual time: 10,000 events a second of the identity
stage, with 10,000 tasks queued throughout and every policy on. What is timed is `handle`, ticks and the collector's
passes included. A stimulus is one event, or one task's report: an identity event is two. Times are CPU times, so that
what else the machine does does not count; memory per group is what Python allocates and keeps for each further one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from random import Random

import covey
from benchmarks.processes import resident_bytes
from covey.clock import MonotonicClock
from covey.collector import Collector
from covey.errors import Status
from covey.messages import (
    BatchReport,
    Beat,
    Emission,
    GatewayJoined,
    NodeJoined,
    RunBatch,
    SubmitEvent,
    Task,
    TaskReport,
    WorkerJoined,
)
from covey.model import Event, ObjectRef, ObjectValue, Priority, Scope
from covey.runtime import run
from covey.services.scheduler.core.commands import Send, WriteMetadata
from covey.services.scheduler.core.machine import Scheduler
from covey.services.scheduler.core.state import Limits
from covey.services.scheduler.core.stimuli import (
    Declared,
    Elected,
    GatewayConnected,
    MetadataWritten,
    NodeConnected,
    PeerSaid,
    Stimulus,
    WorkerConnected,
)
from covey.tether import tethered

NAME = "core"
app = covey.Pipeline("wire-core", objective_s=10.0)
small, echoes = (
    app.pool(f"/{name}/{{source}}/{{n:int}}", group="{source}", codec="bytes", keep_last=4)
    for name in ("small", "echoes")
)
"""Stored, so that groups are kept account of."""


@app.stage(on=small, emits=echoes, batch_max=64)
def echo(batch: covey.Batch) -> None:
    """The identity; nobody runs it here."""


SCOPE = Scope("default", app.name)
PAYLOAD = bytes(64)
QUEUED = 10_000
TOGETHER = 16
"""Events that come in one message."""
EVENTS_PER_S = 10_000.0
DEADLINE_S = 60.0
BEAT_EVERY_S = 0.5
NODES = 2
GATEWAY, WORKER, NODE = 1, 100, 200
SLICES, SLICE_EVENTS = 15, 2_000
"""A figure is the median of so many slices of so many events."""
GROUPS_FROM = 100
SETTLED_GROUPS, TRACED_GROUPS = 20_000, 40_000
"""With the first, all tables that have bounds are full; what comes from there to the second is what groups need."""


@dataclass(slots=True)
class CoreFigures:
    """What the program comes to."""

    us_per_stimulus: float = 0.0
    """The most of the curve."""
    gc_pause_ms_max: float = 0.0
    """Of the collector, at the most groups."""
    bytes_per_group: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    """(groups, µs per stimulus, MB of this process in memory)."""


class Pauses:
    """How long the collector has stopped this process, at most, by generation, in seconds."""

    def __init__(self) -> None:
        self.longest_s = [0.0, 0.0, 0.0]
        self._started = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.process_time()
        else:
            generation = info["generation"]
            self.longest_s[generation] = max(self.longest_s[generation], time.process_time() - self._started)


class World:
    """A core with peers that answer when they are told to."""

    def __init__(self, groups_max: int) -> None:
        self.core = Scheduler(Limits(groups_max=groups_max))
        self.spent_s = 0.0
        """In `handle`, and in the passes of the collector between."""
        self.batches: deque[tuple[int, RunBatch]] = deque()
        self._collector = Collector(MonotonicClock())
        self._collector.begin()
        self._now = 0.0
        self._next_beat = 0.0
        self._number = 0
        self._say(Elected(1), Declared(SCOPE.tenant, app.declaration()))
        for number in range(NODES):
            self._say(NodeConnected(NODE + number, NodeJoined(f"n{number}", f"n{number}:1")))
        self._beat()
        self._say(GatewayConnected(GATEWAY, GatewayJoined("g")))
        for number in range(NODES):
            self._say(WorkerConnected(WORKER + number, WorkerJoined(f"w{number}", f"n{number}", "cpu", 1, ())))
        self._beat()

    def submit(self, groups: Sequence[int]) -> None:
        """One event of each of these groups, in messages of a few."""
        for at in range(0, len(groups), TOGETHER):
            self._now += TOGETHER / EVENTS_PER_S
            events = [PeerSaid(GATEWAY, SubmitEvent(self._event(group))) for group in groups[at : at + TOGETHER]]
            self._say(*events)
            if self._now >= self._next_beat:
                self._beat()

    def finish(self) -> int:
        """The oldest batch is done; how many tasks it had."""
        peer, batch = self.batches.popleft()
        reports = tuple(map(self._report, batch.tasks))
        self._say(PeerSaid(peer, BatchReport(batch.number, batch.epoch, reports, compute_s=0.001)))
        return len(reports)

    def _say(self, *stimuli: Stimulus) -> None:
        started = time.process_time()
        commands = self.core.handle(stimuli, self._now)
        self._collector.turn()
        self.spent_s += time.process_time() - started
        for command in commands:
            match command:
                case Send(peer, RunBatch() as batch):
                    self.batches.append((peer, batch))
                case WriteMetadata():
                    self._say(MetadataWritten())

    def _beat(self) -> None:
        self._next_beat = self._now + BEAT_EVERY_S
        state = self.core.state
        beat = Beat(view=state.view_number, settled=state.homes.placement.epoch)
        self._say(*(PeerSaid(peer, beat) for peer in (*state.gateways, *state.workers, *state.nodes)))

    def _event(self, group: int) -> Event:
        self._number += 1
        ref = ObjectRef(small.name, f"/small/s{group}/{self._number}", f"s{group}", size=len(PAYLOAD))
        return Event(SCOPE, f"e{self._number}", ref, PAYLOAD, Priority.HIGH, self._now + DEADLINE_S, "")

    def _report(self, task: Task) -> TaskReport:
        assert task.trigger is not None, "the stage is no join"
        source, number = dict(task.fields).values()
        ref = ObjectRef(echoes.name, f"/echoes/{source}/{number}", task.trigger.ref.group, 1, len(PAYLOAD))
        return TaskReport(task.number, Status.OK, emissions=(Emission(0, ObjectValue(ref, PAYLOAD)),))


def sizes(groups_max: int) -> Iterator[int]:
    """100, 1,000 and so on."""
    groups = GROUPS_FROM
    while groups <= groups_max:
        yield groups
        groups *= 10


def fill(world: World, groups: range) -> None:
    """An event of each of these groups, from beginning to end."""
    coming = iter(groups)
    while some := list(islice(coming, TOGETHER * 4)):
        world.submit(some)
        while world.batches:
            world.finish()


def cost_us(world: World, groups: int, rng: Random) -> float:
    """What a stimulus costs with this many groups and 10,000 tasks queued: the median over slices."""
    world.submit([rng.randrange(groups) for _ in range(QUEUED)])
    found = []
    for _ in range(SLICES):
        world.spent_s, events = 0.0, 0
        while events < SLICE_EVENTS:
            finished = world.finish()
            world.submit([rng.randrange(groups) for _ in range(finished)])
            events += finished
        found.append(world.spent_s * 1e6 / (2 * events))
    while world.batches:
        world.finish()
    return statistics.median(found)


def bytes_per_group() -> float:
    """What the core keeps for each further group."""
    tracemalloc.start()
    world = World(TRACED_GROUPS)
    fill(world, range(SETTLED_GROUPS))
    settled, _ = tracemalloc.get_traced_memory()
    fill(world, range(SETTLED_GROUPS, TRACED_GROUPS))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (kept - settled) / (TRACED_GROUPS - SETTLED_GROUPS)


async def measure(groups_max: int) -> None:
    """Print the curve, then how long the collector stops the process, then all of it as JSON."""
    figures, rng = CoreFigures(bytes_per_group=bytes_per_group()), Random(1)
    print(f"{figures.bytes_per_group:.0f} bytes per group")
    world = World(groups_max)
    before = 0
    print(f"{'groups':>9} {'µs per stimulus':>16} {'resident MB':>12}", flush=True)
    for groups in sizes(groups_max):
        fill(world, range(before, groups))
        us, resident_mb = cost_us(world, groups, rng), resident_bytes(os.getpid()) / 1e6
        figures.curve.append((groups, us, resident_mb))
        print(f"{groups:9,d} {us:16.2f} {resident_mb:12.0f}", flush=True)
        before = groups
        await asyncio.sleep(0)  # what the process does beside has its turn
    figures.us_per_stimulus = max(us for _, us, _ in figures.curve)
    pauses = Pauses()
    cost_us(world, before, rng)
    figures.gc_pause_ms_max = max(pauses.longest_s) * 1e3
    by_generation = ", ".join(f"{longest * 1e3:.1f}" for longest in pauses.longest_s)
    print(f"collector at {before:,} groups: {by_generation} ms by generation", flush=True)
    print(json.dumps(asdict(figures)))


def measured_apart(groups_max: int) -> CoreFigures:
    """Measure in a process of its own, and pass on what it prints."""
    command = tethered([sys.executable, "-m", "benchmarks.wire.core", "--groups", str(groups_max)])
    line = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            if not line.startswith("{"):
                print(line, end="", flush=True)
    return CoreFigures(**json.loads(line))


def main() -> None:
    """Measure as a service would run: the same loop, the same collector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=1_000_000, help="at most")
    options = parser.parse_args()
    sys.exit(run(lambda: measure(options.groups), log_level="WARNING"))


if __name__ == "__main__":
    main()
