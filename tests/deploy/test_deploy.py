"""What is in deploy/, as far as it can be checked without a container daemon or a cluster."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.toolchains import deploy_tool

from flowgram_server.settings.server import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/flowgram-server"
KUBERNETES = ("--kube-version", "1.33.0")
SAFE = ("--set", "tls.secretName=t,auth.apiKeysSecret=k")


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read("compose.yaml"))
    return found


# The image


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, with lines that go on joined."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", read("Dockerfile"), flags=re.MULTILINE))
    return [
        (word, rest.strip()) for line in text.splitlines() if line for word, _, rest in [line.partition(" ")]
    ]


def test_the_image_runs_without_privileges() -> None:
    """The last stage has a user that is not root, a health check, and takes no shell to start."""
    last = max(index for index, (word, _) in enumerate(instructions()) if word == "FROM")
    stage = dict(instructions()[last:])
    user = stage["USER"].partition(":")[0]
    assert user.isdecimal()
    assert int(user) > 1000
    assert json.loads(stage["ENTRYPOINT"]) == ["flowgram"]
    assert "/healthz" in stage["HEALTHCHECK"]


def test_the_dockerfile_keeps_to_the_rules() -> None:
    """Those of hadolint that matter here: versions of bases, absolute folders, COPY and not ADD, no `cd`, no sudo."""
    images = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)", read("Dockerfile"), re.MULTILINE))
    assert images
    for image in images.values():
        assert re.fullmatch(r"[a-z]+:\d+\.\d+[\w.-]*", image), image
    for word, rest in instructions():
        assert word != "ADD"
        if word == "FROM":
            assert rest.startswith("${")
        if word == "WORKDIR":
            assert rest.startswith("/")
        if word == "RUN":
            assert not re.search(r"\bcd |\bsudo\b|apt-get|curl|wget", rest), rest
        if word in {"ENTRYPOINT", "CMD"}:
            assert isinstance(json.loads(rest), list)


def test_hadolint_finds_nothing() -> None:
    """Hadolint itself, where it is there: it knows more rules, and those of shell scripts."""
    hadolint = deploy_tool("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_exists_and_is_in_the_context() -> None:
    """No COPY fails for a file that is missing, or that .dockerignore keeps out."""
    let_in = [line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")]
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(source == each or source.startswith(f"{each}/") for each in let_in), source


def test_the_variables_of_the_image_are_settings() -> None:
    """A misspelt one would keep the server from starting."""
    names = set(re.findall(r"\bFLOWGRAM_(\w+)=", read("Dockerfile")))
    assert len(names) > 3
    assert {name.lower() for name in names} <= {*Settings.model_fields}


def test_requirements_are_the_constraints_with_hashes() -> None:
    """The image has the versions that were tested, and each file has a hash; no file names where it is from."""
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", read("constraints.txt"), re.MULTILINE))
    tested = {_normal(name): version for name, version in pins.items()}
    text = read("deploy/requirements.txt")
    entries = re.findall(
        r"^([\w.-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    assert {_normal(name): version for name, version, _ in entries}.items() <= tested.items()
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    assert len(entries) == len(lines) > 30
    assert "http" not in re.sub(r"^http\w*==|--hash=\S+", "", text, flags=re.MULTILINE).replace(
        "httpx2", ""
    ).replace("httpcore2", "")


def test_requirements_are_complete() -> None:
    """Every dependency of the server and its extras is there."""
    names = {
        _normal(name) for name in re.findall(r"^([\w.-]+)==", read("deploy/requirements.txt"), re.MULTILINE)
    }
    project = read("pyproject.toml")
    parts = re.findall(r"^(?:dependencies|otel|temporal) = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert len(parts) == 3
    wanted = {_normal(name) for part in parts for name in re.findall(r'^    "([\w.-]+)', part, re.MULTILINE)}
    assert wanted - {"flowgram-client"} <= names


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# Compose


def test_services_are_known_to_each_other() -> None:
    """Dependencies, volumes and mounted files are there, and ports are published on this machine alone."""
    found = compose()
    for name, service in found["services"].items():
        assert {*service.get("depends_on", ())} <= found["services"].keys(), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in found["volumes"], source
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), port
        if "build" not in service:
            assert re.search(r":v?\d", service["image"]), name


@pytest.mark.parametrize("profile", ["", "temporal"])
def test_the_compose_file_keeps_to_the_specification(profile: str) -> None:
    """Its reference implementation reads it, checks it by its schema, and finds that all fits together."""
    environment = {"PATH": os.environ["PATH"], "COMPOSE_PROFILES": profile}
    done = subprocess.run(
        [deploy_tool("compose-spec"), "-format", "json", ROOT / "compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert {"server", "prometheus"} <= services.keys()


def test_the_servers_are_hardened() -> None:
    """Read-only root, no capabilities, and settings that exist."""
    names = set()
    for service in compose()["services"].values():
        if service["image"] == "flowgram-server":
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            names |= {name for name in service.get("environment", ()) if name.startswith("FLOWGRAM_")}
    fields = {name.removeprefix("FLOWGRAM_").lower().partition("__")[0] for name in names}
    assert len(fields) > 4
    assert fields <= {*Settings.model_fields}


def test_prometheus_scrapes_the_servers() -> None:
    """By their names in the compose file."""
    (job,) = yaml.safe_load(read("deploy/compose/prometheus.yaml"))["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    assert {*discovery["names"]} <= compose()["services"].keys()
    assert discovery["port"] == 9464


def test_the_collector_takes_what_the_servers_send() -> None:
    """Each pipeline is made of parts that are set up."""
    found = yaml.safe_load(read("deploy/compose/collector.yaml"))
    assert found["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(":4317")
    for pipeline in found["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert {*names} <= found[kind].keys()


def test_the_dashboard_shows_metrics_that_exist() -> None:
    """Every metric of ours in a query is in the tables of the documentation, with the labels that it is asked for; the panels do not overlap.

    That a server gives the metrics of these tables is checked in tests/server/telemetry.
    """
    dashboard = json.loads(read("deploy/grafana/dashboards/flowgram.json"))
    labels = documented_labels()
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    used = set()
    for query in queries:
        names = re.findall(r"\b((?:flowgram|grpc_server|gen_ai_client)_\w+)\{", query)
        (name,) = names or [None]
        if name is None:
            assert re.search(r"\bprocess_\w+\{", query), query
            continue
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        assert base in labels, query
        asked = {label for group in re.findall(r"by \((.*?)\)", query) for label in group.split(", ")}
        asked |= set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", query))
        assert asked <= labels[base] | {"job", "instance", "le"}, query
        used.add(base)
    assert len(used) > 15
    places = [tuple(panel["gridPos"][key] for key in "xy") for panel in dashboard["panels"]]
    assert len({*places}) == len(places)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)


def documented_labels() -> dict[str, set[str]]:
    """The labels of each metric of the documentation's tables."""
    found: dict[str, set[str]] = {}
    before: set[str] = set()
    for line in read("docs/observability.md").splitlines():
        row = [cell.strip() for cell in line.strip("|").split("|")]
        if len(row) > 2 and re.fullmatch(r"`(flowgram|grpc_server|gen_ai)_\w+`", row[0]):
            labels = set(re.findall(r"`(\w+)`", row[2])) if len(row) > 3 else set()
            before = found[row[0].strip("`")] = labels | (before if "the same" in row[2] else set())
    return found


