"""Ways to run a program that cannot write where it should."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_FILL = """
mount -t tmpfs -o size=4m full "$1" && cp -a "$2/." "$1/" || exit 77
dd if=/dev/zero of="$1/rest" bs=4k 2>/dev/null
shift 2
exec "$@"
"""


def bound_by_rights() -> list[str]:
    """What to put before a command so that it cannot write what it has no right to: root can, unless it is kept from it."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write what nobody may write, and there is no setpriv")
    lost = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={lost}", f"--inh-caps={lost}"]


def on_full_disk(directory: Path, content: Path) -> list[str]:
    """What to put before a command so that it finds a directory on a disk that is full; it holds a copy of the content."""
    unshare = (
        ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    )
    command = [*unshare, "sh", "-c", _FILL, "sh", str(directory), str(content)]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no disk can be mounted here")
    return command


def take_rights(directory: Path) -> None:
    """Makes a directory and what is in it read-only."""
    for file in directory.iterdir():
        file.chmod(0o400)
    directory.chmod(0o500)
