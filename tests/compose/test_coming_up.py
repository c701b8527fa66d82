"""Both sides as containers, on networks of their own: only the broker's TLS port leads from the edge to the cloud."""

import json
import re
import socket
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import sync_playwright

from tests.compose.stack import CLOUD, EDGE, PUBLIC_NAME, TARGETS, VERSION, Stack, run

_CHROMIUM: Final = "/usr/bin/chromium"
_OWN_PASSWORD: Final = "four green lamps by the door"

pytestmark = pytest.mark.timeout(3600)


def test_a_face_before_the_camera_is_seen_in_the_clouds_dashboard(cloud: Stack, edge: Stack, host: str) -> None:
    port = cloud.env["DEPLOY_HTTPS_PORT"]
    address = f"https://{PUBLIC_NAME}:{port}"
    where = f"--host-resolver-rules=MAP {PUBLIC_NAME} {host}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu", where])
        try:
            # its authority is this test's own; the certificate is checked below
            page = browser.new_context(ignore_https_errors=True).new_page()
            page.set_default_timeout(120_000)
            page.goto(address)
            page.fill("#login #name", "admin")
            page.fill("#login #password", cloud.env["TEST_PASSWORD"])
            page.click("#login button")
            page.fill("#password #old", cloud.env["TEST_PASSWORD"])  # it has to be changed at once
            page.fill("#password #new", _OWN_PASSWORD)
            page.fill("#password #again", _OWN_PASSWORD)
            page.click("#password button")
            page.get_by_text(re.compile(r"looks |not sure", re.IGNORECASE)).first.wait_for()
            page.locator("#rows tr").nth(3).wait_for()
            page.locator("#rows").get_by_text(re.compile("stored|yes", re.IGNORECASE)).first.wait_for()
            page.locator(".picture img:visible").first.wait_for()
            page.locator(".uplot").first.wait_for()
            found = page.evaluate("fetch('/api/v1/detections?device=lab&limit=1').then(answer => answer.json())")
            assert found["items"][0]["device"] == "lab"
            # Who is logged in is let through to Grafana, which does not run here.
            assert page.evaluate("fetch('/grafana/').then(answer => answer.status)") == 502
        finally:
            browser.close()
    for name in (PUBLIC_NAME, host):
        assert ask_page(cloud, host, name, "/api/v1/detections").endswith("401")
        assert ask_page(cloud, host, name, "/grafana/").endswith("302"), "to the login"
    assert ask_page(cloud, host, "evil.example.com", "/", "-k").endswith("421"), "another site's name for this machine"
    plain = f"http://{host}:{cloud.env['DEPLOY_HTTP_PORT']}/x"
    assert run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", plain) == f"308 https://{host}/x"


def ask_page(cloud: Stack, host: str, name: str, path: str, *options: str) -> str:
    """What the proxy answers to who calls the machine `name`: the body, and the status on a line of its own."""
    port = cloud.env["DEPLOY_HTTPS_PORT"]
    authority = str(cloud.folder / "secrets" / "broker" / "ca.pem")
    where = ("--connect-to", f"{name}:{port}:{host}:{port}")
    shown = ("-sS", "--cacert", authority, "-w", "\n%{http_code}")
    return run("curl", *shown, *where, *options, f"https://{name}:{port}{path}").strip()


def test_the_edges_own_page_shows_it_too_without_the_cloud(edge: Stack) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = browser.new_page()
            page.set_default_timeout(120_000)
            page.goto(f"http://{edge.env['DEPLOY_EDGE_WEB']}")
            page.get_by_text(re.compile(r"looks |not sure", re.IGNORECASE)).first.wait_for()
        finally:
            browser.close()


def test_all_services_are_there_and_confined(cloud: Stack, edge: Stack) -> None:
    services = {**cloud.services(), **edge.services()}
    assert set(services) == CLOUD | EDGE
    for name, container in services.items():
        config, given = container["Config"], container["HostConfig"]
        assert config["User"].split(":")[0] not in ("", "0", "root"), name
        assert given["CapDrop"] == ["ALL"], name
        assert given["CapAdd"] in (None, []) or (name, given["CapAdd"]) == ("proxy-1", ["NET_BIND_SERVICE"])
        assert given["ReadonlyRootfs"], name
        assert not given["Privileged"], name
        assert given["SecurityOpt"] == ["no-new-privileges:true"], name
        assert given["Init"], name
        assert given["Memory"] > 0, name
        assert given["NanoCpus"] > 0, name
        assert given["PidsLimit"] > 0, name
        assert given["LogConfig"]["Config"]["max-size"], name
        assert container["State"]["Health"]["Status"] == "healthy", name
        stack = cloud if name in CLOUD else edge
        status = stack.execute(name, "cat", "/proc/1/status", "/proc/self/status")
        assert "0" not in re.findall(r"^Uid:\t(\d+)", status, re.MULTILINE), name
        wanted = {"0000000000000000"} | ({"0000000000000400"} if name == "proxy-1" else set())
        assert set(re.findall(r"^Cap(?:Eff|Prm|Bnd):\t(\w+)", status, re.MULTILINE)) <= wanted, name
        assert set(re.findall(r"^NoNewPrivs:\t(\d)", status, re.MULTILINE)) == {"1"}, name
        tried = stack.execute(name, "sh", "-c", "touch /etc/x /x 2>&1; true")
        assert tried.count("Read-only file system") == 2, (name, tried)


