"""Memory that stays mapped for large requests."""

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from flowgram_server.memory_tuning import keep_memory_mapped

SIZE = 8 * 1024 * 1024

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(b"\\x01") * SIZE
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_memory_mapped(SIZE)
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep memory by other rules")
def test_a_large_block_is_not_mapped_anew() -> None:
    """The kernel has to give hardly a page for it."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, check=True, text=True)
    before, after = map(int, done.stdout.split())
    assert after < 100 < before
