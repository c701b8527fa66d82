"""The web service's composition root."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

from services.web.accounts.accounts import Accounts
from services.web.accounts.doorkeeper import Doorkeeper
from services.web.accounts.first import make_first_admin
from services.web.accounts.keys import Keys
from services.web.accounts.logins import Logins
from services.web.accounts.passwords import Passwords
from services.web.accounts.people import People
from services.web.app import create_app
from services.web.database import Database
from services.web.datasets.jobs import Jobs
from services.web.datasets.previewing import Previewer
from services.web.eraser import CONNECTIONS, Eraser
from services.web.face_pictures import FacePictures
from services.web.feed import Feed
from services.web.forgetting import forget_erased, forget_old
from services.web.gate import Gate, Identify, anybody, anybody_here
from services.web.hub import Hub
from services.web.lease import WatchLease
from services.web.rate import Allowance, CredentialOf, nobody_is_known
from services.web.settings import WebSettings
from services.web.trail import Save, Trail, to_log
from shared import logs
from shared.db.engine import create_engine
from shared.health import Server, listen, serve_health
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.mqtt_metrics import measure_links
from shared.owned_thread import owned_thread

log = logs.get(__name__)


async def run(settings: WebSettings) -> None:
    """Serve the live page and the records until cancelled.

    Raises:
        SettingsError: if the port is taken or TLS files cannot be used.
    """
    metrics = Metrics("web")
    async with AsyncExitStack() as stack:
        sock = listen(settings.host, settings.port)
        stack.callback(sock.close)
        lost = metrics.counter("events_dropped", "Live events that slow viewers lost.")
        hub = Hub(on_drop=lost.inc)
        metrics.gauge("viewers", "Live streams open now.").set_function(lambda: hub.viewers)
        link = MqttLink(settings.mqtt)
        measure_links(metrics, {settings.role: link})
        topics = settings.mqtt.topics

        async def publish_wish(device: str, payload: bytes) -> None:
            await link.publish(topics.desired(device), payload, qos=1, retain=True)

        async def send_picture(device: str, jpeg: bytes) -> None:
            await link.publish(topics.browser(device), jpeg)

        lease = WatchLease(hub, publish_wish, settings.watch_lease_s)
        link.on_connect(lease.connected)
        link.on_disconnect(lease.disconnected)
        Feed(topics, hub, metrics, on_desired=lease.heard).attach(link)

        database: Database | None = None
        accounts: Accounts | None = None
        eraser: Eraser | None = None
        passwords = Passwords()
        stack.callback(passwords.close)
        credential_of: CredentialOf = nobody_is_known
        identify: Identify = anybody if settings.login == "off" or settings.role == "edge" else anybody_here
        jobs: Jobs | None = None
        save: Save = to_log
        if settings.role == "cloud":
            engine = create_engine(settings.database, application="emotion-edge web", statement_timeout_s=20.0)
            stack.push_async_callback(engine.dispose)
            database = Database(engine)
            save = database.write_audit
            lookups = Allowance(settings.requests_per_s)
            doorkeeper = Doorkeeper(database, timedelta(hours=settings.login_idle_h), lookups)
            # Counting and removing take the time that they take.
            patient = create_engine(
                settings.database.model_copy(update={"pool_size": CONNECTIONS}),
                application="emotion-edge web erasing",
                statement_timeout_s=None,
            )
            stack.push_async_callback(patient.dispose)
            eraser = Eraser(patient)
            lasts = timedelta(hours=settings.login_max_h)
            accounts = Accounts(
                Logins(database, passwords, doorkeeper, lasts, required=settings.login_required),
                People(database, passwords, doorkeeper),
                Keys(database, doorkeeper),
            )
            if settings.login_required:
                identify = doorkeeper
                credential_of = doorkeeper.credential_of
            elif not settings.on_loopback:
                log.warning(
                    "nobody has to log in: whoever reaches this address sees faces and may change everything",
                    next_step="set EMOTION_LOGIN=required, unless something before this service asks for a login",
                )
            # Its statements take what they take, and its connections are none that pages wait for.
            working = create_engine(settings.database, application="emotion-edge web jobs", statement_timeout_s=None)
            stack.push_async_callback(working.dispose)
            jobs = Jobs(working, settings.data_dir / "exports", metrics)
        trail = Trail(save, metrics)
        stack.push_async_callback(trail.write_last)

        def missing() -> dict[str, str]:
            parts = {"broker": link.last_error, "database": database.last_error if database else None}
            return {part: error for part, error in parts.items() if error is not None}

        thread = await stack.enter_async_context(owned_thread("web pictures"))
        # Of its own: people who label wait for no preview.
        comparing = await stack.enter_async_context(owned_thread("web previews"))
        app = await asyncio.to_thread(
            create_app,
            role=settings.role,
            hub=hub,
            database=database,
            pictures=FacePictures(thread),
            previewer=Previewer(comparing),
            wish_of=lease.wish,
            set_paused=lease.set_paused,
            change_wish=lease.change,
            send_picture=send_picture,
            trail=trail,
            gate=Gate(identify),
            accounts=accounts,
            eraser=eraser,
            metrics=metrics,
            readiness=missing,
            max_viewers=settings.max_viewers,
            max_viewers_each=settings.max_viewers_each,
            requests_per_s=settings.requests_per_s,
            credential_of=credential_of,
            jobs=jobs,
            exports_bytes=int(settings.exports_gb * 1e9),
            allowed_hosts=settings.host_names,
            cors_origins=settings.origins,
        )
        host, port = sock.getsockname()[:2]
        log.info("web is open", address=f"http://{f'[{host}]' if ':' in host else host}:{port}", role=settings.role)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(link.run(), name="web broker")
            tasks.create_task(lease.run(), name="web watch lease")
            tasks.create_task(trail.run(), name="web audit trail")
            tasks.create_task(forget_old(hub), name="web old readings")
            if eraser is not None:
                tasks.create_task(eraser.run(), name="web erasing")
            if database is not None:
                if settings.login_required:
                    first = make_first_admin(
                        database, passwords, given=settings.first_password, file=settings.first_password_file
                    )
                    tasks.create_task(first, name="web first administrator")
                tasks.create_task(forget_erased(database, hub), name="web erased")
            if jobs is not None:
                tasks.create_task(jobs.run(), name="web datasets")
            # Open streams never end by themselves; closing the hub ends them before the server waits for them.
            tasks.create_task(Server(app, on_stop=hub.close).run_until_cancelled(sock), name="web http")
            tasks.create_task(serve_health(settings.health, metrics, missing), name="web health")
