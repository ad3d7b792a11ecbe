import base64
import os
import ssl
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from flowgram_core.engine.limits import Limits
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.nodes.node_settings import CodeSettings, HTTPSettings, LLMSettings
from flowgram_core.temporal.settings import TemporalSettings
from flowgram_server.descriptors import connection_shares, raise_limit
from flowgram_server.rpc.servicer import ServiceLimits
from flowgram_server.settings.egress import Egress
from flowgram_server.settings.encryption import Encryption
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.gateway import GatewaySettings
from flowgram_server.settings.groups import Temporal
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.secrets import Secret
from flowgram_server.settings.security import TLS, Auth
from flowgram_server.settings.server import HTTP, LLM, Code, Settings

NOT_SETTINGS = {"inline_work", "step_budget", "step_bytes", "tail_bytes", "limits"}
"""Fields of the runtime's settings that are no settings of the server: tuning, and a group that is flat here."""


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FLOWGRAM_")]:
        monkeypatch.delenv(name)


def test_defaults_are_those_of_the_runtime() -> None:
    """Without any setting the server runs with the defaults of what it is made of."""
    settings = load_settings()
    assert settings.runtime_settings() == RuntimeSettings()
    assert settings.service() == ServiceLimits()
    calls = connection_shares(raise_limit()).http_calls  # by the machine's limit of descriptors
    llm, http = LLMSettings(), HTTPSettings()
    assert settings.llm_settings() == replace(
        llm, max_long_connections=min(llm.max_long_connections, calls - llm.max_connections)
    )
    assert settings.http_settings() == replace(
        http, max_long_parallel=min(http.max_long_parallel, calls - http.max_parallel)
    )
    assert settings.code_settings() == CodeSettings()
    gateway = settings.gateway()
    assert gateway.max_body_bytes == 2 * settings.max_schema_bytes + settings.max_inputs_bytes + 1024 * 1024
    assert gateway.connections.max_connections > 0
    assert gateway == GatewaySettings(max_body_bytes=gateway.max_body_bytes, connections=gateway.connections)
    assert (settings.listen, settings.http_listen) == ("127.0.0.1:50051", "127.0.0.1:4000")


