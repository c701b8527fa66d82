"""Are the model and the face detector there, whole, and usable?"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from services.classifier.settings import ClassifierSettings
from services.classifier.yunet_file import FETCH_COMMAND, YUNET_PATH, yunet_problem
from services.doctor.findings import Finding, ok, problem, skipped, warning
from services.doctor.places import COMPOSE, in_container
from shared.errors import ModelError
from shared.preset import load_model


def look(settings: ClassifierSettings) -> Iterator[Finding]:
    """The model, then the detector."""
    folder = settings.models_dir / settings.model
    try:
        preset = load_model(folder).preset
        yield ok(f"{preset.name} {preset.version}: its file is the one that its preset describes")
        yield _runs(folder)
    except ModelError as error:
        yield problem(
            f"the model {settings.model} cannot be used", f"{error}.", _mend(settings.models_dir, settings.model)
        )
    fetch = f"{COMPOSE} up models   # outside of the container" if in_container() else FETCH_COMMAND
    yield detector_finding(settings.detector, settings.models_dir / YUNET_PATH, fetch)


def _runs(folder: Path) -> Finding:
    if importlib.util.find_spec("ai_edge_litert") is None:
        return skipped("not run: LiteRT is not installed here")
    from services.classifier.emotion import EmotionModel

    EmotionModel(folder)
    return ok("LiteRT runs it")


def detector_finding(choice: str, file: Path, fetch: str = FETCH_COMMAND) -> Finding:
    """What the detector's file means, for the detector that is set. `fetch`: the command that gets the file."""
    if choice == "haar":
        return ok("the Haar cascade finds faces, as set")
    reason = yunet_problem(file)
    if reason is None:
        return ok("YuNet finds faces")
    if choice == "yunet":
        return problem("the face detector YuNet cannot be used", f"{reason}.", fetch)
    return warning(
        "the older Haar cascade finds faces",
        f"It misses faces that are turned. {reason[0].upper()}{reason[1:]}.",
        fetch,
    )


def _mend(models_dir: Path, name: str) -> str:
    known = sorted(path.parent.name for path in models_dir.glob("*/preset.json"))
    if name not in known and known:
        return f"export EMOTION_MODEL={known[0]}   # there are: {', '.join(known)}"
    return f"git checkout -- {models_dir / name}   # in a container: docker compose pull, or build the image again"
