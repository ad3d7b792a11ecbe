"""Host 1, this process: runs tasks with asyncio on the journal, recovers and removes them."""
