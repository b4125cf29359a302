"""Controllers of a simulated world: the program's own loops, runtime, handlers and leadership, on a simulated cloud and database."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio import CapacityLimiter
from anyio.abc import TaskGroup

from controller.__main__ import make_handlers
from controller.actuator import Actuator
from controller.credentials import follow_credentials
from controller.leadership import stand_by
from controller.runtime import Runtime
from controller.slots import Slots
from controller.state_server import StateServer
from controller.terraform import Pace
from controller.world import World
from schemas.settings import Settings
from store.db import UNREACHABLE
from store.lease import Lease
from store.secret import Cipher
from tests.controller_world import KEY
from tests.simulation.cloud import Cloud
from tests.simulation.database import CHANNELS, Database, SimDb
from tests.simulation.ec2 import SimEc2
from tests.simulation.stage import Killed, Process
from tests.simulation.terraform import SimTerraform

LEFT_OUT = ("backup", "metric", "prices")
"""Handlers that talk to parts of AWS which are not simulated, and decide nothing."""
MODULES = Path(__file__).resolve().parents[2] / "terraform"
PACE = Pace(progress_s=2.0)


@dataclass
class Controllers:
    """Starts controllers, each again some time after its death. `group` outlives them all."""

    base: Database
    cloud: Cloud
    group: TaskGroup
    folder: Path
    alive: list[Process] = field(default_factory=list)
    wakes: dict[str, Callable[[str, str], None]] = field(default_factory=dict)  # of those that lead
    closing: bool = False

    def __post_init__(self) -> None:
        self.stage = self.base.stage
        self.base.listener.add_notify_handler(lambda note: self._pass_on(note.channel, note.payload))

    def _pass_on(self, channel: str, key: str) -> None:
        """A notification to everybody who leads: as a rule soon and once."""
        for name in list(self.wakes):
            delays = [self.stage.chance.uniform(0.001, 0.05)]
            if self.stage.happens("lost_notes"):
                late = self.stage.chance.uniform(1, 30)
                delays = self.stage.chance.choice(([], [*delays, late], [late]))
            for delay in delays:
                self.group.start_soon(self._wake_later, name, channel, key, delay)

    async def _wake_later(self, name: str, channel: str, key: str, delay_s: float) -> None:
        await anyio.sleep(delay_s)
        if wake := self.wakes.get(name):
            wake(channel, key)

    async def keep_running(self, name: str) -> None:
        """One controller after the other under this name, as systemd would have it."""
        life = 0
        while not self.closing:
            life += 1
            process = Process(f"{name}.{life}", self.stage)
            self.alive.append(process)
            await self._run(process)
            self.alive.remove(process)
            await anyio.sleep(self.stage.chance.uniform(1, 20))

    async def _run(self, process: Process) -> None:
        try:
            with anyio.CancelScope() as process.scope:
                db = SimDb(self.base, process).as_db()
                await stand_by(db, self._settings(process).lease_ttl_s, partial(self._lead, process), anyio.Event())
        except BaseException as ended:
            if not process.dead:
                raise
            if rest := _without_deaths(ended):
                self.stage.blame(f"{process.name} died with {rest!r}")
        finally:
            self.wakes.pop(process.name, None)

    async def _lead(self, process: Process, lease: Lease) -> None:
        """As `controller.__main__.lead`, but for what it listens to."""
        self.stage.note(f"{process.name} leads with token {lease.token}")
        runtime, settings, db = Runtime(), self._settings(process), SimDb(self.base, process).as_db()
        cipher = Cipher.of(settings)
        ec2 = SimEc2(cloud=self.cloud, process=process)
        actuator = self.make_actuator(process, lease, ec2)
        world = World(db, lease, settings, ec2, runtime.wake)
        with suppress(*UNREACHABLE):
            await follow_credentials(world, cipher)
        handlers = make_handlers(world, actuator, cipher)
        runtime.handlers = tuple(one for one in handlers if one.name not in LEFT_OUT)
        async with anyio.create_task_group() as group:
            group.start_soon(runtime.run)
            await anyio.lowlevel.checkpoint()
            self.wakes[process.name] = runtime.wake
            for channel in CHANNELS:
                runtime.wake(channel, "")
            try:
                await anyio.sleep_forever()
            finally:
                self.wakes.pop(process.name, None)

    def _settings(self, process: Process) -> Settings:
        """Each on a host of its own, where those that follow one another under a name find its files."""
        return Settings(
            database_dsn="", deployment_secret="secret", encryption_key=KEY, work_dir=self.folder / process.name.partition(".")[0], modules_dir=MODULES,
            tick_s=30.0, listing_s=60.0, busy_listing_s=20.0,
        )  # fmt: skip

    def make_actuator(self, process: Process, lease: Lease, ec2: SimEc2) -> Actuator:
        settings = self._settings(process)
        db, cipher = SimDb(self.base, process).as_db(), Cipher.of(settings)
        states = StateServer(db, cipher, 1)
        terraform = SimTerraform(
            Path("terraform"), {"TF_REATTACH_PROVIDERS": "{}"}, PACE,
            cloud=self.cloud, process=process, group=self.group, states=states,
        )  # fmt: skip
        return Actuator(
            db=db, lease=lease, ec2=ec2, terraform=terraform, states=states, cipher=cipher,
            work_dir=settings.work_dir, modules_dir=settings.modules_dir, allocator_url=settings.allocator_url,
            secret=b"secret", settle_s=settings.settle_s, slots=Slots(CapacityLimiter(2)),
        )  # fmt: skip


def _without_deaths(ended: BaseException) -> BaseException | None:
    """What a dead process raised that is not its death."""
    if isinstance(ended, BaseExceptionGroup):
        return ended.split(lambda one: isinstance(one, Killed | anyio.get_cancelled_exc_class()))[1]
    return None if isinstance(ended, Killed | anyio.get_cancelled_exc_class()) else ended
