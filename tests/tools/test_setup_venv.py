"""Which interpreter tools/setup_venv.sh makes an environment with. Those on PATH are scripts that say what they are."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = (
    "tools/setup_venv.sh",
    "tools/test_oldest.sh",
    "pyproject.toml",
    "clients/python/pyproject.toml",
    "constraints.txt",
)
COMMANDS = ("sh", "awk", "cat", "cksum", "rm", "sort", "touch", "tr")
"""What the script needs. The folders that they are in have interpreters, too, and are not on PATH here."""

PROGRAM = """#!{python} -IS
import sys, sysconfig

if sys.argv[1] == "-c":
    sys.version_info, sys.base_prefix = {version}, {base!r}
    sysconfig.get_config_vars().update(CONFIG_ARGS={options!r}, installed_base={base!r})
    if not {makes_environments}:
        sys.modules["ensurepip"] = None
    sys.argv = sys.argv[1:]
    exec(sys.argv.pop(1))
elif sys.argv[1] == "--version":
    print("Python of {name}")
elif sys.argv[1:3] == ["-m", "venv"]:
    import pathlib, shutil

    program = pathlib.Path(sys.argv[3], "bin", "python")
    program.parent.mkdir(parents=True)
    shutil.copy(__file__, program)
elif sys.argv[1:3] == ["-m", "pip"]:
    print("{name} installs")
