"""What doctor makes of facts: each problem is told with its cause and a command."""

import errno
import json
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.doctor import broker, camera, checkup, clock, database, disk, limits, report, variables
from services.doctor.camera import Holder, Node
from services.doctor.checkup import Check, Result
from services.doctor.disk import Disk
from services.doctor.findings import Finding, ok, problem, warning
from services.doctor.limits import Limits
from services.doctor.services import importable, stands_for
from services.doctor.v4l2 import Driver, ask
from shared.settings import MqttSettings
from tests.docs_from_code import SERVICES as DOCUMENTED
from tests.docs_from_code import _rows

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATH = Path("/dev/video0")
NODE = Node(PATH, ("video0",), True, True, True, 44, True, 10001, False)
DRIVER = Driver("C920", True, ("YUYV", "MJPG"), False)
CAPTURE = Holder(7, ("/venv/bin/python", "/usr/local/bin/emotion-edge", "capture", ""))
STRANGER = Holder(8, ("cheese", ""))


class TestCamera:
    def test_a_node_that_may_be_used_has_no_problem(self) -> None:
        assert camera.node_problem(NODE) is None

    def test_a_missing_camera_is_told_with_those_that_are_there(self) -> None:
        found = camera.node_problem(replace(NODE, there=False, others=("video2",)))
        assert found is not None
        assert found.text == "there is no /dev/video0"
        assert "EMOTION_SOURCE=/dev/video2" in found.command

    def test_in_a_container_the_number_of_the_hosts_group_is_named(self) -> None:
        found = camera.node_problem(replace(NODE, allowed=False, group=39, container=True))
        assert found is not None
        assert "DEPLOY_VIDEO_GROUP=39" in found.command

    def test_outside_of_one_the_user_joins_the_group(self) -> None:
        found = camera.node_problem(replace(NODE, allowed=False))
        assert found is not None
        assert "usermod -aG video" in found.command

    def test_a_group_that_may_not_use_it_either_is_told(self) -> None:
        found = camera.node_problem(replace(NODE, allowed=False, group_may=False))
        assert found is not None
        assert "chgrp video" in found.command

    @pytest.mark.parametrize(
        ("number", "text"),
        [(errno.EBUSY, "in use"), (errno.ENODEV, "no camera stands"), (errno.EPERM, "closed to this container")],
    )
    def test_why_it_cannot_be_opened(self, number: int, text: str) -> None:
        found = camera.open_problem(PATH, OSError(number, "x"), container=True)
        assert text in found.text
        assert found.level == "problem"

    def test_a_camera_that_another_program_uses_is_a_problem_and_one_that_capture_uses_is_not(self) -> None:
        busy = replace(DRIVER, busy=True)
        strange = camera.driver_finding(PATH, busy, (STRANGER,))
        assert (strange.level, "cheese (process 8)" in strange.cause) == ("problem", True)
        assert camera.driver_finding(PATH, busy, (CAPTURE,)).level == "ok"

    def test_raw_sensor_data_is_told_with_the_pipeline_that_reads_it(self) -> None:
        found = camera.driver_finding(PATH, replace(DRIVER, formats=("RG10",)), ())
        assert (found.level, "nvarguscamerasrc" in found.command) == ("problem", True)

    def test_a_camera_without_jpegs_is_a_warning(self) -> None:
        assert camera.driver_finding(PATH, replace(DRIVER, formats=("YUYV",)), ()).level == "warning"

    def test_a_node_without_pictures_is_a_problem(self) -> None:
        assert camera.driver_finding(PATH, replace(DRIVER, captures=False), ()).level == "problem"
        assert camera.driver_finding(PATH, None, ()).level == "problem"

    @pytest.mark.parametrize("busy", [False, True])
    def test_the_driver_is_asked_and_nothing_is_streamed(self, tmp_path: Path, busy: bool) -> None:
        asked: list[int] = []

        def ioctl(_: int, number: int, answer: bytearray) -> None:
            asked.append(number & 0xFF)
            if number & 0xFF == 0:
                answer[16:20] = b"C920"
                struct.pack_into("II", answer, 84, 0x84A00001, 0x04200001)
            elif number & 0xFF == 2:
                if struct.unpack_from("I", answer)[0] == 1:
                    raise OSError(errno.EINVAL, "no more")
                answer[44:48] = b"MJPG"
            elif busy:
                raise OSError(errno.EBUSY, "busy")

        node = tmp_path / "video0"
        node.touch()
        assert ask(node, ioctl) == Driver("C920", True, ("MJPG",), busy)
        assert set(asked) == {0, 2, 8}  # QUERYCAP, ENUM_FMT, REQBUFS: nothing that sets or streams

    def test_what_is_no_camera_gives_no_answer(self) -> None:
        assert ask(Path("/dev/null")) is None


