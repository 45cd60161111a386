"""The notebook in docs/ runs from its beginning to its end, and what it makes shows itself."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "mnist.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the machinery of notebooks; what the cells warn of is in their output
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parent.parent), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    text = "".join(output.text for output in outputs if output.get("name") == "stdout")
    assert text.startswith("7 ")
    assert "no ink" in text
    assert "\n717\n" in text
    assert "Warning" not in "".join(output.text for output in outputs if output.get("name") == "stderr")
