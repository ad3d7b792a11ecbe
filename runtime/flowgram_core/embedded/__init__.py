"""The embedded host: runs tasks in this process with asyncio and the journal, recovers and removes them."""
