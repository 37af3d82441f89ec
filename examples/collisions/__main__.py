"""Run the mesh on this machine and replay real tracks through the collision pipeline.

    python -m examples.collisions [--tracks FILE...] [--workers 2] [--nodes 2] [--speed-up X] [--ungrouped] ...

Starts everything, replays at the chosen speed-up, compares the alerts with those of one plain process, prints a table,
writes summary.json and latency.png, and leaves no process behind. The exit status is 0 when every event had an outcome
and, if all of them are OK, the alerts are the reference's.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

import covey
from covey.clock import MonotonicClock
from covey.cluster import LocalCluster
from covey.model import Outcome
from covey.runtime import EXIT_FAILED, run
from examples.collisions import reference, report
from examples.collisions.model import TrajectoryModel
from examples.collisions.tracks import Frame, Replay, load

LINE_S = 2.0
"""How often progress is a line of its own where there is no terminal to redraw."""

EVENTS_PER_S = 105.0
"""What the default speed-up comes to, whatever the tracks."""

console = Console()
clock = MonotonicClock()


@dataclass(frozen=True, slots=True)
class Options:
    tracks: tuple[str, ...]
    tick_s: float
    sectors: int | None
    ticks: int | None
    speed_up: float | None
    rate: float
    deadline_s: float
    nodes: int
    workers: int
    lanes: int
    grouped: bool
    out: Path
    trace_to: Path | None


def options_of(arguments: Sequence[str] | None = None) -> Options:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", nargs="+", default=["quickstart"], metavar="FILE", help="files, or ADS-B samples")
    parser.add_argument("--tick-s", type=float, default=10.0, help="tick length of aircraft (10)")
    parser.add_argument("--sectors", type=int, help="scenes to split the airspace into (at least 8 actors each)")
    parser.add_argument("--ticks", type=int, help="stop after so many ticks")
    parser.add_argument("--rate", type=float, default=EVENTS_PER_S, help=f"events per second, about ({EVENTS_PER_S:g})")
    parser.add_argument("--speed-up", type=float, help="times real time, instead of a rate")
    parser.add_argument("--deadline-s", type=float, default=10.0, help="of each event (10)")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lanes", type=int, default=1, help="of each worker (1)")
    parser.add_argument("--ungrouped", dest="grouped", action="store_false", help="take every group rule away")
    parser.add_argument("--out", type=Path, default=Path("runs/latest"), help="where summary.json goes (runs/latest)")
    parser.add_argument("--trace-to", type=Path, help="write every span to this file, as JSON lines")
    return Options(**{**vars(found := parser.parse_args(arguments)), "tracks": tuple(found.tracks)})


async def replay_through_the_mesh(options: Options) -> None:
    """The whole run. Raises SystemExit with a status that is not 0 when it went wrong."""
    replay = load(options.tracks, options.tick_s, options.sectors)
    frames = [frame for frame in replay.frames if options.ticks is None or frame.tick < options.ticks]
    app = "examples.collisions.pipeline:" + ("app" if options.grouped else "ungrouped")
    settings = {"COVEY_LANES": str(options.lanes)}
    if options.trace_to is not None:
        settings["COVEY_TRACE_TO"] = str(options.trace_to.resolve())
    logs = options.out.parent / f"{datetime.datetime.now():%Y%m%d-%H%M%S}" / "logs"
    console.print(_what(replay, frames))
    console.print("starting Valkey, the datastores, the scheduler, the workers and the gateway …")
    cluster = LocalCluster(app, folder=logs, nodes=options.nodes, workers=options.workers, settings=settings)
    async with cluster:
        console.print(f"the mesh listens at {cluster.address}; its logs are in {logs}")
        async with asyncio.TaskGroup() as group:
            deaths = group.create_task(_tell_deaths(cluster))
            tally, seconds = await _replay(cluster.address, frames, replay, options)
            deaths.cancel()
    expected = await asyncio.to_thread(_reference, frames, replay)
    comparison = reference.compare(tally.alerts, expected)
    summary = report.summary_of(tally, seconds, comparison)
    await asyncio.to_thread(report.write, summary, tally, options.out)
    report.table(summary, comparison, console)
    for why, count in tally.reasons.most_common(5):
        console.print(f"{count:,} × {why}")
    console.print(f"wrote {options.out / 'summary.json'} and {options.out / 'latency.png'}")
    _judge(tally, len(frames), comparison)


def _judge(tally: report.Tally, planned: int, comparison: reference.Comparison) -> None:
    if tally.answered < tally.sent:
        raise SystemExit(f"{tally.sent - tally.answered} events had no outcome")
    if tally.sent < planned:
        raise SystemExit(f"the gateway was lost; {planned - tally.sent} events were not sent")
    if set(tally.statuses) == {"OK"} and not comparison.equal:
        raise SystemExit("the alerts are not those of the reference")


async def _replay(
    address: str, frames: Sequence[Frame], replay: Replay, options: Options
) -> tuple[report.Tally, float]:
    """Send every frame at its time; returns the tally, and the seconds from the first event to the last outcome."""
    tally = report.Tally()
    tick_s = _real_seconds_per_tick(frames, replay, options)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[shown]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=5) as progress:
        bar = progress.add_task("replaying", total=len(frames), shown="")
        async with covey.connect(address) as client, client.stream() as stream:
            started = clock.now()
            said_at = started
            for frame in frames:
                due = started + (frame.tick - frames[0].tick) * tick_s
                if (ahead := due - clock.now()) > 0:
                    await asyncio.sleep(ahead)
                if stream.broken:
                    break
                if not console.is_terminal and clock.now() - said_at >= LINE_S:
                    said_at = clock.now()
                    console.print(f"{tally.sent:,} sent, {_shown(tally)}")
                key = f"/observations/{frame.scene}/{frame.tick}"
                sent_at = clock.now()
                tally.sent += 1
                pending = await stream.send(key, frame.positions, deadline_s=options.deadline_s)
                pending.add_done_callback(functools.partial(_take, tally, progress, bar, sent_at))
            await stream.answered()
    return tally, clock.now() - started


def _take(tally: report.Tally, progress: Progress, bar: TaskID, sent_at: float, done: asyncio.Future[Outcome]) -> None:
    if done.cancelled():
        return
    tally.take(done.result(), clock.now() - sent_at)
    progress.update(bar, completed=tally.answered, shown=_shown(tally))


def _shown(tally: report.Tally) -> str:
    latest_ms = sorted(tally.latencies_s[-200:])[len(tally.latencies_s[-200:]) // 2] * 1e3 if tally.answered else 0.0
    return f"{tally.answered:,} outcomes, {len(tally.alerts):,} alerts, p50 {latest_ms:.0f} ms"


def _real_seconds_per_tick(frames: Sequence[Frame], replay: Replay, options: Options) -> float:
    if options.speed_up is not None:
        return replay.domain.tick_s / options.speed_up
    ticks = frames[-1].tick - frames[0].tick + 1
    return len(frames) / ticks / options.rate


async def _tell_deaths(cluster: LocalCluster) -> None:
    while True:
        console.print(f"[red]{await cluster.death()}[/red]")


def _reference(frames: Sequence[Frame], replay: Replay) -> reference.Reference:
    torch.set_num_threads(1)
    model = TrajectoryModel()
    model.load("cpu")
    return reference.run(frames, replay.domain, model)


def _what(replay: Replay, frames: Sequence[Frame]) -> str:
    scenes = replay.actors_per_scene()
    mean = sum(len(frame.positions) for frame in frames) / max(1, len(frames))
    return f"{len(frames):,} events from {len(scenes)} scenes with {mean:.1f} actors on average"


def main() -> None:
    """Run; a sentence on stderr says what went wrong."""
    options = options_of()
    failed: list[str] = []

    async def replaying() -> None:
        try:
            await replay_through_the_mesh(options)
        except SystemExit as exit:
            failed.append(str(exit))

    status = run(replaying, log_level="WARNING")
    for sentence in failed:
        console.print(f"[red]{sentence}[/red]")
    sys.exit(EXIT_FAILED if failed else status)


if __name__ == "__main__":
    main()
