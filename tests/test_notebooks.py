from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTAGEN_STEPS", "2")
    monkeypatch.setenv("NOTAGEN_SCORES", "24")
    monkeypatch.setenv("NOTAGEN_WORK", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [
        kind for cell in notebook.cells for out in cell.get("outputs", [])
        for kind in out.get("data", {})
    ]  # fmt: skip
    assert shown.count("image/svg+xml") >= 1
    assert "image/png" in shown, "the curve"
    assert "text/html" in shown, "the audio"
