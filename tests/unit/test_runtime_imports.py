"""What the services import when they run: nothing of training, and nothing connects."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

HEAVY = ("tensorflow", "keras", "torch", "jax", "matplotlib", "skimage", "pandas", "scipy")


@pytest.mark.parametrize(
    "module",
    ["capture.main", "classifier.main", "ingest.main", "web.main", "demo", "analyze"],
)
def test_a_service_imports_nothing_of_training(module: str) -> None:
    program = f"import sys, services.{module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_the_edge_imports_no_database() -> None:
    program = (
        "import sys, services.capture.main, services.classifier.main;"
        "print(*(name for name in ('sqlalchemy', 'asyncpg', 'fastapi', 'alembic') if name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
