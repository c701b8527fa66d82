"""What a run shows: its bar, its table, its curves and TensorBoard's log."""

import csv
import importlib.util
from pathlib import Path
from typing import cast

import pytest

pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

from training import logs


def record(epoch: int) -> logs.EpochRecord:
    return logs.EpochRecord(
        epoch=epoch,
        stage=2,
        step=10 * epoch,
        progress=epoch / 4,
        learning_rate=0.1,
        train_loss=2.0 - epoch / 10,
        train_accuracy=0.2 * epoch,
        held_out_loss=2.1 - epoch / 10,
        held_out_accuracy=0.1 * epoch,
        seconds=1.5,
    )


def tensorboard_values(folder: Path) -> dict[tuple[str, int], float]:
    """Every scalar of the folder's event files, by name and epoch."""
    from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped]  # ships no types

    values: dict[tuple[str, int], float] = {}
    for path in sorted((folder / logs.TENSORBOARD_FOLDER).iterdir()):
        content = path.read_bytes()
        at = 0
        while at < len(content):
            # A record of TensorFlow's format: length, its checksum, content, its checksum.
            length = int.from_bytes(content[at : at + 8], "little")
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                assert (value.tag, event.step) not in values, "an epoch stands there twice"
                values[value.tag, event.step] = value.simple_value
    return values


def test_tensorboard_has_every_epoch_once_after_a_break(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="TensorBoard's log is optional: pip install tensorboardX")
    with logs.TensorBoard(tmp_path, []) as log:
        for epoch in (1, 2, 3):
            log.epoch_done(record(epoch))
    # The third epoch was lost with the process before its checkpoint was written.
    with logs.TensorBoard(tmp_path, [record(1), record(2)]) as again:
        again.epoch_done(record(3))
        # On the disk at once, for an interrupt may come at any time.
        values = tensorboard_values(tmp_path)
    assert {epoch for _, epoch in values} == {1, 2, 3}
    assert values["accuracy/train", 2] == pytest.approx(0.4)
    assert values["loss/held_out", 3] == pytest.approx(1.8)
    assert values["learning_rate", 1] == pytest.approx(0.1)


def test_a_record_of_an_older_run_is_logged_without_what_it_lacks(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="TensorBoard's log is optional: pip install tensorboardX")
    old = dict(record(1))
    del old["train_accuracy"]
    with logs.TensorBoard(tmp_path, [cast("logs.EpochRecord", old)]):
        pass
    assert ("loss/train", 1) in tensorboard_values(tmp_path)
    assert ("accuracy/train", 1) not in tensorboard_values(tmp_path)


@pytest.mark.parametrize("looking_on", [True, False])
def test_the_bar_is_for_people_and_the_line_for_all(
    looking_on: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: looking_on)
    terminal = logs.Terminal()
    terminal.epoch_begins(1, 3)
    # A budget may end an epoch before its last step.
    for step in (1, 2):
        terminal.step_done(step, 1.5, 0.25)
    terminal.epoch_done(record(1))
    shown = capsys.readouterr().out
    assert ("2/3" in shown) == looking_on
    line = shown.splitlines()[-1]
    assert line.startswith("epoch   1")
    assert "held-out loss 2.0000  accuracy 10.00%" in line


def test_the_table_is_replaced_whole(tmp_path: Path) -> None:
    for count in (1, 2):
        logs.write_history(tmp_path, [record(epoch) for epoch in range(1, count + 1)])
    with (tmp_path / logs.HISTORY_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [path.name for path in tmp_path.iterdir()] == [logs.HISTORY_FILE]


def test_curves_are_drawn_beside_the_table_or_it_is_said_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.draw_curves(tmp_path)
    assert not list(tmp_path.iterdir())
    first, second = record(1), record(2)
    first["stage"] = 1
    logs.write_history(tmp_path, [first, second])
    with monkeypatch.context() as without:
        without.setattr(importlib.util, "find_spec", lambda _: None)
        logs.draw_curves(tmp_path)
    assert "Matplotlib is not installed" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    logs.draw_curves(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
