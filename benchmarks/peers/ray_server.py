"""Ray Serve behind gRPC: `ray_server.py single|batched|three GRPC_PORT HTTP_PORT STATS_PORT METRICS_PORT`.

`single` and `batched` are two applications, `identity` and `mlp`, of one deployment each; `three` is a composition of
three deployments. What makes Ray tuned or not is in the environment, which whoever starts this sets. Files go to the
working directory.
"""

# mypy: ignore-errors
# These imports are not in our environment.

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import ray
import torch
import v2
from mlp import INPUTS, mlp
from ray import serve
from ray.serve.config import HTTPOptions, gRPCOptions
from ray.serve.handle import DeploymentHandle

HAPROXY_FILES = {
    "CONFIG_FILE_LOC": "haproxy.cfg",
    "SOCKET_PATH": "haproxy.sock",
    "METRICS_SOCKET_PATH": "haproxy-metrics.sock",
    "SERVER_STATE_BASE": "haproxy",
    "SERVER_STATE_FILE": "haproxy/server-state",
}
BATCH_MAX, BATCH_S = 64, 0.001
ANSWER_BYTES = 64
CORES = 2
OPTIONS: dict[str, Any] = {"max_ongoing_requests": 1_000, "ray_actor_options": {"num_cpus": 0.5}}
"""Ray's default of 5 requests at once would keep batches from filling; all deployments share two cores."""


def add_servicer(servicer: Any, server: Any) -> None:
    """Add the one method of the V2 protocol that is served; Ray imports this by its name."""
    infer = grpc.unary_unary_rpc_method_handler(
        servicer.ModelInfer,
        request_deserializer=v2.ModelInferRequest.FromString,
        response_serializer=v2.ModelInferResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(v2.SERVICE, {"ModelInfer": infer}),))


def _response(answer: bytes) -> Any:
    return v2.ModelInferResponse(raw_output_contents=[answer])


@serve.deployment(**OPTIONS)
class Identity:
    """Answers with the first bytes of the payload."""

    async def ModelInfer(self, request: Any) -> Any:
        return _response(request.raw_input_contents[0][:ANSWER_BYTES])


@serve.deployment(**OPTIONS)
class BatchedIdentity:
    """The same, in batches."""

    @serve.batch(max_batch_size=BATCH_MAX, batch_wait_timeout_s=BATCH_S)
    async def heads(self, payloads: list[bytes]) -> list[bytes]:
        return [payload[:ANSWER_BYTES] for payload in payloads]

    async def ModelInfer(self, request: Any) -> Any:
        return _response(await self.heads(request.raw_input_contents[0]))


@serve.deployment(**OPTIONS)
class Mlp:
    """784 float32 -> 10."""

    def __init__(self) -> None:
        self._net = mlp()

    async def ModelInfer(self, request: Any) -> Any:
        with torch.inference_mode():
            values = torch.tensor(np.frombuffer(request.raw_input_contents[0], np.float32))
            return _response(self._net(values).numpy().tobytes())


@serve.deployment(**OPTIONS)
class BatchedMlp:
    """The same, in batches."""

    def __init__(self) -> None:
        self._net = mlp()

    @serve.batch(max_batch_size=BATCH_MAX, batch_wait_timeout_s=BATCH_S)
    async def scores(self, payloads: list[bytes]) -> list[bytes]:
        with torch.inference_mode():
            values = np.frombuffer(b"".join(payloads), np.float32).reshape(-1, INPUTS)
            return [row.tobytes() for row in self._net(torch.tensor(values)).numpy()]

    async def ModelInfer(self, request: Any) -> Any:
        return _response(await self.scores(request.raw_input_contents[0]))


@serve.deployment(**OPTIONS)
class Last:
    """The end of the composition."""

    async def forward(self, payload: bytes) -> bytes:
        return payload


@serve.deployment(**OPTIONS)
class Middle:
    """The middle of the composition."""

    def __init__(self, following: DeploymentHandle) -> None:
        self._following = following

    async def forward(self, payload: bytes) -> bytes:
        return await self._following.forward.remote(payload)


@serve.deployment(**OPTIONS)
class First:
    """The composition's ingress."""

    def __init__(self, following: DeploymentHandle) -> None:
        self._following = following

    async def ModelInfer(self, request: Any) -> Any:
        return _response(await self._following.forward.remote(request.raw_input_contents[0]))


APPLICATIONS = {
    "single": {"identity": Identity.bind(), "mlp": Mlp.bind()},
    "batched": {"identity": BatchedIdentity.bind(), "mlp": BatchedMlp.bind()},
    "three": {"three": First.bind(Middle.bind(Last.bind()))},
}


def main() -> None:
    """Serve until told to stop."""
    mode, (grpc_port, http_port, stats_port, metrics_port) = sys.argv[1], map(int, sys.argv[2:])
    haproxy = {"STATS_PORT": stats_port, "METRICS_PORT": metrics_port}
    haproxy |= {name: Path(file).absolute() for name, file in HAPROXY_FILES.items()}
    os.environ.update({f"RAY_SERVE_HAPROXY_{name}": str(value) for name, value in haproxy.items()})
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    ray.init(
        num_cpus=CORES,
        include_dashboard=False,
        object_store_memory=200 * 1024 * 1024,
        _temp_dir=os.getcwd(),
        logging_level="warning",
    )
    serve.start(
        http_options=HTTPOptions(host="127.0.0.1", port=http_port),
        grpc_options=gRPCOptions(port=grpc_port, grpc_servicer_functions=["ray_server.add_servicer"]),
    )
    for name, application in APPLICATIONS[mode].items():
        serve.run(application, name=name, route_prefix=f"/{name}")
    stopped.wait()
    ray.shutdown()


if __name__ == "__main__":
    main()
