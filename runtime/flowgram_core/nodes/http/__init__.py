"""The http node: makes HTTP requests."""
