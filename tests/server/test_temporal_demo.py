"""The demonstration on a cluster: two servers, a worker, and an example that is started by one and watched through the other."""

import subprocess
import sys
from pathlib import Path

from support.temporal_server import require_temporal

ROOT = Path(__file__).parents[2]


def test_it_runs_once(tmp_path: Path) -> None:
    """It shows the example to its end, leaves nothing running, and keeps its key to itself."""
    require_temporal()
    place = ["--data", str(tmp_path), "--port", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "flowgram_server.temporal_demo", "--once", *place],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    logs = "\n".join(path.read_text("utf-8") for path in tmp_path.glob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    assert "Question 3" in done.stdout
    assert (tmp_path / "temporal-key.json").stat().st_mode & 0o777 == 0o600
    assert "stopped" in (tmp_path / "worker.log").read_text("utf-8")
