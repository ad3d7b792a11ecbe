"""The service: FlowGram workflows over gRPC."""

import os

import flowgram_core as flowgram_core  # first: modules of this package, too, may be used in their compiled form

# gRPC reads this when it is imported. Processes are spawned here and never forked, so it need not prepare for forks, nor
# tell the standard error stream each time that it could not.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
