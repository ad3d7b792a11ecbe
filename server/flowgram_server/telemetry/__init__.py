"""Telemetry: metrics, health and traces of a server."""
