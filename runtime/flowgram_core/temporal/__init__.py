"""The Temporal host: tasks run as workflows of a Temporal cluster, and any number of servers show them.

It needs the extra `temporal` (the packages temporalio and cryptography); `settings` and `errors` do without.
"""