"""


@dataclass(frozen=True)
class Interpreter:
    """What one is like.

    Attributes:
        folder: Its place on PATH.
        called: Its name there.
        version: Its version.
        optimized: Whether it was built with `--enable-optimizations`.
        headers: Whether the headers of C are there.
        makes_environments: Whether it has `ensurepip`.
        base: Its prefix, where it is not one of its own.
    """

    folder: str
    called: str = "python3"
    version: tuple[int, int] = (3, 12)
    optimized: bool = False
    headers: bool = True
    makes_environments: bool = True
    base: str = ""


@dataclass
class Machine:
    """A clone of the project on a machine with some interpreters."""

    root: Path
    path: list[str] = field(default_factory=list)

    def install(self, *interpreters: Interpreter) -> None:
        """Adds interpreters to the end of PATH."""
        for each in interpreters:
            folder = self.root / each.folder
            folder.mkdir(exist_ok=True)
            base = Path(each.base or self.root / f"prefix-{each.folder}")
            if each.headers and not each.base:
                # The place is that of the version that runs, whatever it says it is.
                include = base / f"include/python{sys.version_info[0]}.{sys.version_info[1]}"
                include.mkdir(parents=True, exist_ok=True)
                (include / "Python.h").touch()
            self.program(
                folder / each.called,
                PROGRAM.format(
                    python=sys.executable,
                    name=each.folder,
                    version=(*each.version, 0),
                    base=str(base),
                    options="'--enable-shared'" + " '--enable-optimizations'" * each.optimized,
                    makes_environments=each.makes_environments,
                ),
            )

    def program(self, path: Path, text: str) -> None:
        """Writes a program, and has it found."""
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        if str(path.parent) not in self.path:
            self.path.append(str(path.parent))

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Makes the environment."""
        return self.run("tools/setup_venv.sh", ".venv", "constraints.txt", **environment)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a tool in the clone."""
        return subprocess.run(
            command,
            cwd=self.root / "clone",
            env={"PATH": ":".join([*self.path, str(self.root / "commands")]), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def chosen(self, **environment: str) -> tuple[str, str]:
        """The folder of the interpreter that the environment was made with, and what was said."""
        done = self.set_up(**environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix(" installs\n"), done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for file in FILES:
        (tmp_path / "clone" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / "clone" / file)
    (tmp_path / "commands").mkdir()
    for command in COMMANDS:
        found = shutil.which(command)
        assert found is not None
        (tmp_path / "commands" / command).symlink_to(found)
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "better",
    [
        Interpreter("second", optimized=True),
        Interpreter("second", optimized=True, headers=False),
        Interpreter("second", base="/usr"),
        Interpreter("second", called="python3.11", version=(3, 11), optimized=True),
    ],
)
def test_an_optimized_interpreter_is_found_behind_another(machine: Machine, better: Interpreter) -> None:
    """Also where one that is called the same is in front of it; those of distributions count, whatever they say of their build."""
    machine.install(Interpreter("first"), better, Interpreter("third"))
    chosen, said = machine.chosen()
    assert chosen == "second"
    assert "without optimizations" not in said


def test_of_optimized_interpreters_the_first_with_headers_is_taken(machine: Machine) -> None:
    """Extension modules can be compiled for it."""
    machine.install(
        Interpreter("first", optimized=True, headers=False),
        Interpreter("second"),
        Interpreter("third", optimized=True),
        Interpreter("fourth", optimized=True),
    )
    assert machine.chosen()[0] == "third"


def test_without_an_optimized_interpreter_the_first_is_taken(machine: Machine) -> None:
    """It serves, and one line says that another would be faster."""
    machine.install(Interpreter("first", headers=False), Interpreter("second"))
    chosen, said = machine.chosen()
    assert chosen == "first"
    assert f"{machine.root}/first/python3 was built without optimizations" in said


def test_what_does_not_work_is_passed_over(machine: Machine) -> None:
    """A shim of a version that is not there, one that is too old, one without `ensurepip`, a folder, a file that is no program."""
    machine.program(machine.root / "shims/python3", "#!/bin/sh\necho no such version >&2\nexit 127\n")
    (machine.root / "shims/python3.13").mkdir()
    (machine.root / "shims/python3.14").write_text("")
    machine.install(
        Interpreter("old", version=(3, 10), optimized=True),
        Interpreter("without", optimized=True, makes_environments=False),
        Interpreter("a folder with spaces"),
    )
    assert machine.chosen()[0] == "a folder with spaces"


def test_an_interpreter_that_makes_no_environments_is_explained(machine: Machine) -> None:
    """Where there is no other: what is missing can be installed."""
    machine.install(Interpreter("only", optimized=True, makes_environments=False))
    done = machine.set_up()
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_the_interpreter_that_is_named_is_used(machine: Machine) -> None:
    """By its path or its name, whatever else there is; it is a choice, and no remark is made."""
    machine.install(Interpreter("first", optimized=True), Interpreter("named", called="python3.12"))
    for python in ("python3.12", f"{machine.root}/named/python3.12"):
        chosen, said = machine.chosen(PYTHON=python)
        assert chosen == "named"
        assert "optimizations" not in said
        shutil.rmtree(machine.root / "clone/.venv")


def test_an_environment_keeps_its_interpreter(machine: Machine) -> None:
    """What is installed changes; a better interpreter that has come is not a reason to make it anew."""
    machine.install(Interpreter("first"))
    machine.chosen()
    machine.path.clear()
    machine.install(Interpreter("second", optimized=True))
    assert machine.chosen() == ("", "")
    with (machine.root / "clone/constraints.txt").open("a", encoding="utf-8") as constraints:
        constraints.write("another==1\n")
    assert machine.chosen()[0] == "first"


def test_where_no_interpreter_will_do_that_is_told_apart(machine: Machine) -> None:
    """By the exit status; too new is as bad as too old, for those who say what is the newest."""
    nothing = machine.set_up()
    assert nothing.returncode == 3
    assert "Python 3.11 or newer is needed" in nothing.stderr
    machine.install(Interpreter("new", version=(3, 14)), Interpreter("old", version=(3, 10)))
    too_new = machine.set_up(NEWEST="3.13")
    assert too_new.returncode == 3
    assert "Python 3.11 to 3.13 is needed" in too_new.stderr
    named = machine.set_up(PYTHON=f"{machine.root}/old/python3")
    assert named.returncode == 3
    assert "is not a working Python 3.11 or newer" in named.stderr
    assert not (machine.root / "clone/.venv").exists()
    assert machine.chosen(NEWEST="3.14")[0] == "new"


def test_the_oldest_versions_are_not_tested_without_an_interpreter_for_them(machine: Machine) -> None:
    """That is no failure; but it is one that an environment cannot be made with the interpreter that is there."""
    machine.install(Interpreter("new", version=(3, 14)))
    assert machine.run("tools/test_oldest.sh").returncode == 0
    assert "skipped" in machine.run("tools/test_oldest.sh").stderr
    machine.install(Interpreter("without", version=(3, 13), makes_environments=False))
    failed = machine.run("tools/test_oldest.sh")
    assert failed.returncode == 1
    assert "skipped" not in failed.stderr