def test_limits_of_calls_are_bounded_by_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set is more than a share where there are descriptors for it; where there are not, the setting is named."""
    calls = connection_shares(raise_limit()).http_calls
    monkeypatch.setenv("FLOWGRAM_HTTP__MAX_PARALLEL", str(2 * calls))
    settings = load_settings()
    assert settings.http_settings().max_parallel == 2 * calls
    assert settings.connection_shares().llm_calls == calls
    assert settings.lowered_limits() == {}
    monkeypatch.setenv("FLOWGRAM_HTTP__MAX_PARALLEL", str(2**30))
    settings = load_settings()
    assert settings.lowered_limits() == {"http.max_parallel": settings.http_settings().max_parallel}
    assert settings.http_settings().max_long_parallel == 0


@pytest.mark.parametrize(
    ("model", "dataclass"),
    [
        (Settings, RuntimeSettings),
        (Settings, Limits),
        (Settings, ServiceLimits),
        (LLM, LLMSettings),
        (HTTP, HTTPSettings),
        (Code, CodeSettings),
        (Temporal, TemporalSettings),
    ],
)
def test_everything_can_be_set(model: Any, dataclass: Any) -> None:
    """Operators can set every setting of the parts."""
    assert {field.name for field in fields(dataclass)} - NOT_SETTINGS <= model.model_fields.keys()


@pytest.mark.parametrize(
    "model", [Settings, LLM, HTTP, Code, Temporal, Egress, Encryption, Secret, TLS, Auth]
)
def test_everything_is_described(model: Any) -> None:
    """Every setting says what it is; every number among them, in which unit."""
    units = ("Seconds", "Bytes")
    for name, field in model.model_fields.items():
        if name in {"llm", "http", "code", "temporal", "egress", "encryption", "tls", "auth"}:
            continue
        assert field.description, name
        if field.annotation is float:
            assert field.description.startswith(units), name
        if name.endswith("_bytes"):
            assert field.description.startswith(units), name


@pytest.mark.parametrize(
    "model", [Settings, LLM, HTTP, Code, Temporal, Egress, Encryption, Secret, TLS, Auth]
)
def test_every_number_has_an_end(model: Any) -> None:
    """No duration is longer than timers and clocks count to, and no count larger than the journal counts to."""
    for name, field in model.model_fields.items():
        if field.annotation in {int, float}:
            most = min(bound.le for bound in field.metadata if hasattr(bound, "le"))
            assert most <= (2**62 if field.annotation is int else 1e9), name


def test_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags override the environment, which overrides the file, setting by setting, also within a group."""
    config = tmp_path / "flowgram.toml"
    config.write_text(
        "max_nodes = 10\nmax_events = 11\nmax_watches = 12\n[llm]\nmax_retries = 1\nmax_clients = 2\n"
    )
    monkeypatch.setenv("FLOWGRAM_MAX_EVENTS", "21")
    monkeypatch.setenv("FLOWGRAM_MAX_WATCHES", "22")
    monkeypatch.setenv("FLOWGRAM_LLM__MAX_CLIENTS", "23")
    settings = load_settings(config, {"max_watches": 32, "max_nodes": None})
    assert (settings.max_nodes, settings.max_events, settings.max_watches) == (10, 21, 32)
    assert (settings.llm.max_retries, settings.llm.max_clients) == (1, 23)
    assert settings.runtime_settings().limits.max_events == 21
    assert settings.llm_settings().max_clients == 23


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLOWGRAM_CONFIG names the file where no flag does."""
    config = tmp_path / "flowgram.toml"
    config.write_text('listen = "0.0.0.0:1"\n')
    monkeypatch.setenv("FLOWGRAM_CONFIG", str(config))
    assert load_settings().listen == "0.0.0.0:1"


def test_collections_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are separated by commas, tables are JSON."""
    monkeypatch.setenv("FLOWGRAM_SECRET_NAMES", "apiKey, token,")
    monkeypatch.setenv("FLOWGRAM_CALL_TIMEOUTS", '{"llm": 60}')
    settings = load_settings()
    assert settings.secret_names == {"apiKey", "token"}
    assert settings.runtime_settings().call_timeouts == {"http": 600.0, "llm": 60.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_nodes = -1", "max_nodes"),
        ("max_nodez = 1", "max_nodez: there is no such setting: did you mean max_nodes?"),
        ("zzz = 1", "zzz: there is no such setting"),
        ('max_nodes = "many"', "max_nodes"),
        ("[llm]\nread_timeout = 0", "llm.read_timeout"),
        ("[llm]\nread_timeouts = 1", "llm.read_timeouts"),
        ('listen = "50051"', "listen"),
        ('listen = "127.0.0.1:http"', "listen"),
        ('listen = "127.0.0.1:65536"', "listen"),
        ('log_level = "loud"', "log_level"),
        ('storage = "postgres"', "storage"),
        ("call_timeouts = { llm = 0 }", "call_timeouts.llm"),
        ("max_message_bytes = 1", "max_message_bytes"),
        ("max_message_bytes = 2_000_000_001", "max_message_bytes"),
        ("shutdown_grace = nan", "shutdown_grace"),
        ("shutdown_grace = 1e10", "shutdown_grace"),
        ("retention_age = 1e14", "retention_age"),
        ("retention_interval = 1e10", "retention_interval"),
        ("retention_count = 4611686018427387905", "retention_count"),
        ("max_nodes = ", "flowgram.toml"),
        ("\xff", "flowgram.toml"),
    ],
)
def test_errors_are_named(tmp_path: Path, text: str, expected: str) -> None:
    """A setting that is unknown or impossible, and a file that is no TOML, is an error that names it."""
    config = tmp_path / "flowgram.toml"
    config.write_text(text, encoding="latin-1")
    with pytest.raises(InvalidSettings) as error:
        load_settings(config)
    assert expected in str(error.value)


