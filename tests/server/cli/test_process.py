"""What only a process of its own can show: signals, pipes, and the real server."""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from support.authority import Authority
from support.scripted_server import HANG, ScriptedServer, history, watched
from support.workflows import ENDLESS

from flowgram.runtime.v1 import runtime_service_pb2
from flowgram_client import AsyncClient, RetryPolicy, TaskNotFoundError, UnavailableError
from flowgram_server.app import Server, open_server
from flowgram_server.cli.root import run
from flowgram_server.settings.loading import load_settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "order_triage.json"
FULL = Path("/dev/full")
ANSWERS = [
    f"You said: Question {number}: What is a {what}? (as: Answer in one sentence.)"
    for number, what in enumerate(("loop", "scope", "snapshot", "report"), 3)
]
OUTPUTS = {"pieces": 12, "heavy": True, "big": "manual:A-17"}


async def start(
    *arguments: str, module: str = "flowgram_server.cli", directory: Path | None = None
) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWGRAM_")}
    environment["FLOWGRAM_METRICS_LISTEN"] = ""  # others may run at the default address
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=directory,
    )


@pytest.fixture
async def real_server(tmp_path: Path) -> AsyncIterator[Server]:
    async with open_server(
        load_settings(flags={"listen": "127.0.0.1:0", "data": tmp_path, "access_log": False})
    ) as server:
        yield server


async def test_ctrl_c_leaves_the_task_alone(server: ScriptedServer) -> None:
    """Ctrl-C ends the display, says how to come back to the task, and does not cancel it."""
    server.on("TaskRun", runtime_service_pb2.TaskRunResponse(task_id="t1"))
    server.on("WatchTask", [watched(*history(9)[:3]), HANG])
    process = await start("run", str(EXAMPLE), "--json", "--target", server.target)
    assert process.stdout is not None
    while json.loads(await process.stdout.readline()).get("sequence") != 3:
        pass
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    again = f"flowgram watch t1 --after 3 --target {server.target}\n"
    assert f"The task goes on. Watch it again: {again}" in err.decode()
    assert server.requests("TaskCancel") == []


async def test_a_reader_that_leaves_ends_the_command_quietly(server: ScriptedServer) -> None:
    """As `flowgram watch TASK | head` does."""
    server.on("ServerInfo", runtime_service_pb2.ServerInfoResponse())
    server.on("WatchTask", [watched(*history(20_000))])
    process = await start("watch", "t1", "--target", server.target)
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    transport = process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]  # asyncio has no other way
    transport.close()
    err = await process.stderr.read()
    assert await process.wait() == 141
    assert err == b""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--help"], 141), (["run", "--help"], 141), (["--version"], 141), (["watch", "t1", "--after", "x"], 2)],
)
async def test_nobody_reads_at_all(arguments: list[str], status: int) -> None:
    """The exit status tells that, or what is wrong where the message could not."""
    reader, writer = os.pipe()
    os.close(reader)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flowgram_server.cli", *arguments), stdout=writer, stderr=writer
    )
    os.close(writer)
    assert await process.wait() == status


@pytest.mark.parametrize(
    ("redirection", "status"),
    [
        (">&-", 0),
        ("2>&-", 0),
        pytest.param(
            *(">/dev/full", 70), marks=pytest.mark.skipif(not FULL.exists(), reason=f"there is no {FULL}")
        ),
    ],
)
async def test_streams_that_cannot_be_written(redirection: str, status: int, server: ScriptedServer) -> None:
    """One that was closed by the parent process takes nothing; a full one is an error of its own."""
    server.on("ServerInfo", runtime_service_pb2.ServerInfoResponse(name="a server"))
    command = f'exec "$@" {redirection}'
    arguments = ("flowgram_server.cli", "info", "--target", server.target)
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", command, "sh", sys.executable, "-m", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == status
    assert (b"No space left" in err) == (status == 70)
    assert err.count(b"\n") == (status == 70)


