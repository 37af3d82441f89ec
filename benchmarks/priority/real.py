"""Is interference foretold on real lanes, and does that keep HIGH's deadlines?

    python -m benchmarks.priority.real [--quick] [--only predict|deadlines] [--runs A-B] [--out DIR]

Two lanes of the CPU engine, five torch models, this machine. First co-runs are recorded (`coruns.py`) and the time of
each batch is foretold by every method (`real_predicting.py`). Then a policy is in charge of the lanes: ours against
strict priority without a predictor, which believes the profile, and against the same with LOW in one lane at most; the
same arrivals for all, in short turns, in an order that is drawn for each (`real_lanes.py`). Prints every run; the last
line is one JSON object. Nothing else should run meanwhile: `others` is the share of the machine that other processes
had.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.priority.coruns import Lanes, profile_rows, record
from benchmarks.priority.quiet import Quiet
from benchmarks.priority.real_lanes import Counted, Figures, Traffic, Turn, arrivals, figures_of
from benchmarks.priority.real_predicting import Recorded, judged, lines_of, profiles_of, read
from benchmarks.priority.systems import ours
from benchmarks.provenance import machine
from covey.clock import MonotonicClock
from covey.services.scheduler.core.contention import PriorityPolicy
from covey.services.scheduler.core.prioritising import Rules
from covey.simulator.contenders.clockwork import Clockwork
from covey.simulator.contenders.predictors import Solo
from covey.simulator.sharing import Devices

OUT = Path("runs/priority")
TRAFFIC = Traffic(
    high={"small": 0.028, "dense": 0.112, "wide": 0.14},
    low={"long": 0.21, "wide": 0.105, "boxes": 0.105},
    high_deadline=4.0,
    low_deadline=100.0,
    slack_s=0.004,
)
"""Seven tenths of the lanes' time, each request by itself: with what interferes they are three quarters busy."""
TURNS, SECONDS, SCRIPTS, RUNS = 4, 4.0, 60, 10
"""Turns of each policy in a run, and how long requests come in each."""
QUICK_TURNS, QUICK_SCRIPTS, QUICK_RUNS = 1, 16, 3

KEPT = Rules(keep_low=True)
"""LOW gets all that it asks for, as with `strict`: the question is what HIGH gains then. By the default rule LOW loses
a quarter here."""

Make = Callable[[Devices], PriorityPolicy]
POLICIES: Mapping[str, Make] = {
    "strict": lambda devices: Clockwork(devices, Solo(devices.profiles), 2, strict=True),
    "strict, LOW in one lane": lambda devices: Clockwork(devices, Solo(devices.profiles), 2, strict=True, low_slots=1),
    "ours": lambda devices: ours(rules=KEPT).make(devices, Random(1)),
}


async def deadlines(lanes: Lanes, recorded: Recorded, seeds: Sequence[int], turns: int) -> list[dict[str, Any]]:
    """A row for each run of each policy."""
    profiles = profiles_of(await profile_rows(lanes))
    pairs = zip(recorded.coruns, recorded.is_new, strict=True)
    history = [each for each, new in pairs if not new and len(each.overlaps) == 1 and each.overlaps[0].others]
    devices = Devices(1, profiles, history)
    rows = []
    for seed in seeds:
        quiet = Quiet(lanes.clock)
        played = await in_turns(lanes, devices, turns, seed)
        others = round(quiet.others(), 3)
        for name, counted in played.items():
            figures = figures_of(counted)
            rows.append({"seed": seed, "policy": name, **figures._asdict(), "others": others})
            print(line_of(seed, name, figures, others), flush=True)
    return rows


async def in_turns(lanes: Lanes, devices: Devices, turns: int, seed: int) -> dict[str, list[Counted]]:
    """One run: every policy takes so many turns."""
    policies = {name: make(devices) for name, make in POLICIES.items()}
    clocks = dict.fromkeys(POLICIES, 0.0)
    played: dict[str, list[Counted]] = {name: [] for name in POLICIES}
    for number in range(turns):
        requests = arrivals(TRAFFIC, devices.profiles, SECONDS, Random(f"{seed}/{number}"))
        for name in Random(f"{seed}/{number}/order").sample(list(POLICIES), len(POLICIES)):
            gc.collect()
            turn = Turn(lanes, policies[name], requests, clocks[name])
            played[name].append(await turn.play(devices.profiles))
            clocks[name] = turn.now()
    return played