def test_errors_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is no JSON is an error that names the variable, and what was expected."""
    monkeypatch.setenv("FLOWGRAM_CALL_TIMEOUTS", "llm=60")
    with pytest.raises(InvalidSettings, match=r"^FLOWGRAM_CALL_TIMEOUTS: should be a JSON object$"):
        load_settings()


def test_the_flag_that_is_called_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that spells `--http` as other flags are spelled gets a hint with its name."""
    monkeypatch.setenv("FLOWGRAM_HTTP", "127.0.0.1:4001")
    with pytest.raises(
        InvalidSettings, match=r"^FLOWGRAM_HTTP: should be a JSON object; .* FLOWGRAM_HTTP_LISTEN$"
    ):
        load_settings()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://Editor.example.com/", "https://editor.example.com"),
        ("https://editor.example.com:443", "https://editor.example.com"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://a:80", "http://a"),
        ("Loopback", "loopback"),
        ("*", "*"),
        ("null", "null"),
        ("editor.example.com", None),
        ("https://editor.example.com/app", None),
        ("https://", None),
        ("https://ü.example.com", None),
    ],
)
def test_origins(given: str, meant: str | None) -> None:
    """They are kept as browsers send them; what no browser would ever send is a mistake."""
    if meant is None:
        with pytest.raises(InvalidSettings, match=f"^cors_origins: .*{given}: is no origin"):
            load_settings(flags={"cors_origins": given})
    else:
        assert load_settings(flags={"cors_origins": given}).cors_origins == {meant}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FLOWGRAM_MAX_NODEZ", ": did you mean FLOWGRAM_MAX_NODES?"),
        ("FLOWGRAM_LLM_READ_TIMEOUT", ": did you mean FLOWGRAM_LLM__READ_TIMEOUT?"),
        ("flowgram_max_node", ": did you mean FLOWGRAM_MAX_NODES?"),
        ("FLOWGRAM_MAX_NODES__X", ": did you mean FLOWGRAM_MAX_NODES?"),
        ("FLOWGRAM_ZZZ", ""),
    ],
)
def test_unknown_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    """A variable that looks like a setting is an error that names the closest one, beside all other mistakes."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(InvalidSettings) as error:
        load_settings(flags={"max_events": "x"})
    first, second = str(error.value).splitlines()
    assert first == f"{name}: there is no such setting{hint}"
    assert second.startswith("max_events: ")


def test_unknown_settings_of_a_group_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are reported once, with the closest one, as in the file."""
    monkeypatch.setenv("FLOWGRAM_LLM__READ_TIMEOUTS", "1")
    with pytest.raises(InvalidSettings) as error:
        load_settings()
    (problem,) = str(error.value).splitlines()
    assert problem == "llm.read_timeouts: there is no such setting: did you mean llm.read_timeout?"


