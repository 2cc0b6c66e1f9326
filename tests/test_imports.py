"""Who imports whom, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import kerasuite

PACKAGE = Path(kerasuite.__file__).parent
ROOT = PACKAGE.parent
ROOMS = ("data", "models", "training", "evaluation", "serving")
GROUND = (
    "cluster",
    "columns",
    "contracts",
    "config",
    "devices",
    "downloads",
    "errors",
    "frozen",
    "progress",
    "ranges",
    "run_directory",
    "scripts",
    "whole_files",
    "workers",
)
# Each place may import the places to its right.
FLOORS = {"cli": 4, "__main__": 5, "__init__": 5, "commands": 3, "pipelines": 2} | dict.fromkeys(ROOMS, 1)


def imports(file: Path) -> set[str]:
    """The second part of every `kerasuite.X` that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "kerasuite":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("kerasuite.")}
    return found


def place(file: Path) -> str:
    if file.parent == ROOT / "pipelines":
        return "pipelines"
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files() -> list[Path]:
    return [*PACKAGE.rglob("*.py"), *(ROOT / "pipelines").glob("*.py")]


def test_the_files_are_all_read():
    found = {place(file) for file in files()}
    assert found == {*ROOMS, *GROUND, "cli", "commands", "pipelines", "__init__", "__main__"}
    assert len(files()) > 30


def test_nothing_imports_upward_and_no_room_imports_another():
    for file in files():
        here = place(file)
        for name in imports(file) - {"__version__"}:
            if name == here and here in ROOMS + ("commands", "pipelines"):
                continue
            if here in ("commands", "pipelines") and name in ("cli", "commands"):
                # A command looks pipelines up by name, and a pipeline run as a script is a command.
                continue
            assert FLOORS.get(name, 0) < FLOORS.get(here, 0) or (here in GROUND and name in GROUND), f"{file}: {name}"


def test_nothing_that_answers_help_imports_tensorflow():
    code = (
        "import sys, kerasuite.cli, kerasuite.config, kerasuite.run_directory, kerasuite.pipelines.mnist_cnn;"
        "kerasuite.cli.pipelines();"
        "print(*sorted({'tensorflow', 'keras', 'sklearn', 'matplotlib', 'polars'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
