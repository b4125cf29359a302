"""A simulated Terraform with what was measured of the real one: partial applies, a state that is written while and after it works,
locks that a killed one leaves, saved plans that are stale, creations that are cut short and stay tainted.

It outlives its controller for as long as its guard lets it. `tests/simulation/test_contract.py` compares it with the real binary.
"""

import json
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from controller import guard
from controller.state_server import StateServer
from controller.terraform import Command, Finished, Terraform, Tether
from tests.simulation.backend import Backend, Unreachable
from tests.simulation.changes import Changes, Failed
from tests.simulation.cloud import Cloud
from tests.simulation.database import EPOCH
from tests.simulation.stage import Process
from tests.simulation.tfstate import State, adopted_of, make_plan

SAVED_EVERY_S = 20.0  # while an apply goes on, as Terraform does with remote backends
Hear = Callable[[Mapping[str, Any]], None]
_locks = count(1)


@dataclass(frozen=True)
class SimTerraform(Terraform):
    """`group` outlives the controller."""

    cloud: Cloud = field(kw_only=True)
    process: Process = field(kw_only=True)
    group: TaskGroup = field(kw_only=True)
    states: StateServer = field(kw_only=True)

    def find(self) -> str | None:
        return "simulated"

    async def run(self, command: Command, tether: Tether, on_message: Hear | None = None) -> Finished:
        await self.process.reach(f"before terraform {command.arguments[0]}")
        work = _Work(self, command, tether, on_message)
        self.group.start_soon(work.live)
        try:
            await work.done.wait()
        except anyio.get_cancelled_exc_class():
            if not self.process.dead:
                with anyio.CancelScope(shield=True):
                    await tether.stop()
                    await work.done.wait()
            raise
        await self.process.reach(f"after terraform {command.arguments[0]}")
        return Finished(work.code, tuple(work.messages), work.text, "")