@pytest.mark.parametrize(
    "name",
    [
        "FLOWGRAM_COMPILED",
        "FLOWGRAM_TARGET",
        "FLOWGRAM_SERVICE_HOST",
        "FLOWGRAM_PORT",
        "FLOWGRAM_PORT_50051_TCP_ADDR",
        "FLOWGRAM_RUNTIME_SERVICE_PORT_GRPC",
        "FLOWGRAM_CALL_TIMEOUTS__LLM",
        "flowgram_max_nodes",
        "MAX_NODEZ",
    ],
)
def test_other_variables_are_no_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Other programs of the project read some, and Kubernetes gives others to all that runs beside a service."""
    monkeypatch.setenv(name, "5")
    load_settings()


def test_the_file_of_authorities_is_read_at_start(tmp_path: Path) -> None:
    """A file that is not there, or holds no certificates, is an error that names it."""
    file = tmp_path / "ca.pem"
    for said in ("No such file or directory", "no certificates in PEM format"):
        with pytest.raises(InvalidSettings) as error:
            load_settings(flags={"http": {"ca_file": str(file)}})
        assert str(error.value).startswith("http.ca_file: ")
        assert f"{file}: {said}" in str(error.value)
        file.write_text("no certificate")
    authorities = httpx2.create_ssl_context().get_ca_certs(binary_form=True)
    file.write_text(ssl.DER_cert_to_PEM_cert(authorities[0]))
    assert load_settings(flags={"http": {"ca_file": str(file)}}).http_settings().ca_file == str(file)


@pytest.mark.parametrize("group", ["llm", "http"])
@pytest.mark.parametrize("proxy", ["not a url", "http://", "ftp://proxy", "http://user:secret@proxy:99999"])
def test_the_proxies_are_looked_at_at_start(monkeypatch: pytest.MonkeyPatch, group: str, proxy: str) -> None:
    """Where they are used, an address that is none is an error, which shows no password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(InvalidSettings) as error:
        load_settings(flags={group: {"trust_env": True}})
    assert f"{group}.trust_env: " in str(error.value)
    assert "HTTPS_PROXY should be the address of a proxy" in str(error.value)
    assert "secret" not in str(error.value)
    load_settings(flags={group: {"trust_env": True, "deny_private": True}})
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    load_settings(flags={group: {"trust_env": True}})


