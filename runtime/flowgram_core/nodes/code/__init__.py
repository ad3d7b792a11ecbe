"""The code node: runs JavaScript in worker processes."""
