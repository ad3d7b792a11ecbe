import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from flowgram_server.cli.exits import ExitStatus
from flowgram_server.cli.extra import MISSING_STATUS, PACKAGES

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
NOT_IMPORTED_BY_COMMANDS = {"quickjs"}
"""Workers import it, in processes of their own."""


def test_the_extra_is_complete() -> None:
    """Every package of the extra is known by the name that it is imported by."""
    requirements = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]["server"]
    wanted = {re.split(r"[^A-Za-z0-9-]", each)[0].replace("-", "_") for each in requirements}
    wanted -= {"uvloop", "googleapis_common_protos"}
    assert "google.rpc" in PACKAGES
    found = {
        distribution.replace("-", "_")
        for package, distributions in packages_distributions().items()
        for distribution in distributions
        if package in PACKAGES
    }
    assert wanted <= found


@pytest.mark.parametrize("package", sorted(PACKAGES - NOT_IMPORTED_BY_COMMANDS))
def test_the_base_install_says_what_is_missing(package: str) -> None:
    """Whichever package is missing, and whenever it is noticed: one line, and no status of a task."""
    program = f"""
import sys
sys.modules[{package!r}] = None
from flowgram_server.cli import main
main([{"list" if package == "rich" else "gateway"!r}, "--help"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (ExitStatus.UNEXPECTED, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"flowgram: the command needs {package}")
    assert line.endswith("pip install 'flowgram-runtime[server]'")


def test_a_status_of_its_own() -> None:
    """What the entry point ends with where not even click is there is one of the documented statuses."""
    assert ExitStatus.UNEXPECTED == MISSING_STATUS
