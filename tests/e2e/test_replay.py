"""`make run` as a user runs it: the report at its end, Ctrl-C, and what it says when a part of the mesh is killed."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the model needs torch: pip install 'covey[worker]'")

from covey.settings import environment_with  # noqa: E402 (after the test for torch)
from covey.tether import tethered  # noqa: E402
from tests import builders_collisions as builders  # noqa: E402
from tests.worlds_processes import MARK, PYTHON, ROOT, all_gone, children_of, processes_with  # noqa: E402

pytestmark = [pytest.mark.asyncio, pytest.mark.processes, pytest.mark.timeout(120)]

STOP_S_MAX = 5.0
DEADLINE_S = 4.0


@dataclass
class Replay:
    """A running `python -m examples.collisions` and what it has printed so far."""

    process: asyncio.subprocess.Process
    mark: str
    out: Path
    said: list[str] = field(default_factory=list)

    async def until(self, text: str) -> None:
        """Read on until it has printed `text`."""
        assert self.process.stdout is not None
        while text not in "".join(self.said):
            chunk = await self.process.stdout.read(256)
            assert chunk, f"it ended without saying {text!r}: {''.join(self.said)}"
            self.said.append(chunk.decode(errors="replace"))

    async def end(self) -> str:
        """Everything that it printed, once it has ended."""
        assert self.process.stdout is not None
        self.said.append((await self.process.stdout.read()).decode(errors="replace"))
        await self.process.wait()
        return "".join(self.said)

    def pid_of(self, kind: str) -> int:
        """A process of the mesh of that kind; the first, if there are two."""
        return min(pid for pid, line in children_of(self.process.pid).items() if kind in line)


@asynccontextmanager
async def replaying(folder: Path, *options: str) -> AsyncIterator[Replay]:
    """Start a replay; the test ends it, and this sees to it."""
    builders.adsb_reports("quickstart")  # skips the test where the tracks are not installed
    mark, out = secrets.token_hex(8), folder / "latest"
    settings = {MARK: mark, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    command = [str(PYTHON), "-u", "-m", "examples.collisions", "--out", str(out), *options]
    process = await asyncio.create_subprocess_exec(
        *tethered(command),
        cwd=folder,
        env=environment_with(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Replay(process, mark, out)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_replay_ends_in_a_report_and_leaves_nothing(tmp_path: Path) -> None:
    """Every event is OK, the alerts are the reference's, the figures have their names, and no process is left."""
    async with replaying(tmp_path, "--ticks", "60", "--speed-up", "200", "--deadline-s", "30") as replay:
        said = await replay.end()
        assert replay.process.returncode == 0, said
        assert await all_gone(replay.mark, 1.0)
    summary = json.loads((replay.out / "summary.json").read_text())
    assert summary["outcomes"] == {"OK": summary["events"]}
    assert summary["alerts_equal_reference"] is True
    assert summary["alerts"] > 0
    assert set(summary["latency_ms"]) == {"mean", "std", "p50", "p95", "p99"}
    assert set(summary["batch_size_mean"]) == {"track", "predict", "collide"}
    assert {"events_per_s", "remote_gets_per_event", "bytes_moved_per_event"} <= set(summary)
    assert (replay.out / "latency.png").stat().st_size > 10_000
    assert "alerts" in said


async def test_ctrl_c_stops_a_replay_at_any_time(tmp_path: Path) -> None:
    """While it starts and while it replays, an interrupt ends everything within five seconds."""
    for moment in ("starting", "replaying"):
        async with replaying(tmp_path, "--ticks", "400") as replay:
            await replay.until(moment)
            replay.process.send_signal(signal.SIGINT)
            assert await all_gone(replay.mark, STOP_S_MAX), processes_with(replay.mark)


async def test_nothing_outlives_a_replay_that_is_killed(tmp_path: Path) -> None:
    """A client that is killed without warning leaves no process behind."""
    async with replaying(tmp_path, "--ticks", "400") as replay:
        await replay.until("sent, ")
        replay.process.kill()
        assert await all_gone(replay.mark, STOP_S_MAX), processes_with(replay.mark)


@pytest.mark.parametrize("kind", ["worker", "datastore", "scheduler", "gateway", "valkey"])
async def test_a_part_that_is_killed_ends_in_a_report(kind: str, tmp_path: Path) -> None:
    """Whatever is killed, each event that was sent has a status by its deadline, and the report comes."""
    options = ("--ticks", "160", "--speed-up", "200", "--deadline-s", str(DEADLINE_S))
    async with replaying(tmp_path, *options) as replay:
        await replay.until("sent, ")
        os.kill(replay.pid_of("valkey" if kind == "valkey" else f"covey.services.{kind}"), signal.SIGKILL)
        async with asyncio.timeout(45):
            said = await replay.end()
        assert await all_gone(replay.mark, STOP_S_MAX), processes_with(replay.mark)
    summary = json.loads((replay.out / "summary.json").read_text())
    assert sum(summary["outcomes"].values()) == summary["events"], said
    assert summary["latency_ms"]["p99"] <= (DEADLINE_S + 1.5) * 1e3
    assert kind in said
    if kind in ("worker", "valkey"):
        assert summary["outcomes"].get("OK", 0) >= 0.9 * summary["events"], said
