"""The notebook that walks from data to the edge runs whole, on faces that it draws, and comes to a model that reads."""

import json
import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the notebook's test needs nbformat: pip install -e .[dev]")
nbclient = pytest.importorskip("nbclient", reason="the notebook's test needs nbclient: pip install -e .[dev]")
for needed in ("ipykernel", "tensorflow", "ai_edge_litert", "matplotlib", "jinja2", "cv2"):
    pytest.importorskip(needed, reason="the notebook needs all of training: pip install -e .[train,classifier,dev]")

from shared.preset import load_model  # noqa: E402 - after what it may skip for
from tests.conftest import ROOT  # noqa: E402 - after what it may skip for

NOTEBOOK = ROOT / "notebooks" / "from-data-to-edge.ipynb"


def test_it_is_committed_without_what_a_run_left_in_it() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.timeout(600)
def test_it_leads_to_a_model_that_reads_the_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "FOLDER: Path | None = None" in first.source
    first.source = first.source.replace("FOLDER: Path | None = None", f"FOLDER = Path({str(tmp_path)!r})")
    # No accelerator, no network, whatever this machine has; and the notebook chooses the backend itself.
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))

    nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()

    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert report["faces"] == 140
    # Chance is one in seven.
    assert report["accuracy"] > 0.6
    assert load_model(tmp_path / "models" / "from_the_notebook").preset.probe is not None
    assert (tmp_path / "explain.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "report.html").is_file()
