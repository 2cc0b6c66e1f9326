"""Every notebook runs from top to bottom, and holds what a notebook should."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("epochs", ["1", pytest.param("as many as it says", marks=pytest.mark.slow)])
def test_a_notebook_runs(path, epochs, tmp_path, monkeypatch):
    # A kernel shows pictures unless it is told of another backend.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(path, 4)
    if epochs == "1":
        for cell in notebook.cells:
            cell.source = re.sub(r'"epochs": \d+', '"epochs": 1', cell.source)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}})
    executed = client.execute()
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