@dataclass
class _Work:
    """One invocation."""

    terraform: SimTerraform
    command: Command
    tether: Tether
    on_message: Hear | None
    messages: list[Mapping[str, Any]] = field(default_factory=list)
    text: str = ""
    code: int = 0
    done: anyio.Event = field(default_factory=anyio.Event)
    serial: int = 0
    saved_at: float = 0.0

    def __post_init__(self) -> None:
        self.stage = self.terraform.cloud.stage
        self.out_of_time_at = self.stage.at + self.command.limit_s

    async def live(self) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._guard, group.cancel_scope)
                await self._obey()
                group.cancel_scope.cancel()
        finally:
            self.done.set()

    async def _guard(self, scope: anyio.CancelScope) -> None:
        """SIGKILL some time after SIGINT, whatever Terraform waits for: its state is unsaved then, and its lock stays."""
        while not self.why():
            await anyio.sleep(1)
        await anyio.sleep(self.terraform.pace.grace_s)
        self.code = self.why()
        scope.cancel()

    async def _obey(self) -> None:
        try:
            await anyio.sleep(self.stage.chance.uniform(0.2, 1.5))
            await getattr(self, f"_{self.command.arguments[0]}")()
        except Failed as failed:
            self._fail(failed)
        except OSError as error:  # whoever comes after a dead controller tidies up
            self._fail(Failed(f"Failed to read file: {error.strerror}"))
        except Unreachable as error:
            self._fail(Failed(f"Failed to load or save state: {error}"))

    def _fail(self, failed: Failed) -> None:
        self.say(failed.diagnostic)
        self.code = self.why() or 1

    def why(self) -> int:
        """The exit code of a guard that has asked Terraform to stop, or whose Terraform is gone; else 0."""
        if self.terraform.cloud.terraform_killed:
            return 128 + signal.SIGKILL
        if self.terraform.process.dead or self.tether.stopped or self.stage.at > self.tether.until:
            return guard.INTERRUPTED
        return guard.OUT_OF_TIME if self.stage.at > self.out_of_time_at else 0

    def say(self, message: Mapping[str, Any]) -> None:
        stamped = {"@timestamp": str(EPOCH + timedelta(seconds=self.stage.at)), **message}
        self.messages.append(stamped)
        if self.on_message and not self.terraform.process.dead:
            self.on_message(stamped)

    def _option(self, name: str) -> str:
        return next(one.partition("=")[2] for one in self.command.arguments if one.startswith(f"{name}="))

    def _open(self) -> Backend:
        lock_id = f"lock-{next(_locks)}"
        return Backend(
            self.terraform.states, self.terraform.process, self.terraform.group, self.command.environment, lock_id
        )

    async def _lock(self, operation: str) -> tuple[Backend, State]:
        backend = self._open()
        if (holder := await backend.lock(operation)) is not None:
            raise Failed(f"Error acquiring the state lock: {holder}")
        return backend, State.parse(await backend.read())

    async def _init(self) -> None:
        await anyio.sleep(1)

    async def _show(self) -> None:
        self.text = Path(self.command.arguments[-1]).read_text()

    async def _untaint(self) -> None:
        backend, state = await self._lock("OperationTypeUntaint")
        state.tainted.discard(self.command.arguments[-1])
        state.serial += 1
        await backend.write(state.render())
        await backend.unlock()

    async def _plan(self) -> None:
        variables = json.loads(Path(self._option("-var-file")).read_text())
        backend, state = await self._lock("OperationTypePlan")
        await anyio.sleep(self.stage.chance.uniform(0.2, 1.0))
        if self._option("-refresh") == "true":
            Changes(self.terraform.cloud, variables, state).refresh()
        await backend.unlock()
        for address, found in adopted_of(variables).items():
            if not Changes(self.terraform.cloud, variables, state).is_there(address, found):
                raise Failed("Cannot import non-existent remote object", detail=f'to "{address}"')
        plan = make_plan(variables, state, destroy="-destroy" in self.command.arguments)
        Path(self._option("-out")).write_text(json.dumps(plan))
        if code := self.why():
            self.code = code

    async def _apply(self) -> None:
        plan = json.loads(Path(self.command.arguments[-1]).read_text())
        backend, state = await self._lock("OperationTypeApply")
        if state.serial != plan["sim"]["serial"]:
            await backend.unlock()
            raise Failed("Saved plan is stale")
        watch = self.terraform.cloud.watch
        changes = Changes(self.terraform.cloud, plan["sim"]["variables"], state, self.say, self.why)
        if watch:
            watch.applies(backend.state_key, plan["resource_changes"])
        try:
            await self._change_all(backend, changes, plan)
            if (code := self.why()) and (code > 128 or self.stage.chance.random() < 0.3):
                self.stage.note(f"the Terraform of {backend.state_key} is killed")
                await anyio.sleep_forever()
            await self._save(backend, state, changes)
            await backend.unlock()
        finally:
            if watch:
                watch.applied(backend.state_key)
        self.code = self.why() or (1 if changes.failed else 0)

    async def _change_all(self, backend: Backend, changes: Changes, plan: Mapping[str, Any]) -> None:
        """Several at once, in order; once Terraform was asked to stop, nothing new is begun."""
        waiting = [
            one
            for one in plan["resource_changes"]
            if one["change"]["actions"] != ["no-op"] or "importing" in one["change"]
        ]
        self.saved_at = self.stage.at

        async def work() -> None:
            while waiting and not self.why():
                await changes.make(waiting.pop(0))
                if self.stage.at - self.saved_at > SAVED_EVERY_S and not self.why():
                    with suppress(Unreachable):  # what counts is the last time
                        await self._save(backend, changes.state, changes)

        vms = "vms" in plan["sim"]["variables"]
        async with anyio.create_task_group() as group:
            for _ in range(int(self._option("-parallelism")) if vms else 1):
                group.start_soon(work)

    async def _save(self, backend: Backend, state: State, changes: Changes) -> None:
        self.saved_at = self.stage.at
        state.serial += 1
        changes.write_outputs()
        await backend.write(state.render())