def test_of_the_devices_only_cameras_may_be_used(edge: Stack) -> None:
    probe = (
        "import os, pathlib; bad = []\n"
        "for path in pathlib.Path('/dev').iterdir():\n"
        "    if path.is_char_device() and os.major(path.stat().st_rdev) in (10, 4) or path.is_block_device():\n"
        "        try: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK)); bad.append(str(path))\n"
        "        except OSError: pass\n"
        "print(bad)"
    )
    assert edge.execute("capture-1", "python", "-c", probe).strip() == "[]"


def test_nothing_listens_outside_but_https_and_the_brokers_tls_port(cloud: Stack, edge: Stack) -> None:
    published = {
        (name, inside, binding["HostPort"])
        for name, container in {**cloud.services(), **edge.services()}.items()
        for inside, bindings in container["NetworkSettings"]["Ports"].items()
        for binding in bindings or []
    }
    assert published == {
        ("proxy-1", "8080/tcp", cloud.env["DEPLOY_HTTP_PORT"]),
        ("proxy-1", "8443/tcp", cloud.env["DEPLOY_HTTPS_PORT"]),
        ("broker-1", "8883/tcp", cloud.env["DEPLOY_MQTT_PORT"]),
        ("edge-web-1", "8000/tcp", edge.env["DEPLOY_EDGE_WEB"].split(":")[1]),
    }
    shared_networks = networks(cloud) & networks(edge)
    assert not shared_networks
    # From the device to the cloud's containers: nothing answers.
    for name, port in (("postgres-1", 5432), ("web-1", 8000), ("ingest-1", 9100), ("broker-1", 8883)):
        for network in cloud.services()[name]["NetworkSettings"]["Networks"].values():
            assert not reaches(edge, "classifier-1", network["IPAddress"], port), (name, port)


def networks(stack: Stack) -> set[str]:
    return {name for one in stack.services().values() for name in one["NetworkSettings"]["Networks"]}


def reaches(stack: Stack, container: str, address: str, port: int) -> bool:
    code = (
        "import socket, sys\n"
        f"try: socket.create_connection(({address!r}, {port}), timeout=3)\n"
        "except OSError: print('no')\n"
        "else: print('yes')"
    )
    return stack.execute(container, "python", "-c", code).strip() == "yes"


def test_the_broker_takes_tls_and_a_password_only(cloud: Stack, edge: Stack, host: str) -> None:
    port = int(cloud.env["DEPLOY_MQTT_PORT"])
    with socket.create_connection((host, port), timeout=10) as plain:
        plain.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04open")
        plain.settimeout(10)
        try:
            answer = plain.recv(4)
        except ConnectionResetError:
            answer = b""
    assert answer[:2] != b"\x20\x02", "the broker spoke MQTT without TLS"


def secrets_of(cloud: Stack, edge: Stack) -> set[str]:
    """Every password and key of the two stacks, as their files hold them."""
    found = {cloud.env["TEST_PASSWORD"]}
    for path in (cloud.folder / "secrets").rglob("*"):
        if not path.is_file() or path.name in ("ca.pem", "server.pem", "passwords.lock"):
            continue
        text = path.read_text()
        if path.suffix == ".env":
            found |= set(re.findall(r"PASSWORD=(\S+)", text))
        elif path.suffix == ".key":
            found |= {line for line in text.splitlines() if not line.startswith("-----")}
        else:
            found |= {word for word in text.split() if len(word) > 15}
    found |= set(re.findall(r"PASSWORD=(\S+)", (edge.folder / "device.env").read_text()))
    assert len(found) >= 9
    return found


def test_no_secret_is_in_an_image_an_environment_or_a_log(cloud: Stack, edge: Stack) -> None:
    secrets = secrets_of(cloud, edge)
    containers = {**cloud.containers(), **edge.containers()}
    places: dict[str, str] = {}
    for name, container in containers.items():
        places[f"inspect {name}"] = json.dumps(container)
        places[f"logs {name}"] = run("sh", "-c", f"docker logs {container['Id']} 2>&1")
    for target in TARGETS:
        image = f"emotion-edge/{target}:{VERSION}"
        places[f"history {target}"] = run("docker", "history", "--no-trunc", image)
        places[f"inspect {target}"] = run("docker", "inspect", image)
        folder = "/etc/caddy" if target == "proxy" else "/app"
        files = run("docker", "run", "--rm", "--entrypoint", "find", image, folder, "-type", "f")
        names = {Path(line).name for line in files.splitlines()}
        assert not {name for name in names if name.endswith((".env", ".pem", ".key")) or name == "passwords"}, target
    for place, text in places.items():
        assert not [secret for secret in secrets if secret in text], f"a secret is in {place}"


def test_secrets_are_for_their_reader_alone(cloud: Stack) -> None:
    for path in (cloud.folder / "secrets").rglob("*"):
        open_to_all = path.name == "ca.pem"
        assert path.stat().st_mode & 0o077 == (0o044 if open_to_all else 0), path
