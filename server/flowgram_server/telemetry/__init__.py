"""Telemetry: what an operator sees of a server from outside: metrics, health, traces."""
