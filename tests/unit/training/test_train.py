"""Whole runs of a tiny network: they learn, they stop and go on, they refuse what cannot work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

from training import metrics, train
from training.augment import AugmentConfig
from training.average import averaged_network
from training.checkpoint import Checkpoint, CheckpointError
from training.config import TrainConfig
from training.data import DataError
from training.logs import Terminal
from training.presets import PRESETS
from training.run import Run, predict_logits

GENTLE = AugmentConfig(gain=(1.0, 1.0), bias=0.0, erase=0.0)


def start(config: TrainConfig, folder: Path) -> Run:
    folder.mkdir(exist_ok=True)
    data, held_out, _ = train.load_training_set(config)
    return Run(config, folder, data, held_out)


def config_for(csv: Path, network: str, **changes: object) -> TrainConfig:
    settings = {
        "network": network,
        "data": str(csv),
        "epochs": 4,
        "batch_size": 16,
        "learning_rate": 0.05,
        "held_out_fraction": 0.2,
        "mixup_alpha": 0.1,
        "ema_decay": 0.9,
        **changes,
    }
    return TrainConfig(**settings)  # type: ignore[arg-type]  # each test passes what it varies


def test_a_stopped_run_reaches_the_same_result(tmp_path: Path, small_csv: Path, tiny_network: str) -> None:
    config = config_for(small_csv, tiny_network)
    straight = start(config, tmp_path / "straight")
    straight.train()

    stopped = start(config, tmp_path / "stopped")
    for _ in range(2):
        stopped.history.append(stopped.run_epoch())
        stopped.save()
    # Part of a third epoch that is lost with the process.
    stopped.run_epoch()
    resumed = start(config, tmp_path / "stopped")
    resumed.resume()
    resumed.train()

    one, other = Checkpoint.load(tmp_path / "straight"), Checkpoint.load(tmp_path / "stopped")
    assert one.complete
    assert other.complete
    assert one.epoch == other.epoch == 4
    for part in ("variables", "averaged", "optimizer"):
        mine, theirs = getattr(one, part), getattr(other, part)
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            np.testing.assert_allclose(value, theirs[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert [r["train_loss"] for r in one.history] == pytest.approx([r["train_loss"] for r in other.history], rel=1e-5)


def test_it_learns(tmp_path: Path, small_csv: Path, tiny_network: str) -> None:
    config = config_for(small_csv, tiny_network, epochs=15, augment=GENTLE, mixup_alpha=0.0, dropout=0.0)
    run = start(config, tmp_path / "run")
    run.train()
    assert run.history[-1]["held_out_accuracy"] > 0.6
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    log = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert len(log) == 1 + 15


def test_a_budget_ends_the_run(tmp_path: Path, small_csv: Path, tiny_network: str) -> None:
    run = start(config_for(small_csv, tiny_network, epochs=None, budget_minutes=0.02), tmp_path / "run")
    run.train()
    assert run.progress == 1
    assert run.history[-1]["learning_rate"] < 0.05


def test_the_second_head_learns_beside_and_is_not_part_of_the_network(
    tmp_path: Path, small_csv: Path, tiny_network: str
) -> None:
    votes = tmp_path / "fer2013new.csv"
    columns = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    usages = [line.rsplit(",", 1)[1] for line in small_csv.read_text().splitlines()[1:]]
    votes.write_text("\n".join([f"Usage,Image name,{columns}", *[f"{u},x,5,5,0,0,0,0,0,0,0,0" for u in usages]]) + "\n")
    run = start(config_for(small_csv, tiny_network, epochs=1, ferplus=str(votes)), tmp_path / "run")
    run.train()
    averaged = Checkpoint.load(tmp_path / "run").averaged
    assert averaged["ferplus/kernel"].shape[1] == 8
    assert averaged["logits/kernel"].shape[1] == 7


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, small_csv: Path, tiny_network: str) -> None:
    start(config_for(small_csv, tiny_network, epochs=1), tmp_path / "run").train()
    with pytest.raises(CheckpointError, match="another network"):
        start(config_for(small_csv, "mini_xception", epochs=1), tmp_path / "run").resume()


def test_a_damaged_or_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not finished an epoch"):
        Checkpoint.load(tmp_path)
    (tmp_path / "checkpoint.npz").write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Checkpoint.load(tmp_path)


def test_the_command_runs_resumes_and_explains(
    tmp_path: Path, small_csv: Path, tiny_network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    arguments = ["--run", str(folder), "--data", str(small_csv), "--epochs", "1", "--batch-size", "16"]
    parser_networks = [*arguments, "--network", "mini_xception"]
    assert train.main(parser_networks) == 0
    assert json.loads((folder / "config.json").read_text())["network"] == "mini_xception"
    assert {"split.json", "environment.json", "history.csv"} <= {path.name for path in folder.iterdir()}
    assert train.main(["--run", str(folder), "--resume"]) == 0
    assert "resumed after epoch 1" in capsys.readouterr().out

    with pytest.raises(SystemExit):
        train.main(parser_networks)
    assert "--resume" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train.main(["--run", str(tmp_path / "none"), "--resume"])
    assert "nothing" not in capsys.readouterr().err
    shutil.rmtree(folder)
    assert train.main(["--run", str(folder), "--data", str(tmp_path / "absent.csv")]) == 1
    assert "does not exist; give" in capsys.readouterr().err


def test_averaging_keeps_no_history_of_the_run(tmp_path: Path, small_csv: Path, tiny_network: str) -> None:
    run = start(config_for(small_csv, tiny_network), tmp_path / "run")
    run.run_epoch()
    assert not any(getattr(mean, "requires_grad", False) for mean in run.average._means)


def test_too_few_faces_for_a_batch_are_refused(tmp_path: Path, small_csv: Path, tiny_network: str) -> None:
    with pytest.raises(DataError, match="batch"):
        start(config_for(small_csv, tiny_network, batch_size=1000), tmp_path / "run")


def test_a_machine_for_training_needs_keras_numpy_and_pillow_alone() -> None:
    """Imported with everything else of the project's out of reach, as on a rented machine with an accelerator."""
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('cv2', 'pydantic', 'ai_edge_litert', 'sqlalchemy', 'structlog'):\n"
        "            raise ImportError(name + ' is not there')\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import training.train\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("moment", ["between two steps", "while the checkpoint is written"])
