"""The CUDA engine's tests notice when any one line is removed that orders its work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.mutations import ELSEWHERE, mutants


def test_every_line_that_orders_something_is_asked_about() -> None:
    """The rules of `staging.py`, out-of-memory and errors that stick are among what is removed."""
    removed = [mutant.removed for mutant in mutants()]

    for rule in (
        "stream.wait_event(self.copied)",
        "self.tensor.record_stream(stream)",
        "buffer.busy_until.synchronize()",
        "written.synchronize()",
        "copied.synchronize()",
        "self._ring.give_back(buffer, copied)  [the event]",
        "with self._inward.turn(urgent)",
        "with self._inward.copying(urgent)",
        "place.copy_(value)",
        "self._stream.synchronize()",
        "self._torch.cuda.synchronize(self._name)",
        "self._objects.clear()",
        "self._torch.cuda.empty_cache()",
        "raise DeviceLost(self._lost) from error",
    ):
        assert rule in removed
    assert not any(line.startswith(start) for line in removed for start in ELSEWHERE)


@pytest.mark.timeout(900)
def test_no_mutant_survives() -> None:
    """Each line is removed in turn, and some test fails of it."""
    done = subprocess.run([sys.executable, "-m", "tests.mutations"], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
