"""Outgoing HTTP connections, for http and llm nodes alike: client, transports, SSRF guard."""
