"""What the mesh itself takes, from identities that have it to themselves.

One hop counts as much as another, the client's with them: what one stage and three stages take tells them apart in
principle, but the difference of two noisy figures is noisier than both.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import CORES, cpu_s, with_descendants
from benchmarks.slo.live.fitting import middle_mean, spread_of
from benchmarks.slo.live.pipelines import PAYLOAD
from benchmarks.slo.live.running import Event, cluster_of, one_at_a_time
from covey.clock import MonotonicClock
from covey.cluster import LocalCluster
from covey.simulator.measured import Overhead

WARM = 40
TURNS, EACH = 25, 10
"""Events of each pipeline, in turns of so many."""
PAUSE_S = 0.02
"""Between an answer and the next event, when processes have gone to sleep."""
IDLE_S = 4.0
HOPS_CLIENT = 2
HOPS_ONE, HOPS_THREE = 6, 10
"""Client, gateway, scheduler, worker, scheduler, gateway, client; each further stage is two more."""


class _Taken(NamedTuple):
    latencies_s: list[float]
    cpu_s: float
    """Of the mesh, for each event, beyond what it uses when idle."""


async def measured_overhead(folder: Path) -> Overhead:
    """Of a mesh with one worker, on this machine as it is now."""
    one, three = await _taken(folder)
    hop_s = (middle_mean(one.latencies_s) + middle_mean(three.latencies_s)) / (HOPS_ONE + HOPS_THREE)
    cpu_s = (one.cpu_s + three.cpu_s) / (2 * (HOPS_ONE + HOPS_THREE) - 2 * HOPS_CLIENT)
    return Overhead(hop_s, 0.0, spread_of(three.latencies_s, hop_s, HOPS_THREE), HOPS_CLIENT * hop_s, cpu_s, CORES)


def used_s(cluster: LocalCluster) -> float:
    """CPU seconds of all its processes until now."""
    return sum(cpu_s(pid) for pids in with_descendants(cluster.pids).values() for pid in pids)


async def _taken(folder: Path) -> list[_Taken]:
    """Of one stage and of three, in turns, so that both have the machine as it is at the time."""
    clock = MonotonicClock()
    names = ("one", "three")
    meshes = [
        cluster_of(f"benchmarks.slo.live.pipelines:{name}", folder / name, {"COVEY_DEVICE": "cpu"}, workers=1)
        for name in names
    ]
    latencies: list[list[float]] = [[] for _ in meshes]
    async with meshes[0], meshes[1]:
        for mesh in meshes:
            await one_at_a_time(mesh, _event, [PAUSE_S] * WARM)
        began, before = clock.now(), [used_s(mesh) for mesh in meshes]
        await asyncio.sleep(IDLE_S)
        idle_s, idle = clock.now() - began, [used_s(mesh) for mesh in meshes]
        for turn in range(TURNS):
            for mesh, found in zip(meshes, latencies, strict=True):
                played = await one_at_a_time(mesh, partial(_numbered, WARM + turn * EACH), [PAUSE_S] * EACH)
                found += [latency for _, latency in played]
        busy_s, busy = clock.now() - began - idle_s, [used_s(mesh) for mesh in meshes]
    events = TURNS * EACH
    used = [
        (after - between - (between - first) / idle_s * busy_s) / events
        for first, between, after in zip(before, idle, busy, strict=True)
    ]
    return [_Taken(found, max(0.0, cpu)) for found, cpu in zip(latencies, used, strict=True)]


def _event(number: int) -> Event:
    return f"/events/{number}", PAYLOAD


def _numbered(first: int, number: int) -> Event:
    return _event(first + number)
