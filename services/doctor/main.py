"""The composition root: which checks belong to which service; runs them and prints what they found."""

import logging
import sys
from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from services.doctor import broker, checkup, clock, disk, health, limits, report, services, variables
from services.doctor.checkup import Check
from services.doctor.findings import Finding, problem
from services.doctor.places import COMPOSE, in_container
from shared import logs
from shared.errors import SettingsError
from shared.settings import DatabaseSettings, LogSettings, MqttSettings, ServiceSettings, load

if TYPE_CHECKING:
    from services.capture.settings import CaptureSettings
    from services.classifier.settings import ClassifierSettings


def run_doctor(names: Sequence[str], *, as_json: bool) -> int:
    """Look at what `names`, or the services that are installed here, need; print it; return the exit status.

    Raises:
        SettingsError: if a name is none of a service, or no service is installed here.
    """
    # What the probes log is in the findings already, and standard output is the report's.
    logs.setup(LogSettings(level="error"), "doctor")
    logging.disable(logging.CRITICAL)
    chosen = _chosen(names)
    results = checkup.run(_checks(chosen))
    sys.stdout.write((report.as_json if as_json else report.as_text)(chosen, results))
    return 1 if report.has_problem(results) else 0


def _chosen(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in services.SERVICES:
            raise SettingsError(f"there is no service {name!r}; expected one of {', '.join(services.SERVICES)}")
    chosen = tuple(dict.fromkeys(names)) or services.installed()
    if not chosen:
        raise SettingsError(
            "no service is installed here; install one (`pip install 'emotion-edge[classifier]'`), or name it: "
            "`emotion-edge doctor classifier`"
        )
    return chosen


def _checks(chosen: Sequence[str]) -> list[Check]:
    plan = _Plan()
    known = services.importable()
    names = set().union(*(variables.names_of(each) for each in known.values()))
    plan.add("settings", partial(variables.look, names, all_known=len(known) == len(services.SERVICES)))
    for service in chosen:
        settings = known.get(service)
        if settings is None:
            cause = f"The packages of {service} are not installed here."
            plan.tell(service, problem("cannot be looked at", cause, f"pip install 'emotion-edge[{service}]'"))
            continue
        try:
            loaded = load(settings)
        except SettingsError as error:
            plan.tell("settings", variables.load_problem(service, str(error)))
            continue
        plan.service(service, loaded)
    plan.add("clock", partial(clock.look, plan.clock_host))
    plan.add("memory, cpu", limits.look)
    return plan.checks()


class _Plan:
    """The checks to be made; what two services share is looked at once."""

    def __init__(self) -> None:
        self._checks: dict[Hashable, Check] = {}
        self.clock_host: str | None = None
        """Another machine, whose clock this one's is compared with."""

    def checks(self) -> list[Check]:
        return list(self._checks.values())

    def add(self, name: str, look: Any, key: Hashable = None) -> None:
        self._checks.setdefault((name, key), Check(name, look))

    def tell(self, name: str, finding: Finding) -> None:
        """A finding that needs no looking."""
        self.add(name, lambda: (finding,), finding)

    def service(self, service: str, settings: Any) -> None:
        """All checks of one service."""
        if service == "capture":
            self._capture(settings)
        elif service == "classifier":
            self._classifier(settings)
        elif service == "migrate":
            self._database(settings.database)
        else:
            edge = service == "web" and settings.role == "edge"
            topic = settings.mqtt.topics.status("+", "+") if service == "web" else settings.mqtt.topics.detections("+")
            self._broker(settings.mqtt, None, topic, local=edge)
            if not edge:
                self._database(settings.database)
        if service != "migrate":
            self._health(service, settings)

    def _capture(self, settings: "CaptureSettings") -> None:
        from services.doctor import source

        self.add("camera", partial(source.look, settings))
        self._broker(settings.mqtt, settings.device, settings.mqtt.topics.desired(settings.device), local=True)
        self.add("disk", partial(disk.look, settings.data_dir, None))

    def _classifier(self, settings: "ClassifierSettings") -> None:
        from services.doctor import model

        self.add("model", partial(model.look, settings))
        self._broker(settings.mqtt, settings.device, settings.mqtt.topics.desired(settings.device), local=True)
        if settings.cloud is not None:
            self._broker(settings.cloud, settings.device, settings.cloud.topics.ack(settings.device), local=False)
        # Instead of capture's look at the same folder, which asks for less.
        self._checks["disk", None] = Check("disk", partial(disk.look, settings.data_dir, settings.outbox.max_mb))

    def _broker(self, settings: MqttSettings, device: str | None, topic: str, *, local: bool) -> None:
        name = "local broker" if local else "cloud's broker"
        if local:
            start = f"{COMPOSE} up -d edge-broker" if in_container() else "sudo systemctl start mosquitto"
        else:
            start = "docker compose up -d broker   # on the broker's machine"
            self.clock_host = self.clock_host or settings.host
        self.add(name, partial(broker.look, settings, device, topic, start=start), (settings, device is None))

    def _database(self, settings: DatabaseSettings) -> None:
        from services.doctor import database

        self.add("database", partial(database.look, settings), settings)

    def _health(self, service: str, settings: ServiceSettings) -> None:
        host, port = settings.health.host, settings.health.port
        if service == "web" and port == 0:
            host, port = getattr(settings, "host", host), getattr(settings, "port", port)
        self.add("service", partial(health.look, service, host, port), service)
