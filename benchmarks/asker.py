"""Asks a server for ServerInfo again and again, in a process of its own: `python -m benchmarks.asker HOST:PORT`.

For each line on its input it writes the longest time of a call since the line before, in milliseconds, and begins anew. It is
one of many callers that do not know of each other, so nothing that the benchmark itself computes may delay it.
"""

import sys
import threading
import time
from typing import Any

import grpc

from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

_INTERVAL = 0.02
_TIMEOUT = 120.0


def _ask(target: str, slowest: list[float]) -> None:
    with grpc.insecure_channel(target) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        while True:
            began = time.perf_counter()
            try:
                stub.ServerInfo(ServerInfoRequest(), timeout=_TIMEOUT)
            except grpc.RpcError:
                slowest[0] = max(slowest[0], _TIMEOUT)  # whatever it is, it is no answer
            slowest[0] = max(slowest[0], time.perf_counter() - began)
            time.sleep(_INTERVAL)


def main(target: str) -> None:
    """Asks until its input ends."""
    slowest = [0.0]
    threading.Thread(target=_ask, args=(target, slowest), daemon=True).start()
    for _ in sys.stdin:
        sys.stdout.write(f"{slowest[0] * 1e3:.1f}\n")
        sys.stdout.flush()
        slowest[0] = 0.0


if __name__ == "__main__":
    main(sys.argv[1])