def test_egress_rules_are_looked_at_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no rule, and what is no proxy, is an error; a password is not shown. By commas in the environment."""
    for name, value in {"allow": ["a b"], "deny": ["10.0.0.0/99"], "proxy": "proxy:3128"}.items():
        with pytest.raises(InvalidSettings) as error:
            load_settings(flags={"egress": {name: value}})
        assert f"egress.{name}: " in str(error.value)
    with pytest.raises(InvalidSettings) as error:
        load_settings(flags={"egress": {"proxy": "http://user:secret@proxy:99999"}})
    assert "secret" not in str(error.value)
    monkeypatch.setenv("FLOWGRAM_EGRESS__DENY", "private, *:25")
    monkeypatch.setenv("FLOWGRAM_EGRESS__PROXY", "http://user:hunter2@proxy:3128")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    egress = settings.egress_settings()
    assert [rule.text for rule in egress.deny] == ["private", "*:25"]
    assert egress.proxy == "http://user:hunter2@proxy:3128"


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ({"file": "/x"}, "secrets.KEY.hosts"),
        ({"file": "/x", "hosts": []}, "secrets.KEY.hosts"),
        ({"file": "/x", "hosts": ["*"]}, "secrets.KEY.hosts"),
        ({"hosts": ["a.example"]}, "secrets.KEY: should have either file or env"),
        ({"file": "/x", "env": "X", "hosts": ["a.example"]}, "secrets.KEY: should have either file or env"),
        ({"value": "hunter2", "env": "X", "hosts": ["a.example"]}, "secrets.KEY.value: there is no such setting"),
    ],
)  # fmt: skip
def test_secrets_are_looked_at_at_start(secret: dict[str, Any], expected: str) -> None:
    """But not their values: one that is missing keeps no server from starting."""
    with pytest.raises(InvalidSettings) as error:
        load_settings(flags={"secrets": {"KEY": secret}})
    assert expected in str(error.value)
    assert "hunter2" not in str(error.value)
    with pytest.raises(InvalidSettings, match="the name of a secret"):
        load_settings(flags={"secrets": {"a.b": {"env": "X", "hosts": ["a.example"]}}})


def test_a_secret_in_the_settings(tmp_path: Path) -> None:
    """Its file need not be there yet."""
    config = tmp_path / "flowgram.toml"
    config.write_text('[secrets.KEY]\nfile = "/not/there"\nhosts = ["a.example"]\nnamespaces = ["n"]\n')
    settings = load_settings(config)
    assert settings.secrets["KEY"].source().namespaces == {"n"}
    assert settings.workflow_secrets()
    assert not load_settings().workflow_secrets()


def test_key_files_are_looked_at_at_start(tmp_path: Path) -> None:
    """One that is missing or holds no key is an error, which names it and does not show it; they serve Temporal, too."""
    file = tmp_path / "key"
    good = base64.b64encode(b"k" * 32).decode()
    for content, expected in (
        (None, "No such file"),
        ("hunter2", "'k1' is not the base64"),
        ("ü", "no base64"),
    ):
        if content is not None:
            file.write_text(content)
        with pytest.raises(InvalidSettings) as error:
            load_settings(flags={"encryption": {"key_files": {"k1": file}}})
        assert "encryption.key_files: " in str(error.value)
        assert expected in str(error.value)
        assert "hunter2" not in str(error.value)
    file.write_text(f"{good}\n")
    with pytest.raises(InvalidSettings, match="the name of a key"):
        load_settings(flags={"encryption": {"key_files": {"a b": file}}})
    settings = load_settings(flags={"encryption": {"key_files": {"k1": file, "k0": file}}})
    keys = settings.encryption.keys()
    assert keys is not None
    assert keys.names == ("k1", "k0")
    assert settings.temporal_settings().encryption_keys == {"k1": good, "k0": good}
    own = {"encryption_keys": {"own": good}}
    settings = load_settings(flags={"encryption": {"key_files": {"k1": file}}, "temporal": own})
    assert [*settings.temporal_settings().encryption_keys] == ["own"]
    assert load_settings().encryption.keys() is None


def test_what_a_host_takes_is_what_clients_are_told() -> None:
    """On Temporal a schema and the inputs have less room; lower settings count, and bodies of REST have room for no more."""
    settings = load_settings(flags={"runtime": "temporal", "max_schema_bytes": 1000})
    service = settings.service()
    assert (service.max_schema_bytes, service.max_inputs_bytes) == (1000, 384 * 1024)
    assert settings.gateway().max_body_bytes == 2 * 1000 + 384 * 1024 + 1024 * 1024
    runtime = load_settings(flags={"runtime": "temporal"}).runtime_settings()
    assert (runtime.max_schema_bytes, runtime.max_inputs_bytes) == (1024 * 1024, 384 * 1024)
    assert runtime.limits.max_snapshot_bytes == runtime.max_output_bytes == 384 * 1024


@pytest.mark.parametrize(
    ("flags", "denied"),
    [
        ({}, False),
        ({"listen": "localhost:1", "http_listen": "[::1]:2"}, False),
        ({"listen": "0.0.0.0:1"}, True),
        ({"http_listen": "192.0.2.1:2"}, True),
        ({"listen": "server.example:1", "http_listen": ""}, True),
    ],
)
def test_private_addresses_are_denied_where_the_server_listens_beyond_loopback(
    flags: dict[str, str], denied: bool
) -> None:
    """Where the settings of a node type do not say it themselves."""
    settings = load_settings(flags=flags)
    assert settings.egress_settings().deny_private is denied
    assert settings.http_settings().deny_private is None
    assert settings.egress_settings(is_exposed=True).deny_private


def test_a_socks_proxy_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a package of its own."""
    monkeypatch.setenv("ALL_PROXY", "socks5://[::1]:1080")
    load_settings(flags={"http": {"trust_env": True}})


def test_all_errors_are_reported(tmp_path: Path) -> None:
    """Several errors are reported at once, a line for each."""
    with pytest.raises(InvalidSettings) as error:
        load_settings(flags={"max_nodes": 0, "max_events": "x"})
    assert len(str(error.value).splitlines()) == 2


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that was named and is not there is an error, not a default."""
    with pytest.raises(InvalidSettings, match="No such file"):
        load_settings(tmp_path / "none.toml")
