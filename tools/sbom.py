"""Writes CycloneDX bills of materials, one for each requirements file and one for the page: `tools.sbom FOLDER`."""

import json
import subprocess
import sys
from pathlib import Path

from services.web.assets import npm_command
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


if __name__ == "__main__":
    for pins in sorted(REQUIREMENTS.glob("*.txt")):
        print(write(pins, Path(sys.argv[1])))
    print(write_page(Path(sys.argv[1])))
