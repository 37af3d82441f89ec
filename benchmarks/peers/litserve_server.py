"""LitServe with two models, at `/identity` and `/mlp`: `litserve_server.py single|batched PORT`.

Bodies are raw bytes, which FastAPI hands on as they came. One HTTP server and one worker a model, on two cores; the
queue between them is ZeroMQ, as its documents recommend beyond 100 requests a second.
"""

# mypy: ignore-errors
# These imports are not in our environment. LitServe reads annotations, which must be no strings for it.

import sys
from typing import Annotated, Any

import litserve
import numpy as np
import torch
from fastapi import Body, Response
from mlp import mlp

BATCH_MAX, BATCH_S = 64, 0.001
ANSWER_BYTES = 64
RAW = "application/octet-stream"

Payload = Annotated[bytes, Body(media_type=RAW)]


class Identity(litserve.LitAPI):
    """Answers each payload with its first bytes."""

    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: Payload) -> bytes:
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def predict(self, payload: Any) -> Any:
        return [one[:ANSWER_BYTES] for one in payload] if isinstance(payload, list) else payload[:ANSWER_BYTES]

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type=RAW)


class Mlp(litserve.LitAPI):
    """[n, 784] float32 -> [n, 10]."""

    def setup(self, device: str) -> None:
        self._net = mlp()

    def decode_request(self, request: Payload) -> np.ndarray:
        return np.frombuffer(request, np.float32)

    def predict(self, payload: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self._net(torch.tensor(payload)).numpy()

    def encode_response(self, output: np.ndarray) -> Response:
        return Response(output.tobytes(), media_type=RAW)


def main() -> None:
    """Serve until told to stop."""
    mode, port = sys.argv[1:]
    batching = {"max_batch_size": BATCH_MAX, "batch_timeout": BATCH_S} if mode == "batched" else {}
    server = litserve.LitServer(
        [Identity(api_path="/identity", **batching), Mlp(api_path="/mlp", **batching)],
        accelerator="cpu",
        workers_per_device=1,
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(port),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()
