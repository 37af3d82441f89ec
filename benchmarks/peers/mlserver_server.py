"""MLServer with two models, `identity` and `mlp`: `mlserver_server.py single|batched GRPC_PORT HTTP_PORT METRICS_PORT`.

In one process, which for small models is two to three times as fast as handing requests to a worker process (its
default); no access log, as its documents recommend for production; metrics as by default.
"""

# mypy: ignore-errors
# These imports are not in our environment.

from __future__ import annotations

import asyncio
import sys

import numpy as np
import torch
import uvloop
from mlp import mlp
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

BATCH_MAX, BATCH_S = 64, 0.001
ANSWER_BYTES = 64


class Identity(MLModel):
    """Answers each payload with its first bytes. A payload is one element of type BYTES: MLServer makes a list of
    Python integers of any other type."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        heads = [payload[:ANSWER_BYTES] for payload in request.inputs[0].data]
        output = ResponseOutput(name="output", shape=[len(heads), 1], datatype="BYTES", data=heads)
        return InferenceResponse(model_name=self.name, outputs=[output])


class Mlp(MLModel):
    """[n, 784] float32 -> [n, 10]."""

    async def load(self) -> bool:
        self._net = mlp()
        return True

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        values = NumpyCodec.decode_input(request.inputs[0]).astype(np.float32, copy=False)
        with torch.inference_mode():
            scores = self._net(torch.from_numpy(values)).numpy()
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("output", scores)])


async def main() -> None:
    """Serve until told to stop."""
    mode, (grpc_port, http_port, metrics_port) = sys.argv[1], map(int, sys.argv[2:])
    batching = {"max_batch_size": BATCH_MAX, "max_batch_time": BATCH_S} if mode == "batched" else {}
    settings = Settings(
        debug=False,
        parallel_workers=0,
        host="127.0.0.1",
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
    )
    models = {"identity": Identity, "mlp": Mlp}
    await MLServer(settings).start(
        [ModelSettings(name=name, implementation=model, **batching) for name, model in models.items()]
    )


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main())
