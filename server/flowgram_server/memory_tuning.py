"""Tuning of the memory allocator, so that the first large requests do not hold the event loop.

A block of megabytes is mapped anew, and the kernel gives each of its pages at its first use: for a request of 12 MB that took 25 of
the 30 ms in which gRPC received it. The GNU C library keeps blocks up to the largest that was freed, and uses them again in 4 ms.
"""

from typing import Final

KEPT_BYTES: Final = 16 * 1024 * 1024
"""The largest request with its copy on the way is about as large."""


def keep_memory_mapped(size: int = KEPT_BYTES) -> None:
    """Lets the allocator keep so many bytes: the first block sets the bound of what is kept, the second one stays mapped."""
    for _ in range(2):
        block = bytearray(b"\x01") * size  # not zeros, for which no page would be used
        del block