DISK = Disk(Path("/data"), True, True, False, (), 10001, 10001, 50_000_000_000, True, False, 0)


class TestDisk:
    def test_a_good_one(self) -> None:
        assert [found.level for found in disk.verdict(DISK, 512)] == ["ok", "ok"]

    @pytest.mark.parametrize(
        ("change", "command"),
        [
            ({"writable": False, "owner": 0}, "chown -R 10001"),
            ({"read_only": True}, "EMOTION_DATA_DIR"),
            ({"locked": (Path("/data/outbox.sqlite3"),)}, "chown -R 10001"),
            ({"free": 1_000_000}, "du -x"),
            ({"inodes_left": False}, "--inodes"),
        ],
    )
    def test_each_problem_has_its_command(self, change: dict[str, object], command: str) -> None:
        found = [one for one in disk.verdict(replace(DISK, **change), 512) if one.level == "problem"]  # type: ignore[arg-type]
        assert len(found) == 1
        assert command in found[0].command

    def test_memory_is_no_place_for_an_outbox(self) -> None:
        assert "warning" in [one.level for one in disk.verdict(replace(DISK, volatile=True), 512)]
        assert "warning" not in [one.level for one in disk.verdict(replace(DISK, volatile=True), None)]

    @given(free=st.integers(20_000_000, 10**10), used=st.integers(0, 10**9), quota=st.integers(1, 5000))
    def test_the_quota_that_is_proposed_fits(self, free: int, used: int, quota: int) -> None:
        found = list(disk.verdict(replace(DISK, free=free, outbox=used), quota))[-1]
        if found.level == "warning":
            proposed = int(found.command.split("MAX_MB=")[1].split()[0])
            assert proposed < quota
            assert proposed == 1 or proposed * 1_000_000 - used <= free
        else:
            assert quota * 1_000_000 - used <= free


class TestClock:
    @pytest.mark.parametrize(("seconds", "level"), [(2, "ok"), (-30, "warning"), (90, "problem"), (-9000, "problem")])
    def test_levels(self, seconds: int, level: str) -> None:
        assert clock.compared(NOW + timedelta(seconds=seconds), NOW, "it").level == level

    def test_the_direction_is_told(self) -> None:
        assert clock.compared(NOW - timedelta(days=400), NOW, "x").text == "400 days behind x"
        assert clock.compared(NOW + timedelta(hours=3), NOW, "x").text == "3 h ahead of x"


class TestDatabase:
    @pytest.mark.parametrize(
        ("current", "level", "command"),
        [("0002", "ok", ""), (None, "problem", "migrate"), ("0001", "problem", "migrate"), ("0003", "problem", "pull")],
    )
    def test_schema(self, current: str | None, level: str, command: str) -> None:
        found = database.schema_finding(current, "0002")
        assert (found.level, command in found.command) == (level, True)

    def test_the_newest_revision_is_alembics(self) -> None:
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", "shared/db/migrations")
        assert database.newest_revision() == ScriptDirectory.from_config(config).get_current_head()

    def test_an_old_server_is_a_warning(self) -> None:
        assert database.server_finding(140011, "14.11").level == "warning"
        assert database.server_finding(150000, "15.0").level == "ok"


