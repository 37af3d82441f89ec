"""What both ends of a gRPC connection must agree on, in one place.

Keepalive finds a peer that hangs only with `ping_timeout_ms`, and a server kills connections whose pings come more
often than it allows: the two lists are therefore written from the same constants.
"""

from __future__ import annotations

MESSAGE_BYTES_MAX = 65 * 1024 * 1024
"""The largest message. Inner streams keep theirs near 1 MiB and cut large objects into parts; the edge does not."""

METADATA_BYTES_MAX = 16 * 1024

PING_EVERY_MS = 10_000
PING_TIMEOUT_MS = 5_000
RECONNECT_MIN_MS = 100
RECONNECT_MAX_MS = 1_000
CONNECT_TIMEOUT_S = 2.0

Options = tuple[tuple[str, int], ...]

BOTH_ENDS: Options = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", PING_EVERY_MS),
    ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

CHANNEL: Options = (
    *BOTH_ENDS,
    ("grpc.initial_reconnect_backoff_ms", RECONNECT_MIN_MS),
    ("grpc.min_reconnect_backoff_ms", RECONNECT_MIN_MS),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
    ("grpc.use_local_subchannel_pool", 1),  # one link's backoff is not another's
    ("grpc.enable_http_proxy", 0),
)

SERVER: Options = (
    *BOTH_ENDS,
    ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_EVERY_MS // 2),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a lottery
)
