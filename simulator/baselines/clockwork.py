"""Clockwork-like batching: a choice of sizes for every task, in the order of their latest starts; no priorities.

After Clockwork (Gujarati et al., OSDI 2020) as published by its authors, for one model at a time: what a stage is here.
A task's strategy is the largest supported batch that it and those behind it fill; the earliest latest start that can
still be kept goes, and what came before it and can't be in time then is dropped. Times are the longest of the last ten.
Left out: loading of weights (ours are loaded by a provisioner), and lead times of the controller over a network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from covey.services.scheduler.core.provision import Backlog, Choice, Pipeline, Provision, Waiting
from covey.simulator.baselines.sizing import stage_deadline


class Clockwork:
    """Batches of 1, 2, 4, ... tasks that end within their stage's budget, or do not start."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        batch_max: int = 16,
        run_s_max: float = 0.025,
        buffer_s: float = 0.005,
        remembered: int = 10,
    ) -> None:
        """`run_s_max`: larger batches that take longer are not supported. `buffer_s`: what a deadline is taken earlier
        by. `remembered`: of how many past batches of a size the longest is expected."""
        self._buffer_s = buffer_s
        self._took: dict[tuple[str, int], deque[float]] = {}
        self._sizes: dict[str, list[int]] = {}
        self._provision: Provision = {}
        for stage, profile in pipeline.profiles.items():
            powers = [
                2**power for power in range(batch_max.bit_length()) if 2**power <= min(batch_max, profile.batch_max)
            ]
            self._sizes[stage] = [size for size in powers if size == 1 or profile.curve.mean_s(size) <= run_s_max]
            for size in self._sizes[stage]:
                self._took[stage, size] = deque([profile.curve.quantile_s(size, 0.99)], maxlen=remembered)

    def provisioned(self, provision: Provision) -> None:
        self._provision = provision

    def choose(self, stage: str, waiting: Sequence[Waiting], backlogs: Mapping[str, Backlog], now: float) -> Choice:
        share = self._provision[stage]
        sizes = self._sizes[stage]
        expected = {size: max(self._took[stage, size]) for size in sizes}
        queue = sorted([(stage_deadline(task, share) - self._buffer_s, task.number) for task in waiting])
        best: tuple[float, int, int] | None = None
        """Latest start, index in the queue, size."""
        for index, (deadline, _) in enumerate(queue):
            size = max(size for size in sizes if size <= len(queue) - index)
            latest_start = deadline - expected[size]
            if latest_start >= now and (best is None or latest_start < best[0]):
                best = (latest_start, index, size)
        if best is None:
            # The last in the queue would run alone, and has the most time of all: nobody can make it.
            return Choice(drop=[number for _, number in queue])
        _, index, size = best
        ends_at = now + expected[size]
        dropped = [number for deadline, number in queue[:index] if deadline < ends_at]
        kept = [number for deadline, number in queue[:index] if deadline >= ends_at]
        return Choice(run=(kept + [number for _, number in queue[index:]])[:size], drop=dropped)

    def ended(self, stage: str, size: int, seconds: float, late: int, now: float) -> None:
        # Fewer may have been processed than were sent: a batch of the next larger size is what it was.
        known = min(each for each in self._sizes[stage] if each >= size)
        self._took[stage, known].append(seconds)
