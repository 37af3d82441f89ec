"""`python -m benchmarks [NAME] [OPTION ...]`: run one of the benchmarks, or say which there are."""

from __future__ import annotations

import runpy
import sys

BENCHMARKS = {
    "replay": "what the mesh sustains on real tracks, by offered rate, with the alerts checked",
    "grouping": "what correlation groups are worth, against everything that a user would do instead",
    "grouping_sim": "whether grouping with load is the best mode everywhere: the full grid, in the simulator",
    "moves": "whether groups that move lose, double or reorder anything, and what that costs in latency",
    "wire": "what the mesh adds to a model's own time, against gRPC's floor and against other servers",
    "slo": "what cascade estimation, tuning ahead of time and adaptive dropping are worth, in the simulator",
    "slo.live": "whether the live mesh does what the simulator says, and by the same estimator best",
    "priority": "what prediction and two priorities are worth on full devices, in simulation",
    "shared_memory": "what shared memory spares a worker that reads from the datastore of its host, and puts into it",
}


def main() -> None:
    """Hand the rest of the command line to the benchmark of that name (the first, if none is named)."""
    name = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else next(iter(BENCHMARKS))
    if name not in BENCHMARKS:
        known = "\n".join(f"  {known:14} {what}" for known, what in BENCHMARKS.items())
        raise SystemExit(f"there is no benchmark {name!r}; there are\n{known}")
    sys.argv = [f"benchmarks.{name}", *[argument for argument in sys.argv[1:] if argument != name]]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")


main()