async def test_against_the_real_server(real_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A workflow is validated, run and watched; report, result and list agree on it."""

    async def flowgram(*arguments: str) -> str:
        assert await asyncio.to_thread(run, [*arguments, "--target", real_server.address]) == 0
        return capsys.readouterr().out

    assert await flowgram("validate", str(EXAMPLE)) == "valid\n"
    lines = [
        json.loads(line)
        for line in (await flowgram("run", str(EXAMPLE), "--json", "--label", "a=b")).splitlines()
    ]
    task_id = lines[0]["task_id"]
    assert lines[-1]["outputs"] == OUTPUTS
    sequences = [line["sequence"] for line in lines if "sequence" in line]
    assert sequences == list(range(1, len(sequences) + 1))
    assert json.loads(await flowgram("result", task_id)) == OUTPUTS
    assert json.loads(await flowgram("report", task_id, "--json"))["last_sequence"] == sequences[-1]
    assert (await flowgram("list", "--label", "a=b")).startswith(task_id)
    watched_again = [json.loads(line) for line in (await flowgram("watch", task_id, "--json")).splitlines()]
    assert watched_again[:-1] == lines[1:-1]
    assert "condition" in await flowgram("info")


async def test_serve_until_sigterm(tmp_path: Path) -> None:
    """The server tells where it serves, and ends in order when asked to."""
    listen = ("--listen", "127.0.0.1:0", "--no-http")
    process = await start("serve", *listen, "--data", str(tmp_path), "--log-format", "json")
    assert process.stderr is not None
    while (line := json.loads(await process.stderr.readline()))["event"] != "serving":
        pass
    assert await asyncio.to_thread(run, ["info", "--target", line["address"]]) == 0
    process.terminate()
    await process.communicate()
    assert process.returncode == 0


async def test_a_log_that_nobody_reads(tmp_path: Path) -> None:
    """A server whose log's reader has gone answers as before, drains as before, and ends with status 0."""
    place = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", str(tmp_path))
    process = await start("serve", *place, "--log-format", "json")
    assert process.stderr is not None
    while (line := json.loads(await process.stderr.readline()))["event"] != "serving":
        pass
    process._transport.get_pipe_transport(2).close()  # type: ignore[attr-defined]  # asyncio has no other way
    try:
        client = AsyncClient(line["address"], reconnect=RetryPolicy(attempts=1))
        async with client, httpx2.AsyncClient(trust_env=False) as http:
            assert (await client.info()).name == "flowgram-server"
            with pytest.raises(TaskNotFoundError):
                await client.result("nope")
            assert (await http.get(f"http://{line['http']}/api/info")).status_code == 200
            task_id = await client.run(ENDLESS)
            events = client.watch(task_id)
            await anext(events)
            process.terminate()
            with pytest.raises(UnavailableError, match="shutting down"):
                await anext(event async for event in events if event.sequence > 1000)
            assert not (await client.result(task_id)).terminated
            process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


async def test_dev_llm(tmp_path: Path) -> None:
    """The development model says what it is and where, and ends when asked to."""
    process = await start("dev-llm", "--listen", "127.0.0.1:0")
    assert process.stdout is not None
    assert b"development" in await process.stdout.readline()
    assert (await process.stdout.readline()).startswith(b"apiHost: http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0


async def test_an_encrypted_gateway(tmp_path: Path) -> None:
    """A gateway of its own encrypts with its certificate, and audits what it refuses itself."""
    authority, audit = Authority(), tmp_path / "audit.jsonl"
    certificate, key = authority.server().write(tmp_path, "gateway")
    files = ("--listen-cert", str(certificate), "--listen-key", str(key), "--audit-log", str(audit))
    process = await start(
        *("gateway", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--log-format", "json", *files)
    )
    assert process.stderr is not None
    address = json.loads(await process.stderr.readline())["http"]
    context = ssl.create_default_context(cadata=authority.pem.decode())
    async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
        answer = await http.get(f"https://{address}/api/info", headers={"Host": "evil.example.com"})
    assert answer.status_code == 403
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0
    assert json.loads(audit.read_text())["reason"] == "HOST_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["serve", "--listen", "nowhere"], 2, "listen: should be HOST:PORT"),
        (["serve", "--max-nodes", "many"], 2, "max_nodes: Input should be a valid integer"),
        (["serve", "--config", "/nowhere/f.toml"], 2, "/nowhere/f.toml: No such file or directory"),
        (["serve", "--storage", "paper"], 2, "Invalid value for '--storage'"),
        (["serve", "--listen", "0.0.0.0:0", "--no-http"], 2, "0.0.0.0:0 can be reached from other machines"),
        (["serve", "--http", "[::]:0"], 2, "http_listen: [::]:0 can be reached from other machines"),
        (["dev-llm", "--listen", "127.0.0.1:x"], 2, "should be HOST:PORT"),
        (["gateway", "--listen", "127.0.0.1:x"], 2, "should be HOST:PORT"),
        (["gateway", "--listen", "0.0.0.0:0"], 2, "0.0.0.0:0 can be reached from other machines"),
        (["gateway", "--listen-cert", "a.pem"], 2, "--listen-cert and --listen-key belong together"),
        (
            ["gateway", "--listen", "127.0.0.1:0", "--listen-cert", "/no.pem", "--listen-key", "/no.key"],
            7,
            "/no.pem: No such file",
        ),
        (["gateway", "--cors-origins", "loopback,example.com"], 2, "example.com: is no origin"),
        (["gateway", "--listen", "127.0.0.1:0", "--metadata", "Bad Key=1"], 2, "metadata: the key 'Bad Key'"),
    ],
)
def test_wrong_settings(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings that cannot be are named, before anything is started."""
    assert run(arguments) == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("table", ["call_timeouts", "max_calls_by_type"])
def test_limits_of_node_types_that_there_are_not(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip in a name would mean no limit: the server does not start, and names the setting and the types."""
    config = tmp_path / "flowgram.toml"
    for name in ("htpp", "condition"):
        config.write_text(f'data = "{tmp_path}"\n[{table}]\nhttp = 5\n{name} = 5\n')
        assert run(["serve", "--config", str(config), "--listen", "127.0.0.1:0", "--no-http"]) == 2
        said = f'{table}: no node type "{name}" makes calls; those that do are code, http, llm'
        assert said in capsys.readouterr().err


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """Where another program listens already, each command that would serve says so and exits with 7."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for module, arguments in {
            "flowgram_server.cli": [
                "serve",
                "--listen",
                address,
                "--data",
                str(tmp_path),
                "--log-level",
                "error",
            ],
            "flowgram_server.demo": [
                "--listen",
                address,
                "--data",
                str(tmp_path),
                "--model-port",
                "0",
                str(EXAMPLE),
            ],
        }.items():
            process = await start(*arguments, module=module)
            _, err = await process.communicate()
            assert (process.returncode, f"cannot listen on {address}" in err.decode()) == (7, True)
            assert "Traceback" not in err.decode()
        for module, arguments in {
            "flowgram_server.cli": ["dev-llm", "--listen", address],
            "flowgram_server.demo": ["--model-port", address.rpartition(":")[2], str(EXAMPLE)],
        }.items():
            process = await start(*arguments, module=module)
            _, err = await process.communicate()
            assert (process.returncode, address in err.decode()) == (7, True)
            assert "in use" in err.decode()


async def test_a_node_type_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package whose node type is broken keeps a server from starting: each command says so on a line, exits with 7."""
    info = tmp_path / "acme_tea-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tea\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[flowgram_core.node_types]\ntea = acme_tea:TeaNode\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    place = ("--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
    said = (
        'the node type "tea = acme_tea:TeaNode" of acme-tea 1.0 cannot be used: '
        "ModuleNotFoundError: No module named 'acme_tea'\n"
    )
    for module, arguments in {
        "flowgram_server.cli": ["serve", *place, "--no-http"],
        "flowgram_server.demo": [*place, "--model-port", "0", str(EXAMPLE)],
    }.items():
        process = await start(*arguments, module=module)
        _, err = await process.communicate()
        assert err.decode().endswith(f": {said}")
        assert err.decode().count("\n") == 1
        assert process.returncode == 7


async def test_the_demo_once(tmp_path: Path) -> None:
    """With --once, server and model are started, the workflow is run, and everything ends with its exit status."""
    process = await start(
        *("--once", "--listen", "127.0.0.1:0", "--data", str(tmp_path), "--model-port", "0", str(EXAMPLE)),
        module="flowgram_server.demo",
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    text = out.decode()
    assert json.loads(text[text.index("\n{") :]) == OUTPUTS


async def test_the_workflow_that_make_run_shows(tmp_path: Path) -> None:
    """The demo's own example asks the model at whatever port it is; uvloop serves where it is installed."""
    process = await start(
        *("--once", "--listen", "127.0.0.1:0", "--data", str(tmp_path), "--model-port", "0"),
        module="flowgram_server.demo",
        directory=EXAMPLE.parents[1],
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    text = out.decode()
    assert json.loads(text[text.index("\n{") :]) == {"answers": ANSWERS}
    lines = map(json.loads, (tmp_path / "server.log").read_text().splitlines())
    (loop,) = (line["event_loop"] for line in lines if line["event"] == "serving")
    assert loop == ("asyncio" if importlib.util.find_spec("uvloop") is None else "uvloop")


async def test_the_demo_stays(tmp_path: Path) -> None:
    """Without --once, the server goes on for other terminals until Ctrl-C."""
    process = await start(
        *("--listen", "127.0.0.1:0", "--data", str(tmp_path), "--model-port", "0", str(EXAMPLE)),
        module="flowgram_server.demo",
    )
    assert process.stdout is not None
    while not (line := (await process.stdout.readline()).decode()).startswith("The server goes on at "):
        assert line
    address = line.split()[5].rstrip(",")
    assert await asyncio.to_thread(run, ["info", "--target", address]) == 0
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


async def test_the_demo_left_in_the_middle(tmp_path: Path) -> None:
    """Ctrl-C while the example runs ends everything in order."""
    slow = json.loads(EXAMPLE.read_text())
    code = next(node for node in slow["schema"]["nodes"] if node["id"] == "code_stats")
    code["data"]["script"]["content"] = "function main() { for (;;) {} }"
    file = tmp_path / "slow.json"
    file.write_text(json.dumps(slow))
    process = await start(
        *("--once", "--listen", "127.0.0.1:0", "--data", str(tmp_path), "--model-port", "0", str(file)),
        module="flowgram_server.demo",
    )
    assert process.stdout is not None
    while not (await process.stdout.readline()).startswith(b"processing"):
        pass
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert "Traceback" not in err.decode()
    assert process.returncode == 130
