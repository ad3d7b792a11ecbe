"""Where the cluster is, as the settings and Temporal's own configuration say."""

from pathlib import Path

import pytest

pytest.importorskip("temporalio")

from flowgram_core.temporal.connection import cluster_address
from flowgram_core.temporal.errors import ConnectionSettingsInvalid
from flowgram_core.temporal.settings import TemporalSettings


def test_the_settings_count_more_than_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of that, the environment counts more than the file; without anything, the cluster is on this machine."""
    monkeypatch.delenv("TEMPORAL_ADDRESS", raising=False)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "none.toml"))
    assert cluster_address(TemporalSettings()) == "127.0.0.1:7233"
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.default]\naddress = "from-file.example:7233"\n')
    from_file = TemporalSettings(config_file=str(file))
    assert cluster_address(from_file) == "from-file.example:7233"
    monkeypatch.setenv("TEMPORAL_ADDRESS", "from-environment.example:7233")
    assert cluster_address(from_file) == "from-environment.example:7233"
    assert cluster_address(TemporalSettings(address="given.example:7233")) == "given.example:7233"


def test_a_configuration_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """Without what stands in it."""
    with pytest.raises(ConnectionSettingsInvalid, match="no such file"):
        cluster_address(TemporalSettings(config_file=str(tmp_path / "none.toml")))
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.default]\napi_key = "hunter2\n')
    with pytest.raises(ConnectionSettingsInvalid) as caught:
        cluster_address(TemporalSettings(config_file=str(file)))
    assert "hunter2" not in str(caught.value)