def test_an_interrupted_run_says_how_it_goes_on_and_reaches_the_same_result(
    moment: str,
    tmp_path: Path,
    small_csv: Path,
    tiny_network: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(
        PRESETS, "tiny", config_for(small_csv, tiny_network, epochs=3, early_stop_patience=2, schedule="plateau")
    )
    arguments = ["--preset", "tiny", "--data", str(small_csv)]
    assert train.main(["--run", str(tmp_path / "straight"), *arguments]) == 0
    shown = capsys.readouterr().out
    assert "model.keras has the weights of epoch" in shown

    calls = 0
    owner, name = (Terminal, "step_done") if moment == "between two steps" else (os, "fsync")
    real = getattr(owner, name)
    interrupted_call = 12 if moment == "between two steps" else 2

    def interrupt(*values: object) -> None:
        nonlocal calls
        calls += 1
        if calls == interrupted_call:
            raise KeyboardInterrupt
        real(*values)

    folder = tmp_path / "stopped"
    with monkeypatch.context() as context:
        context.setattr(owner, name, interrupt)
        assert train.main(["--run", str(folder), *arguments]) == 130
    assert f"--run {folder} --resume" in capsys.readouterr().err
    assert Checkpoint.load(folder).epoch == 1
    assert train.main(["--run", str(folder), "--resume"]) == 0

    one, other = Checkpoint.load(tmp_path / "straight"), Checkpoint.load(folder)
    assert one.result.keys() == other.result.keys()
    for name, value in one.result.items():
        np.testing.assert_allclose(value, other.result[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_run_that_may_stop_early_gives_its_best_weights(tmp_path: Path, small_csv: Path, tiny_network: str) -> None:
    # So high a rate spoils what was learnt before.
    config = config_for(small_csv, tiny_network, epochs=30, early_stop_patience=2, learning_rate=3.0, ema_decay=0.0)
    run = start(config, tmp_path / "run")
    run.train()
    checkpoint = Checkpoint.load(tmp_path / "run")
    assert checkpoint.complete
    assert checkpoint.epoch < 30
    losses = [record["held_out_loss"] for record in checkpoint.history]
    assert losses.index(min(losses)) == len(losses) - 3
    network = averaged_network(config, checkpoint)
    loss = metrics.negative_log_likelihood(predict_logits(network, run.held_out.pixels), run.held_out.labels)
    assert loss == pytest.approx(min(losses), rel=1e-4)
    assert loss < losses[-1]


def test_a_network_without_a_body_has_no_first_stage(tmp_path: Path, small_csv: Path, tiny_network: str) -> None:
    with pytest.raises(DataError, match="only inception_v3"):
        start(config_for(small_csv, tiny_network, top_epochs=1), tmp_path / "run")
