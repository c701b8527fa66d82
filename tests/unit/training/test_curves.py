"""What people look at after a run."""

from pathlib import Path

import pytest

from training import curves


def test_curves_are_drawn_and_a_missing_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert curves.main(["--run", str(tmp_path)]) == 1
    assert "is not a file; name" in capsys.readouterr().err
    pytest.importorskip("matplotlib")
    columns = "epoch,train_loss,held_out_loss,held_out_accuracy,learning_rate"
    (tmp_path / "history.csv").write_text(f"{columns}\n1,2.0,1.9,0.3,0.1\n2,1.5,1.4,0.5,0.05\n")
    assert curves.main(["--run", str(tmp_path)]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
