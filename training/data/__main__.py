"""Look at a data set before training on it: ``python -m training.data inspect --data FILE --sheet faces.png``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from training.commands import ended
from training.data import fingerprint, read_faces, read_ferplus
from training.data.inspection import as_text, contact_sheet, inspect, write_sheet


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.data", description="Data sets of faces.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "inspect", help="say what is in a data set", description="Counts, copies, bad rows and a sheet of faces."
    )
    command.add_argument(
        "--data", type=Path, required=True, help="FER2013's CSV, plain, .gz or .xz, or a folder of class folders"
    )
    command.add_argument("--ferplus", type=Path, help="FER+'s fer2013new.csv, to see how often it agrees")
    command.add_argument("--sheet", type=Path, help="PNG to write: random faces, a row per class")
    command.add_argument("--columns", type=int, default=24, help="faces per class on the sheet (default 24)")
    command.add_argument("--seed", type=int, default=0, help="of their choice (default 0)")
    command.add_argument("--json", type=Path, help="file to write everything to, each bad row and conflict included")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if not 1 <= arguments.columns <= 1000:
        parser.error(f"--columns is {arguments.columns}; it has to be from 1 to 1000.")

    def work() -> int:
        faces = read_faces(arguments.data)
        votes = None if arguments.ferplus is None else read_ferplus(arguments.ferplus, faces)
        report = inspect(faces, votes)
        print(as_text(report))
        if arguments.json is not None:
            report = {"data": arguments.data.name, "data_sha256": fingerprint(arguments.data), **report}
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")
            print(arguments.json)
        if arguments.sheet is not None:
            sheet = contact_sheet(faces, arguments.columns, np.random.default_rng(arguments.seed))
            arguments.sheet.parent.mkdir(parents=True, exist_ok=True)
            write_sheet(sheet, arguments.sheet)
            print(arguments.sheet)
        return 0

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
