"""The runtime: executes FlowGram workflows, durably, as a library without a server."""

from typing import Final

from flowgram_core.compiled import use_compiled

IS_COMPILED: Final = use_compiled()
"""Whether modules that have a compiled form are used in it; see `compiled`."""
