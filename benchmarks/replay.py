"""What does the mesh sustain on real tracks?

    python -m benchmarks.replay [--quick] [--rates 60 100 140] [--repeats 3]

Replays the aircraft over Paris through the whole mesh (two datastores, a scheduler, two workers, a gateway, Valkey, all
on this machine) at several offered rates, interleaved, and prints for each what was reached, the latencies and whether
the alerts were those of one plain process. Every run is shown; the last line is one JSON object with the medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DEADLINE_S = 10


def one_run(rate: float, ticks: int | None) -> dict[str, Any]:
    """The summary of one replay at about `rate` events per second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "examples.collisions", "--out", f"{folder}/latest", "--rate", str(rate)]
        command += ["--deadline-s", str(DEADLINE_S), *(["--ticks", str(ticks)] if ticks is not None else [])]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        written = Path(folder, "latest", "summary.json")
        if not written.exists():
            raise SystemExit(f"a replay at {rate:g} events/s ended without a summary")
        summary: dict[str, Any] = json.loads(written.read_text())
        return summary


def line_of(rate: float, repeat: int, summary: dict[str, Any]) -> str:
    latency = summary["latency_ms"]
    ok = summary["outcomes"].get("OK", 0) / summary["events"]
    equal = "equal" if summary["alerts_equal_reference"] else "DIFFERENT"
    return (
        f"{rate:6g} {repeat:3d} {summary['events_per_s']:9.1f} {summary['tasks_per_s']:9.1f} {latency['p50']:9.1f} "
        f"{latency['p99']:9.1f} {summary['within_objective_share']:7.1%} {ok:7.1%}  {equal}"
    )


def main() -> None:
    """Run the grid and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a third of the ticks, once")
    parser.add_argument("--rates", type=float, nargs="+", default=[60.0, 100.0, 140.0], help="events per second")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    repeats, ticks = (1, 360) if options.quick else (options.repeats, None)
    print("  rate run  events/s   tasks/s    p50 ms    p99 ms  ≤200ms      OK  alerts")
    found: dict[float, list[dict[str, Any]]] = {rate: [] for rate in options.rates}
    for repeat in range(repeats):
        for rate in options.rates:
            summary = one_run(rate, ticks)
            found[rate].append(summary)
            print(line_of(rate, repeat, summary), flush=True)
    medians = {
        f"{rate:g}": {
            "events_per_s": statistics.median(run["events_per_s"] for run in runs),
            "tasks_per_s": statistics.median(run["tasks_per_s"] for run in runs),
            "p50_ms": statistics.median(run["latency_ms"]["p50"] for run in runs),
            "p99_ms": statistics.median(run["latency_ms"]["p99"] for run in runs),
            "within_objective_share": statistics.median(run["within_objective_share"] for run in runs),
            "ok_share": min(run["outcomes"].get("OK", 0) / run["events"] for run in runs),
            "alerts_equal_reference": all(run["alerts_equal_reference"] for run in runs),
        }
        for rate, runs in found.items()
    }
    print(json.dumps({"rates": medians, "repeats": repeats, "ticks": ticks}))


if __name__ == "__main__":
    main()