class TestBroker:
    def test_a_device_that_logs_in_as_another_is_told(self) -> None:
        settings = MqttSettings(username="lab")
        found = broker.identity_problem("hall", settings)
        assert found is not None
        assert "EMOTION_DEVICE=lab" in found.command
        assert broker.identity_problem("lab", settings) is None

    def test_a_certificate_that_expires_soon_is_told_before(self) -> None:
        assert broker.certificate_finding(NOW + timedelta(days=29), NOW).level == "warning"
        assert broker.certificate_finding(NOW + timedelta(days=31), NOW).level == "ok"

    def test_no_tls_at_all(self) -> None:
        found = broker.certificate_problem(ssl.SSLError(1, "WRONG_VERSION_NUMBER"), MqttSettings(), NOW)
        assert (found.level, "TLS port" in found.cause) == ("problem", True)


LIMITS = Limits(512 * 2**20, 100 * 2**20, 0, 2**32, 1.0, 0.0)


class TestLimits:
    @pytest.mark.parametrize(
        "change", [{"used": 500 * 2**20}, {"killed": 2}, {"available": 2**20}, {"cpus": 0.2}, {"throttled": 0.5}]
    )
    def test_what_is_scarce_is_a_warning(self, change: dict[str, float]) -> None:
        assert {one.level for one in limits.verdict(LIMITS)} == {"ok"}
        found = [one for one in limits.verdict(replace(LIMITS, **change)) if one.level == "warning"]  # type: ignore[arg-type]
        assert len(found) == 1
        assert found[0].command

    def test_both_versions_of_cgroups_are_read(self, tmp_path: Path) -> None:
        meminfo = tmp_path / "meminfo"
        meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
        second = {
            "cgroup.controllers": "cpu memory",
            "memory.max": "1000000",
            "memory.current": "900000",
            "memory.stat": "anon 5\ninactive_file 300000\n",
            "memory.events": "oom 1\noom_kill 3\n",
            "cpu.max": "50000 100000",
            "cpu.stat": "nr_periods 10\nnr_throttled 4\n",
        }
        first = {
            "memory/memory.limit_in_bytes": "1000000",
            "memory/memory.usage_in_bytes": "900000",
            "memory/memory.stat": "total_inactive_file 300000\n",
            "memory/memory.oom_control": "oom_kill 3\n",
            "cpu/cpu.cfs_quota_us": "50000",
            "cpu/cpu.cfs_period_us": "100000",
            "cpu/cpu.stat": "nr_periods 10\nnr_throttled 4\n",
        }
        for name, files in (("second", second), ("first", first)):
            for path, text in files.items():
                (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name / path).write_text(text)
            read = limits.facts(tmp_path / name, meminfo)
            assert read == Limits(1_000_000, 600_000, 3, 2048 * 1024, 0.5, 0.4), name


class TestVariables:
    def test_doctor_knows_every_setting_that_the_documentation_lists(self) -> None:
        known = set().union(*(variables.names_of(each) for each in importable().values()))
        assert {name for each in DOCUMENTED.values() for name, _, _ in _rows(each, "EMOTION_")} <= known

    def test_a_misspelt_one_is_told_with_the_one_that_is_meant(self) -> None:
        found = list(variables.unknown({"EMOTION_DEVCE"}, {"EMOTION_DEVICE", "EMOTION_SOURCE"}, all_known=False))
        assert [(one.level, "EMOTION_DEVICE" in one.cause) for one in found] == [("warning", True)]

    def test_what_may_be_another_images_is_left_alone(self) -> None:
        known = {"EMOTION_DEVICE"}
        assert not list(variables.unknown({"EMOTION_RETENTION__FRAMES_DAYS"}, known, all_known=False))
        assert len(list(variables.unknown({"EMOTION_RETENTION__FRAMES_DAYS"}, known, all_known=True))) == 1

    def test_names_come_from_files_too_and_values_never(self, tmp_path: Path) -> None:
        file = tmp_path / "emotion.env"
        file.write_text("# EMOTION_NOT=1\nEMOTION_DEVICE=x\nexport EMOTION_CLOUD__PASSWORD=hidden\nOTHER=1\n")
        names = variables.given_names({"emotion_source": "0", "PATH": ""}, (file, tmp_path / "none"))
        assert names == {"EMOTION_DEVICE", "EMOTION_CLOUD__PASSWORD", "EMOTION_SOURCE"}


