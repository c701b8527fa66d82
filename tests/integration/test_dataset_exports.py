"""Each export, opened by the libraries that it is meant for with the lines that the page shows; and the command."""

import asyncio
import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.datasets import building, exporting, queries
from services.web.datasets.exporting import Written, remains, write_export
from services.web.datasets.formats import FORMATS, FormatName
from services.web.datasets.pictures import fer2013_face
from shared.db.study_tables import VOTES, dataset_items, datasets
from shared.emotions import EMOTIONS
from shared.preset import DEFAULT_MODEL, FER2013_CROP, MODELS_DIR, load_model
from shared.settings import DatabaseSettings
from tests.conftest import ROOT
from tests.support.labelled import START, labels_of, people
from tests.support.web import records
from training.data import ferplus_majority, read_faces, read_ferplus

T = TypeVar("T")

pytestmark = pytest.mark.timeout(300)


@dataclass
class Lab:
    """A dataset called lab, and the labels that its faces have."""

    engine: AsyncEngine
    database: DatabaseSettings
    id: UUID
    labels: dict[str, str]

    async def export(self, form: FormatName, path: Path) -> Written:
        return await write_export(self.engine, inline, self.id, form, path, lambda done, total: None)

    async def unpacked(self, form: FormatName, folder: Path) -> Path:
        """An export, unpacked as the page says."""
        path = folder / f"lab-{form}.zip"
        await self.export(form, path)
        with zipfile.ZipFile(path) as read:
            read.extractall(folder / path.stem)
        return folder / path.stem


async def inline(function: Callable[..., T], /, *args: object) -> T:
    return function(*args)


@pytest.fixture
async def lab(database_settings: DatabaseSettings) -> AsyncIterator[Lab]:
    async with records(database_settings, START.date()) as engine:
        found = await people(engine, persons=30)
        async with engine.begin() as connection:
            row = {"name": "lab", "filter": {}, "split": {}, "note": "For tests.", "state": "building"}
            made = await connection.scalar(insert(datasets).values(row | {"created_by": "x"}).returning(datasets.c.id))
        assert made is not None
        await building.build(engine, inline, made, lambda done, total: None)
        yield Lab(engine, database_settings, made, labels_of(found))


