"""The engine: from a `Document` and inputs to events, without I/O."""
