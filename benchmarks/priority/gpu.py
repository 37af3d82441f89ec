"""What the CUDA engine's choices are worth on a real device: `make gpu-check` runs it after the tests.

    python -m benchmarks.priority.gpu

Prints the bandwidth of a copy by the size of its chunks; how long an urgent copy takes alone, beside a long copy in
chunks, and beside one that is not cut (what a HIGH copy would wait without chunks); and what a model of many small
kernels takes as it is and as a CUDA graph. Medians of repeated runs. The last line is one JSON object.
"""

from __future__ import annotations

import importlib
import json
import statistics
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from covey.clock import Clock, MonotonicClock
from covey.services.worker.engine.cuda import BUFFER_BYTES, BUFFERS
from covey.services.worker.engine.staging import Copies, StagingRing

DEVICE = "cuda:0"
MIB = 1 << 20
REPEATS = 30


def main() -> None:
    """Measure and print."""
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device: nothing has been measured")
    print(torch.cuda.get_device_name(DEVICE), "torch", torch.__version__)
    clock = MonotonicClock()
    bandwidth = {size: in_gb_s(torch, clock, size * MIB) for size in (1, 2, 4, 8)}
    for size, found in bandwidth.items():
        print(f"chunks of {size} MiB: {found:6.1f} GB/s inward")
    waits = {name: 1e3 * urgent_s(torch, clock, chunk) for name, chunk in WAITS.items()}
    for name, found in waits.items():
        print(f"an urgent copy of 256 KiB {name:30} {found:8.3f} ms")
    plain, recorded = [1e3 * kernels_s(torch, clock, recorded) for recorded in (False, True)]
    print(f"200 small kernels as they are {plain:8.3f} ms, as a graph {recorded:8.3f} ms")
    summary = {
        "device": torch.cuda.get_device_name(DEVICE),
        "bandwidth_gb_s": {str(size): round(found, 2) for size, found in bandwidth.items()},
        "urgent_copy_ms": {name: round(found, 4) for name, found in waits.items()},
        "graph_speedup": round(plain / recorded, 3),
    }
    print(json.dumps(summary))


WAITS = {"alone": 0, "beside a long copy in chunks": BUFFER_BYTES, "beside a long copy in one": 256 * MIB}
"""What is beside the urgent copy, and the size of its chunks."""


def in_gb_s(torch: Any, clock: Clock, chunk_bytes: int) -> float:
    """Bandwidth of a copy of 128 MiB, staging included."""
    copies = Copies(torch, DEVICE, StagingRing(torch, BUFFERS, chunk_bytes))
    array = np.ones(128 * MIB, np.uint8)

    def copy() -> None:
        copies.to_device(array, urgent=True).copied.synchronize()

    return array.nbytes / median_s(clock, copy) / 1e9


def urgent_s(torch: Any, clock: Clock, beside_bytes: int) -> float:
    """Seconds of an urgent copy, while another thread copies 256 MiB over and over in chunks of that size (0: none)."""
    copies = Copies(torch, DEVICE, StagingRing(torch, 3, max(beside_bytes, BUFFER_BYTES)))
    array, large = np.ones(256 * 1024, np.uint8), np.ones(256 * MIB, np.uint8)
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            copies.to_device(large, urgent=False)

    thread = threading.Thread(target=disturb, daemon=True)
    if beside_bytes:
        thread.start()
    try:
        return median_s(clock, lambda: copies.to_device(array, urgent=True).copied.synchronize())
    finally:
        stop.set()
        if beside_bytes:
            thread.join()


def kernels_s(torch: Any, clock: Clock, recorded: bool) -> float:
    """Seconds of 200 additions to a small tensor."""
    stream = torch.cuda.Stream(device=DEVICE)
    with torch.cuda.stream(stream):
        tensor = torch.zeros(1024, device=DEVICE)

        def kernels() -> None:
            for _ in range(200):
                tensor.add_(1)

        kernels()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        if recorded:
            with torch.cuda.graph(graph, stream=stream):
                kernels()

        def run() -> None:
            graph.replay() if recorded else kernels()
            stream.synchronize()

        return median_s(clock, run)


def median_s(clock: Clock, work: Callable[[], object]) -> float:
    """Seconds that it takes, warmed up."""
    times = []
    for _ in range(REPEATS + 3):
        began = clock.now()
        work()
        times.append(clock.now() - began)
    return statistics.median(times[3:])


if __name__ == "__main__":
    main()
