"""Every notebook runs from top to bottom, and holds what a notebook should."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
EPOCHS = re.compile(r'"epochs": \d+')
EPOCHS_IN_FILE = re.compile(r'\\"epochs\\": \d+')


def test_there_is_a_notebook_for_each_pipeline():
    pipelines = {path.stem for path in (FOLDER.parent / "pipelines").glob("[!_]*.py")}
    assert pipelines <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_calls_only_and_stored_without_outputs(path):
    notebook = nbformat.read(path, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(notebook.cells) <= 10
    assert not any("def " in cell.source or "class " in cell.source for cell in code)
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path.stem == "mnist_cnn" else pytest.mark.slow) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_a_notebook_runs_for_an_epoch(path, tmp_path, monkeypatch):
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        cell.source = EPOCHS.sub('"epochs": 1', cell.source)
    run(notebook, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if EPOCHS_IN_FILE.search(path.read_text())])
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    run(nbformat.read(path, 4), tmp_path, monkeypatch)


def run(notebook, tmp_path, monkeypatch):
    """Run a notebook as a person would, and look for its pictures."""
    # A kernel shows pictures unless it is told of another backend.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}})
    executed = client.execute()
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
