"""Triton through pytriton with two models, `identity` and `mlp`.

    triton_server.py single|batched|prompt GRPC_PORT HTTP_PORT METRICS_PORT

One instance of each model: more would share the same two cores. Where it is `single` each request is a call of its own;
`prompt` batches hold what is there, and wait for nothing, which is Triton's default. Files go to the working directory.
"""

# mypy: ignore-errors
# These imports are not in our environment.

from __future__ import annotations

import signal
import sys
from pathlib import Path

import numpy as np
import torch
from mlp import INPUTS, OUTPUTS, mlp
from pytriton.decorators import batch, sample
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

BATCH_MAX, BATCH_US = 64, 1_000
STOP_S = 5
ANSWER_BYTES = 64


def main() -> None:
    """Serve until told to stop."""
    mode, (grpc_port, http_port, metrics_port) = sys.argv[1], map(int, sys.argv[2:])
    batched = mode != "single"
    each = batch if batched else sample
    config = ModelConfig(
        batching=batched,
        max_batch_size=BATCH_MAX,
        batcher=DynamicBatcher(max_queue_delay_microseconds=BATCH_US if mode == "batched" else 0),
    )
    net = mlp()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # leaves `with triton`, which removes its shared memory

    @each
    def identity(payload: np.ndarray) -> dict[str, np.ndarray]:
        return {"output": payload[..., :ANSWER_BYTES]}

    @each
    def classify(payload: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return {"output": net(torch.from_numpy(payload)).numpy()}

    triton = Triton(
        config=TritonConfig(
            grpc_address="127.0.0.1",
            grpc_port=grpc_port,
            http_address="127.0.0.1",
            http_port=http_port,
            metrics_port=metrics_port,
            exit_timeout_secs=STOP_S,
        ),
        workspace=Path.cwd() / "workspace",
    )
    with triton:
        triton.bind(
            model_name="identity",
            infer_func=identity,
            inputs=[Tensor(name="payload", dtype=np.uint8, shape=(-1,))],
            outputs=[Tensor(name="output", dtype=np.uint8, shape=(-1,))],
            config=config,
        )
        triton.bind(
            model_name="mlp",
            infer_func=classify,
            inputs=[Tensor(name="payload", dtype=np.float32, shape=(INPUTS,))],
            outputs=[Tensor(name="output", dtype=np.float32, shape=(OUTPUTS,))],
            config=config,
        )
        triton.serve()


if __name__ == "__main__":
    main()
