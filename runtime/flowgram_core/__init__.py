"""The runtime: executes FlowGram workflows, durably, as a library without a server."""