# Kubernetes


@pytest.fixture(scope="module")
def helm() -> str:
    return os.environ.get("HELM") or deploy_tool("helm")


def render(helm: str, *flags: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [helm, "template", "r", CHART, *KUBERNETES, *flags], capture_output=True, text=True, check=True
    )
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def test_the_chart_is_well_formed(helm: str) -> None:
    """`helm lint` finds nothing."""
    done = subprocess.run(
        [helm, "lint", "--strict", CHART, *SAFE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", ["1.27", "1.33", "1.37"])
@pytest.mark.parametrize("runtime", ["embedded", "temporal"])
def test_kubernetes_knows_what_is_rendered(helm: str, runtime: str, version: str, tmp_path: Path) -> None:
    """Every field is in the schemas of the oldest version that the chart takes, and of newer ones; none is misspelt or of another type."""
    validate = deploy_tool("kubernetes-validate")
    rendered = tmp_path / "rendered.yaml"
    objects = render(helm, *SAFE, "--set", f"runtime={runtime},temporal.address=t:7233")
    rendered.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    done = subprocess.run(
        [validate, "--strict", "--kubernetes-version", version, rendered],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count(" passed for resource ") == len(objects) > 3, said


def test_embedded_is_one_pod_with_a_volume(helm: str) -> None:
    """Hardened, with probes, its certificates and keys, and settings as they were given."""
    objects = render(helm, *SAFE, "--set", "settings.max_nodes=100,podMonitor.enabled=true")
    (server,) = of_kind(objects, "StatefulSet")
    assert server["spec"]["replicas"] == 1
    pod = server["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    check_container(container, pod)
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in server["spec"]["volumeClaimTemplates"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]} | claims
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["FLOWGRAM_TLS__CERT_FILE"] == "/etc/flowgram/tls/tls.crt"
    assert variables["FLOWGRAM_AUTH__API_KEYS_FILE"] == "/etc/flowgram/keys/keys"
    (settings,) = of_kind(objects, "ConfigMap")
    assert settings["data"]["flowgram.toml"].strip() == "max_nodes = 100"
    (policy,) = of_kind(objects, "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert of_kind(objects, "PodMonitor")
    assert not of_kind(objects, "Deployment")


def test_temporal_is_any_number_of_both(helm: str) -> None:
    """Servers and workers, of which workers have a version."""
    flags = ("--set", "runtime=temporal,temporal.servers=3,temporal.workers=5")
    objects = render(helm, *SAFE, *flags)
    deployments = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "Deployment")}
    assert {name: spec["replicas"] for name, spec in deployments.items()} == {"r-server": 3, "r-worker": 5}
    for spec in deployments.values():
        pod = spec["template"]["spec"]
        check_container(pod["containers"][0], pod)
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    worker = deployments["r-worker"]["template"]["spec"]["containers"][0]
    assert worker["args"][0] == "worker"
    assert "FLOWGRAM_TEMPORAL__BUILD_ID" in {each["name"] for each in worker["env"]}
    assert not of_kind(objects, "StatefulSet")
    (service,) = of_kind(objects, "Service")
    labels = deployments["r-server"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def check_container(container: dict[str, Any], pod: dict[str, Any]) -> None:
    """Nothing that a cluster's policy for restricted pods would refuse; probes; settings that exist."""
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    names = {each["name"] for each in container["env"] if each["name"].startswith("FLOWGRAM_")}
    fields = {name.removeprefix("FLOWGRAM_").lower().partition("__")[0] for name in names}
    assert fields <= {*Settings.model_fields}


@pytest.mark.parametrize(
    "flags", [(), ("--set", "tls.secretName=t"), ("--set", "runtime=other,insecureRemote=true")]
)
def test_what_is_unsafe_or_unknown_is_refused(helm: str, flags: tuple[str, ...]) -> None:
    """Helm says what is missing, before anything is installed."""
    done = subprocess.run(
        [helm, "template", "r", CHART, *KUBERNETES, *flags], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "set " in done.stderr or "must be" in done.stderr


# Their tools


def test_a_tool_that_cannot_be_had_in_time_is_left_out() -> None:
    """Continuous integration goes on without it, and says so."""
    done = subprocess.run(
        [ROOT / "tools/build_deploy_tools.sh", "--within", "30", "no-such-tool"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "no no-such-tool within 30 s: its tests will be skipped" in done.stderr


# systemd


def test_the_unit_is_well_formed(tmp_path: Path) -> None:
    """Systemd finds nothing, and rates what the service may still do as low."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "flowgram.service"
    text = read("deploy/systemd/flowgram.service")
    unit.write_text(text.replace("/opt/flowgram/bin/flowgram", "/bin/true"), encoding="utf-8")
    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    ours = [line for line in verified.stderr.splitlines() if "flowgram" in line]
    assert not ours
    rated = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout[-500:]