@pytest.mark.parametrize(
    ("packages", "services"),
    [
        ({"cv2"}, ("capture",)),
        ({"cv2", "ai_edge_litert"}, ("classifier",)),
        ({"alembic"}, ("ingest",)),
        ({"fastapi"}, ("web",)),
        ({"cv2", "ai_edge_litert", "alembic", "fastapi"}, ("capture", "classifier", "ingest", "web")),
        (set(), ()),
    ],
)
def test_an_image_is_known_by_its_packages(packages: set[str], services: tuple[str, ...]) -> None:
    assert stands_for(packages.__contains__) == services


class TestCheckup:
    def test_one_that_hangs_holds_up_nothing_and_what_it_found_before_is_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        never, told = threading.Event(), threading.Event()

        def hangs() -> Iterator[Finding]:
            yield ok("so far")
            told.set()
            never.wait()

        class Clock:
            """Its time begins when both checks have said what they will, however slow this machine is."""

            @staticmethod
            def monotonic() -> float:
                told.wait()
                for thread in threading.enumerate():
                    if thread.name == "check quick":
                        thread.join()
                return time.monotonic()

        monkeypatch.setattr(checkup, "time", Clock)

        results = checkup.run([Check("slow", hangs), Check("quick", lambda: (ok("fine"),))], limit_s=0.2)
        never.set()
        assert [one.text for one in results[0].findings] == ["so far", "gives no answer"]
        assert results[1].findings == (ok("fine"),)

    def test_one_that_fails_is_told(self) -> None:
        def fails() -> Iterator[Finding]:
            yield ok("so far")
            raise ZeroDivisionError

        (result,) = checkup.run([Check("bad", fails)])
        assert [one.level for one in result.findings] == ["ok", "problem"]
        assert "ZeroDivisionError" in result.findings[1].cause


class TestReport:
    RESULTS = (
        Result("disk", (ok("fine"), warning("nearly full", "Little is left.", "df"))),
        Result("clock", (problem("wrong", "Nobody set it.", "date"),)),
    )

    def test_text(self) -> None:
        assert report.as_text(["capture"], self.RESULTS).splitlines() == [
            "emotion-edge doctor: capture",
            "",
            "ok       disk   fine",
            "warning  disk   nearly full",
            "                Cause: Little is left.",
            "                Run:   df",
            "PROBLEM  clock  wrong",
            "                Cause: Nobody set it.",
            "                Run:   date",
            "",
            "1 problem and 1 warning. Mend the first, then look again: others may follow from it.",
        ]

    def test_json(self) -> None:
        told = json.loads(report.as_json(["capture"], self.RESULTS))
        assert told["ok"] is False
        assert told["counts"] == {"ok": 1, "warning": 1, "problem": 1, "skipped": 0}
        assert told["findings"][2] == {
            "check": "clock",
            "level": "problem",
            "text": "wrong",
            "cause": "Nobody set it.",
            "command": "date",
        }

    def test_a_warning_alone_is_no_problem(self) -> None:
        assert not report.has_problem(self.RESULTS[:1])
        assert report.has_problem(self.RESULTS)