def run_snippets(form: FormatName, folder: Path, *, by_hand: bool = False) -> str:
    """Run the lines that the page shows, each by itself, beside the unpacked export; what the programs print.

    With `by_hand` those that are for libraries which are not everywhere.
    """
    tested = [snippet for snippet in FORMATS[form].snippets if (snippet.by_hand is not None) == by_hand]
    assert tested
    env = os.environ | {
        "HF_HOME": str(folder.parent / "hf"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    codes = [snippet.code.replace("FILE", folder.name) for snippet in tested]
    lines = [code for code in codes if code.startswith("python ")]
    programs = [code for code in codes if not code.startswith("python ")]
    script = "import json, sys\nfor code in json.load(sys.stdin):\n    exec(code, {})\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(programs),
        cwd=folder.parent,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    printed = done.stdout
    for line in lines:
        command = [sys.executable, *shlex.split(line)[1:]]
        done = subprocess.run(command, cwd=folder.parent, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return printed


def test_faces_are_cut_as_the_delivered_model_and_training_expect() -> None:
    measured = json.loads((ROOT / "training" / "fer2013_crop.json").read_text())["crop"]
    assert FER2013_CROP.model_dump() == measured
    assert load_model(MODELS_DIR / DEFAULT_MODEL).preset.crop == FER2013_CROP


async def test_class_folders_open_in_training_keras_and_datasets(lab: Lab, tmp_path: Path) -> None:
    folder = await lab.unpacked("folders", tmp_path)
    faces = read_faces(folder)
    assert len(faces) == 210
    assert faces.bad_rows == ()
    usages = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    for split, usage in usages.items():
        assert sorted(path.name for path in (folder / split).iterdir() if path.is_dir()) == sorted(EMOTIONS)
        rows = [json.loads(line) for line in (folder / split / "metadata.jsonl").read_text().splitlines()]
        assert len(rows) == (faces.usage == usage).sum() > 0
        for row in rows:
            assert row["label"] == lab.labels[row["face"]["event_id"]]
            assert row["file_name"].startswith(f"{row['label']}/")
            assert (row["label_source"], row["agreement"], row["votes"][row["label"]]) == ("people", 0.6667, 2)
    # No person on two sides, as training sees it.
    of_person: dict[str, set[str]] = {}
    for person, usage in zip(faces.groups["person"], faces.usage, strict=True):
        of_person.setdefault(person, set()).add(usage)
    assert len(of_person) == 30
    assert all(len(of_one) == 1 for of_one in of_person.values())
    run_snippets("folders", folder)


@pytest.mark.skipif(
    find_spec("torchvision") is None,
    reason="torchvision is not installed: with torch it takes gigabytes, so it is no development requirement",
)
async def test_class_folders_open_in_torchvision(lab: Lab, tmp_path: Path) -> None:
    printed = run_snippets("folders", await lab.unpacked("folders", tmp_path), by_hand=True)
    assert printed == f"{sorted(EMOTIONS)}\n"


async def test_fer2013_csv_is_what_training_makes_of_the_folders_with_votes_as_ferplus_has_them(
    lab: Lab, tmp_path: Path
) -> None:
    folder = await lab.unpacked("fer2013", tmp_path)
    faces = read_faces(folder / "fer2013.csv")
    others = read_faces(await lab.unpacked("folders", tmp_path))
    assert faces.bad_rows == ()
    in_order = sorted(range(len(others)), key=lambda row: Path(others.where(row)).name)
    assert np.array_equal(faces.pixels, others.pixels[in_order])
    assert np.array_equal(faces.labels, others.labels[in_order])
    votes = read_ferplus(folder / "fer2013new.csv", faces)
    assert np.array_equal(ferplus_majority(votes), faces.labels)
    with (folder / "fer2013new.csv").open() as text:
        assert set(Counter(len(row) for row in csv.reader(text))) == {12}
    run_snippets("fer2013", folder)


async def test_webdataset_shards_are_plain_tars_and_open_in_webdataset(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.web.datasets.formats.SHARD_ITEMS", 50)
    folder = await lab.unpacked("webdataset", tmp_path)
    assert len(list(folder.glob("train-*.tar"))) == 4
    names: list[str] = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as read:
            names += read.getnames()
            for known in (name for name in read.getnames() if name.endswith(".json")):
                meta = json.loads((read.extractfile(known) or io.BytesIO()).read())
                label = (read.extractfile(known.replace(".json", ".cls")) or io.BytesIO()).read()
                assert EMOTIONS[int(label)] == meta["label"] == lab.labels[meta["face"]["event_id"]]
    assert len(names) == len(set(names)) == 3 * 210
    run_snippets("webdataset", folder)


async def test_parquet_opens_in_pandas_and_datasets(lab: Lab, tmp_path: Path) -> None:
    import pandas as pd

    folder = await lab.unpacked("parquet", tmp_path)
    rows = pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])
    assert len(rows) == 210
    assert dict(zip(rows.event_id, rows.label, strict=True)) == lab.labels
    face = Image.open(io.BytesIO(rows.image.iloc[0]["bytes"]))
    assert fer2013_face(rows.image.iloc[0]["bytes"]).shape == (48, 48)
    assert face.size == (rows.width.iloc[0], rows.height.iloc[0])
    run_snippets("parquet", folder)


@pytest.mark.parametrize("form", FORMATS)
async def test_an_export_takes_no_more_room_than_is_kept_for_it(lab: Lab, tmp_path: Path, form: FormatName) -> None:
    async with lab.engine.begin() as connection:
        # What stands beside a picture is as long as it may be.
        long = {"person": "ü" * 64, "device": "d" * 64, "session_id": lab.id, "votes": dict.fromkeys(VOTES, 100)}
        await connection.execute(update(dataset_items).values(**long))
        faces, pictures = await queries.size(connection, lab.id)
    assert faces == 210
    written = await lab.export(form, tmp_path / "lab.zip")
    room = FORMATS[form].room(faces, pictures)
    assert written.length <= room


@pytest.mark.parametrize("form", FORMATS)
async def test_an_export_that_was_cut_off_goes_on_and_has_the_same_bytes(
    lab: Lab, tmp_path: Path, form: FormatName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_MARK_EVERY", 40)
    whole = await lab.export(form, tmp_path / "whole.zip")

    class PowerCut(Exception):
        pass

    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        seen.append(done)
        if done > 0.6 * total:
            raise PowerCut

    path = tmp_path / "cut.zip"
    with pytest.raises(PowerCut):
        await write_export(lab.engine, inline, lab.id, form, path, progress)
    assert not path.exists()
    resumed: list[int] = []
    again = await write_export(lab.engine, inline, lab.id, form, path, lambda done, total: resumed.append(done))
    assert resumed[0] > 0, "it began again"
    assert again == whole
    assert path.read_bytes() == (tmp_path / "whole.zip").read_bytes()
    assert [one for one in remains(path) if one.exists()] == [path]


async def test_the_command_goes_on_after_it_was_killed_and_writes_what_the_page_writes(
    lab: Lab, tmp_path: Path
) -> None:
    expected = await lab.export("fer2013", tmp_path / "page.zip")
    out = tmp_path / "command.zip"
    env = os.environ | {"EMOTION_DATABASE__URL": lab.database.url.get_secret_value(), "PYTHONPATH": str(ROOT)}
    arguments = ["export", "lab", "--format", "fer2013", "--out", str(out)]
    # Marks often, and stops itself dead after some: as good as a kill from outside, at a place that is known.
    dying = (
        "import os, signal; from services.web.datasets import exporting; exporting._MARK_EVERY = 64\n"
        "written = exporting._Writer._write_note\n"
        "def die(self):\n    written(self)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "exporting._Writer._write_note = die\n"
        f"import sys; sys.argv = {['emotion-edge', *arguments]!r}\nfrom services.main import app; app()"
    )

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    killed = await asyncio.to_thread(run, "-c", dying)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert json.loads((tmp_path / "command.zip.part.json").read_text())["place"]["done"] == 64
    done = await asyncio.to_thread(run, "-m", "services.main", *arguments)
    assert done.returncode == 0, done.stderr
    assert expected.sha256.hex() in done.stdout
    assert out.read_bytes() == (tmp_path / "page.zip").read_bytes()
    again = await asyncio.to_thread(run, "-m", "services.main", *arguments)
    assert again.returncode == 1
    assert "is there already; remove it" in again.stderr
    unknown = await asyncio.to_thread(run, "-m", "services.main", "export", "nobody", "--format", "tfrecord")
    assert "expected one of folders, fer2013, webdataset, parquet" in unknown.stderr
