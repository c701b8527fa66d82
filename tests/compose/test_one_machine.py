"""Both sides on one computer, as docs/deployment.md says for a trial; and a machine that is given another name."""

from pathlib import Path

from services.embedded import free_port
from tests.compose.readings import ask, stored
from tests.compose.stack import CLOUD, EDGE, VERSION, Stack, run, until
from tests.conftest import ROOT, from_shelf


def status(stack: Stack, name: str) -> str:
    """What the start page answers when it is asked for by a name; curl fails where the certificate lacks it."""
    port = stack.env["DEPLOY_HTTPS_PORT"]
    authority = str(stack.folder / "secrets" / "broker" / "ca.pem")
    where = ("--cacert", authority, "--resolve", f"{name}:{port}:127.0.0.1")
    return run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *where, f"https://{name}:{port}/login")


def test_both_sides_run_on_one_machine_and_it_may_get_another_name(images: None, tmp_path: Path) -> None:
    ports = {f"DEPLOY_{name}_PORT": str(free_port()) for name in ("HTTP", "HTTPS", "MQTT")}
    shelf = str(from_shelf("clips").parent)
    env = {"DEPLOY_VERSION": VERSION, "DEPLOY_EDGE_WEB": f"127.0.0.1:{free_port()}", "SHELF": shelf} | ports
    files = ["docker-compose.yml", "docker-compose.jetson.yml", str(ROOT / "tests" / "compose" / "clip.yml")]
    both = Stack(tmp_path / "both", "emotiontestboth", files, env)
    assert "as admin, with the password" in both.script("deploy/setup", "localhost")
    device_file = both.folder / "device.env"
    device_file.write_text(both.script("deploy/device", "add", "trial", "--host", "broker"))
    device_file.chmod(0o600)
    try:
        both.begin()
        assert both.services().keys() == CLOUD | EDGE
        until(lambda: stored(both) > 20, "the trial's detections are stored")
        assert ask(both, "SELECT DISTINCT device FROM detections") == "trial"
        assert status(both, "localhost") == "200"
        both.script("deploy/certs", "renew", "--name", "localhost", "--name", "cloud.lan")
        until(both.healthy, "all are ready under the new name")
        for name in ("localhost", "cloud.lan"):
            assert status(both, name) == "200"
    finally:
        both.down()