def line_of(seed: int, name: str, figures: Figures, others: float) -> str:
    """One run, for people."""
    return (
        f"run {seed:3} {name:24} HIGH late {100 * figures.high_violations:5.2f}% of {figures.high}, "
        f"LOW late {100 * figures.low_violations:5.2f}%, LOW in time {figures.low_in_time_rate:.3f} lanes, "
        f"busy {100 * figures.busy:.0f}%, others {100 * others:.0f}%"
    )


def verdict(rows: Sequence[Mapping[str, Any]], against: str) -> dict[str, float]:
    """Ours against another: the mean difference in percentage points, LOW's throughput, and the sign test over runs."""
    mine, theirs = [[row for row in rows if row["policy"] == name] for name in ("ours", against)]
    drops = [100 * (b["high_violations"] - a["high_violations"]) for a, b in zip(mine, theirs, strict=True)]
    low = [sum([row["low_in_time_rate"] for row in each]) for each in (mine, theirs)]
    decided = [drop for drop in drops if drop != 0.0]
    return {
        "high_violation_drop_pp": round(statistics.mean(drops), 3),
        "low_throughput_ratio": round(low[0] / low[1], 4),
        "runs": len(drops),
        "wins": sum([drop > 0.0 for drop in drops]),
        "sign_test_p": round(sign_test(sum([drop > 0.0 for drop in decided]), len(decided)), 5),
    }


def sign_test(wins: int, runs: int) -> float:
    """The probability of so many wins or more, or as few losses, if either side won as often; two-sided."""
    extreme = max(wins, runs - wins)
    return min(1.0, 2.0 * sum([math.comb(runs, k) for k in range(extreme, runs + 1)]) / 2.0**runs)


def summary_of(predicted: Recorded | None, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last line."""
    found: dict[str, Any] = {}
    if predicted is not None:
        errors = judged(predicted)
        print("\n".join(lines_of(errors)))
        found["predictor_mape_real"] = {name: round(each.mean, 4) for name, each in errors.items() if name != "floor"}
        found["predictor_mape_real_steady"] = {name: round(each.steady, 4) for name, each in errors.items()}
        found["under_prediction_at_quantile_real"] = round(errors["ours"].under, 4)
    if rows:
        found["real_high_violation_drop_pp"] = verdict(rows, "strict")["high_violation_drop_pp"]
        found["real_against"] = {name: verdict(rows, name) for name in POLICIES if name != "ours"}
    return found


async def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Run what is asked for."""
    lanes = Lanes(MonotonicClock())
    await lanes.load()
    file, runs = options.out / "coruns.jsonl", options.out / "real_runs.jsonl"
    first, _, last = (options.runs or f"1-{QUICK_RUNS if options.quick else RUNS}").partition("-")
    seeds = range(int(first), int(last or first) + 1)
    try:
        if options.only in ("", "predict") or not file.exists():
            await record(lanes, file, QUICK_SCRIPTS if options.quick else SCRIPTS, seed=seeds[0])
        recorded = read(file)
        if options.only in ("", "deadlines"):
            rows = await deadlines(lanes, recorded, seeds, QUICK_TURNS if options.quick else TURNS)
            with runs.open("w" if seeds[0] == 1 else "a") as out:
                out.writelines([f"{json.dumps(row)}\n" for row in rows])
        rows = [json.loads(line) for line in runs.read_text().splitlines()] if runs.exists() else []
        return summary_of(recorded, [] if options.only == "predict" else rows)
    finally:
        lanes.engine.close()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few scripts and three short runs, in about a minute")
    parser.add_argument("--only", default="", choices=["predict", "deadlines"], help="one of the two halves")
    parser.add_argument(
        "--runs",
        default="",
        metavar="A-B",
        help="which seeds (1-10; quick: 1-3), the first also of the scripts; from 2 on they are added",
    )
    parser.add_argument("--out", type=Path, default=OUT, help="a folder for all that was recorded, as lines of JSON")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(machine())
    print(json.dumps(asyncio.run(measured(options))))


if __name__ == "__main__":
    main()
