"""Node types: one module each, and one registry."""
