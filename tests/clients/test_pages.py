"""The pages of the clients are true: their commands and programs are run, outside of the repository, as a new user would.

Each test works in a folder with a link `flowgram-server` to this clone, makes the project that the page describes, and
runs the page's program and all its fragments against the real server.
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients.environment import ServerProcess
from clients.pages import ROOT, Page, install, run_commands
from support.toolchains import build, require

pytestmark = pytest.mark.timeout(900)  # compilers and package managers run

ADDRESS = "127.0.0.1:50051"
"""Where the pages have the server."""


@pytest.fixture(scope="module")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server on one host only: what a page says does not depend on it."""
    server = ServerProcess(Path(tmp_path_factory.mktemp("server")))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def target(server_process: ServerProcess) -> str:
    """The address of the real server."""
    server_process.ensure_started()
    return server_process.target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder beside a clone, with the project `hello` to come."""
    (tmp_path / "flowgram-server").symlink_to(ROOT, target_is_directory=True)
    return tmp_path


def save_workflow(project: Path) -> None:
    (project / "workflow.json").write_text(Page("clients.md").blocks("json")[0], "utf-8")


GO_FRAGMENTS = """\
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

type fragment = func(context.Context, *flowgram.Client, json.RawMessage, string, int64) error

func main() {
	schema, err := os.ReadFile("workflow.json")
	if err != nil {
		log.Fatal(err)
	}
	client, err := flowgram.Dial("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	taskID, err := client.Run(ctx, flowgram.RunRequest{Schema: schema})
	if err != nil {
		log.Fatal(err)
	}
	for _, fragment := range fragments {
		if err := fragment(ctx, client, schema, taskID, 0); err != nil {
			log.Fatal(err)
		}
		fmt.Println("done")
	}
}

var _ = errors.As

var fragments = []fragment{
"""


def test_go(folder: Path, target: str) -> None:
    """The page of the Go client works as it stands: project, program, fragments."""
    require("go")
    page = Page("clients/go.md")
    begin, finish, *_ = page.blocks("sh")
    program, *fragments = page.blocks("go")
    run_commands(begin, folder)
    project = folder / "hello"
    save_workflow(project)
    (project / "main.go").write_text(program.replace(ADDRESS, target), "utf-8")
    install("go mod tidy", project)
    assert run_commands(finish, project) == "Why?\n"
    (project / "fragments").mkdir()
    functions = [
        "func(ctx context.Context, client *flowgram.Client, schema json.RawMessage, taskID string, last int64) error {\n"
        f"{each}\nreturn nil\n}},\n"
        for each in fragments
    ]
    text = GO_FRAGMENTS.replace(ADDRESS, target) + "".join(functions) + "}\n"
    (project / "fragments" / "main.go").write_text(text, "utf-8")
    assert run_commands("go run ./fragments", project).count("done") == len(fragments) > 1


PYTHON_FRAGMENTS = """\
import asyncio
from pathlib import Path

import fragments
from flowgram_client import AsyncClient


async def main() -> None:
    schema = Path("workflow.json").read_text()
    async with AsyncClient("127.0.0.1:50051") as client:
        task_id = await client.run(schema, {"text": "hi"})
        for fragment in fragments.ALL:
            await fragment(client, schema, task_id, 0)
            print("done")


asyncio.run(main())
"""


def test_python(folder: Path, target: str) -> None:
    """The page of the Python client works as it stands, with nothing installed but the client and what it needs."""
    page = Page("clients/python.md")
    begin, finish = page.blocks("sh")
    program, *fragments = page.blocks("python")
    install(begin.replace("python3", sys.executable), folder)
    save_workflow(folder)
    (folder / "main.py").write_text(program.replace(ADDRESS, target), "utf-8")
    assert run_commands(finish, folder).splitlines()[-1] == "{'text': 'What is gRPC?'}"
    functions = [
        f"async def fragment{number}(client, schema, task_id, last):\n{textwrap.indent(text, '    ')}\n"
        for number, text in enumerate(fragments)
    ]
    names = ", ".join(f"fragment{number}" for number in range(len(fragments)))
    (folder / "fragments.py").write_text("\n".join([*functions, f"ALL = [{names}]\n"]), "utf-8")
    (folder / "run_fragments.py").write_text(PYTHON_FRAGMENTS.replace(ADDRESS, target), "utf-8")
    assert run_commands("venv/bin/python run_fragments.py", folder).count("done") == len(fragments) > 1


TS_HEAD = 'import { createClient, outputsOf, type Client } from "flowgram-client";\n'
TS_MAIN = """\
const schema = await readFile("workflow.json", "utf8");
const client = createClient({ target: "127.0.0.1:50051" });
const taskId = await client.run(schema, { text: "hi" });
for (const fragment of fragments) {
  await fragment(client, schema, { text: "hi" }, taskId, 0, "token");
  console.log("done");
}
client.close();
"""
TS_PARAMETERS = "client: Client, schema: string, inputs: object, taskId: string, last: number, token: string"
STRICT = "npx tsc --noEmit --skipLibCheck false -p ."


def test_js(folder: Path, target: str) -> None:
    """The page of the TypeScript client works as it stands in a strict project without any types but the package's."""
    require("node")
    require("npm")
    build("tools/setup_node.sh", "clients/js", cwd=ROOT)
    page = Page("clients/js.md")
    begin, finish, *_ = page.blocks("sh")
    program, *fragments = page.blocks("ts")
    commands = [line for line in begin.splitlines() if " ci" not in line]  # the clone has its packages
    install("\n".join(commands), folder)
    project = folder / "hello"
    save_workflow(project)
    (project / "main.ts").write_text(program.replace(ADDRESS, target), "utf-8")
    installed = project / "node_modules" / "flowgram-client"
    assert (installed / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (installed / "README.md").exists()
    assert run_commands(finish, project).splitlines()[-1] == "{ text: 'What is gRPC?' }"
    names = []
    for number, fragment in enumerate(fragments):
        imports = re.findall(r"^import .*$", fragment, re.MULTILINE)
        body = re.sub(r"^import .*$", "", fragment, flags=re.MULTILINE)
        text = TS_HEAD + "\n".join(imports) + f"\nexport async function run({TS_PARAMETERS}) {{\n{body}\n}}\n"
        (project / f"fragment{number}.ts").write_text(text, "utf-8")
        names.append(f"fragment{number}")
    lines = ['import { readFile } from "node:fs/promises";', TS_HEAD]
    lines += [f'import {{ run as {name} }} from "./{name}.js";' for name in names]
    lines += [f"const fragments = [{', '.join(names)}];", TS_MAIN.replace(ADDRESS, target)]
    (project / "fragments.ts").write_text("\n".join(lines), "utf-8")
    assert run_commands("npx tsc\nnode fragments.js", project).count("done") == len(fragments) > 1
    run_commands(STRICT, project)


JAVA_FRAGMENT_IMPORTS = re.compile(r"`((?:com|io)\.[\w.]+\.[A-Z]\w+)`")


def test_java(folder: Path, target: str) -> None:
    """The page of Java works as it stands: generated code, a program, and the reason of an error."""
    require("java")
    require("mvn")
    page = Page("clients/java.md")
    begin, finish = page.blocks("sh")
    program, errors = page.blocks("java")
    run_commands(begin, folder)
    project = folder / "hello"
    save_workflow(project)
    (project / "pom.xml").write_text(page.blocks("xml")[0], "utf-8")
    main = project / "src" / "main" / "java" / "Main.java"
    main.write_text(program.replace(ADDRESS, target), "utf-8")
    install("mvn -B -q compile", project)
    assert '{"text":"What is gRPC?"}' in run_commands(finish, project)
    imports = JAVA_FRAGMENT_IMPORTS.findall((ROOT / "docs/clients/java.md").read_text("utf-8"))
    changed = program.replace("    } finally {", f"{errors}    }} finally {{")
    changed = "".join(f"import {name};\n" for name in imports) + changed
    main.write_text(changed.replace(ADDRESS, target), "utf-8")
    assert "TASK_NOT_FOUND" in run_commands(finish, project)
