"""Writes CycloneDX bills of materials, one for each requirements file and one for the page: `tools.sbom FOLDER`."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from services.web.assets import npm_command
from shared.paths import in_words
from tools.audit import REQUIREMENTS, ROOT


def write(requirements: Path, folder: Path) -> Path:
    """`folder`/NAME.json for the file NAME.txt: CycloneDX 1.6, validated, the same for the same pins."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{requirements.stem}.json"
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(requirements), "--sv", "1.6", "--of", "JSON"]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "-o", str(made), "--validate"]
    subprocess.run(command, check=True)  # noqa: S603 - our own
    return made


def write_page(folder: Path) -> Path:
    """`folder`/page.json for what package-lock.json pins: CycloneDX 1.5 by npm, the same for the same pins."""
    command = [*npm_command(), "sbom", "--sbom-format", "cyclonedx", "--package-lock-only"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)  # noqa: S603 - our own
    document = json.loads(done.stdout)
    del document["serialNumber"], document["metadata"]["timestamp"]  # new at each call
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "page.json"
    made.write_text(json.dumps(document, indent=2) + "\n")
    return made


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.sbom", description=(__doc__ or "").split(":")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write them")
    folder: Path = parser.parse_args(argv).folder
    try:
        for pins in sorted(REQUIREMENTS.glob("*.txt")):
            print(write(pins, folder))
        print(write_page(folder))
    except OSError as error:
        print(f"error: {in_words(error)}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:  # which has told why on standard error
        print(f"error: {error.cmd[0]} ended with status {error.returncode}; see above.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
