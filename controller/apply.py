"""One Terraform run of one state, from its announcement to its end: plan, check, let through, apply, record.

Called by `controller.shard` and `controller.base`, which say what is expected and what to record. A run is closed in every way
in which it can end; one that could not be closed (no database, `kill -9`) is closed as dead by a later round.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import structlog
from anyio import to_thread

from controller.actuator import Actuator
from controller.decide.tfvars import render_json
from controller.errors import Cause, CloudError, Failure, classify
from controller.progress import Progress
from controller.record import Closing, close_run, open_workspace
from controller.result import FAILED, INTERRUPTED, REFUSED, SUCCEEDED, Job, Result
from controller.s3_states import release_dead_s3_lock
from controller.terraform import Command, Finished, Tether, put_keys
from controller.workspace import Workspace
from store.db import UNREACHABLE, answering
from store.lease import LeaseLost, fenced
from store.run import extend_run, let_through, start_run, write_output
from store.tfstate import release_dead_lock

log = structlog.get_logger()

CLOSING_S = 30.0
OWN_LOCKS = 3  # that one command may meet in a bucket
NOT_INITIALISED = re.compile(
    r"Required plugins are not installed|Inconsistent dependency lock file|terraform init|tofu init"
)
STOPPED = Result(INTERRUPTED, (Failure(Cause.INTERRUPTED, "the controller was stopped"),))


async def apply_job(actuator: Actuator, job: Job) -> Result:
    """Make one run. Raises LeaseLost, and what psycopg raises while the database is away; when cancelled, Terraform gets
    SIGINT, is waited for, and the run is recorded before the cancellation goes on."""
    async with (
        actuator.slots.creates(job.place.region, job.creates) as parallelism,
        actuator.slots.terraforms,
    ):
        pace = actuator.terraform.pace
        # Before the database's clock is read: the guard is never later than the row.
        until = anyio.current_time() + pace.ttl_s
        async with fenced(actuator.db, actuator.lease) as conn:
            await release_dead_lock(conn, job.place.state_key)
            run_id = await start_run(conn, job.place.state_key, job.place.pool, actuator.lease.token, pace.ttl_s)
        if run_id is None:
            return Result(INTERRUPTED, (Failure(Cause.LOCK, f"another run of {job.place.state_key} is open"),))
        return await _Run(actuator, job, run_id, Tether(until), parallelism).run()


class _Ended(Exception):
    """A step of the run says how the run ends."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.outcome)
        self.result = result


@dataclass
class _Run:
    actuator: Actuator
    job: Job
    run_id: int
    tether: Tether
    parallelism: int
    workspace: Workspace | None = None
    applying: bool = False
    said: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set, repr=False)
    heard: list[str] = field(default_factory=list)  # by the command that is still at it
    error: Exception | None = None  # what nobody expected, raised once the run is closed
    result: Result = STOPPED

    def __post_init__(self) -> None:
        self.progress = Progress(self.job.place.pool, self.run_id)

    async def run(self) -> Result:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._keep_alive)
                self.result = await self._attempt()
                group.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(CLOSING_S, shield=True):
                await self._close()
        if self.error:
            raise self.error
        return self.result

    async def _attempt(self) -> Result:
        try:
            return await self._go()
        except _Ended as ended:
            return ended.result
        except CloudError as error:
            return Result(FAILED, (Failure(error.cause, str(error)),))
        except OSError as error:
            said = f"the working copy of {self.job.place.state_key} cannot be written: {error}"
            return Result(FAILED, (Failure(classify(str(error)), said),))
        except Exception as error:
            self.error = error
            return Result(INTERRUPTED, (Failure(Cause.INTERRUPTED, f"{type(error).__name__}: {error}"),))

    async def _go(self) -> Result:
        """The whole sequence; each step that does not succeed raises how the run ends."""
        self.workspace = await open_workspace(self.actuator, self.job.place)
        await to_thread.run_sync(self.workspace.clean)
        await self._release_lock()
        await self._init()
        for address in self.job.untaint:
            await self._terraform("untaint", self._lock_timeout, address)
        await to_thread.run_sync(self.workspace.write_variables, render_json(self.job.variables))
        await self._plan()
        await self._let_through()
        return await self._apply()

    async def _release_lock(self) -> bool:
        """Whether a bucket had a lock of ours while no Terraform of ours is at this state. A database's are released with `start_run`."""
        place = self.job.place
        return place.bucket is not None and await release_dead_s3_lock(self.actuator.ec2, place.bucket, place.state_key)

    async def _init(self) -> None:
        assert self.workspace
        async with self.actuator.initialising:
            if not self.workspace.initialised:
                await self._terraform("init", "-input=false", "-no-color", folder=self.workspace.template)
                await to_thread.run_sync(self.workspace.mark_initialised)
        await to_thread.run_sync(self.workspace.take_lock_file)

    async def _plan(self) -> None:
        assert self.workspace
        names = (f"-out={self.workspace.plan}", f"-var-file={self.workspace.variables}")
        more = (f"-refresh={str(self.job.refresh).lower()}", *(("-destroy",) if self.job.destroy else ()))
        await self._terraform("plan", "-json", "-input=false", self._lock_timeout, *names, *more)
        shown = await self._terraform("show", "-json", str(self.workspace.plan), keep=False)
        refusal = self.job.check(await to_thread.run_sync(json.loads, shown.text))
        if refusal:
            raise _Ended(Result(REFUSED, refusal=refusal))

    async def _let_through(self) -> None:
        """The lease, the rows and the seats once more; from this commit on the run counts as one that may have changed things."""
        async with fenced(self.actuator.db, self.actuator.lease) as conn:
            moved = await self.job.allow(conn)
            if not moved and await let_through(conn, self.run_id, self.job.change):
                self.applying = True
        if not self.applying:
            said = f"decided anew while it was planned: {', '.join(moved) or 'the run itself'}"
            raise _Ended(Result(INTERRUPTED, (Failure(Cause.STALE_PLAN, said),)))

    async def _apply(self) -> Result:
        assert self.workspace
        arguments = ("apply", "-json", "-input=false", self._lock_timeout, f"-parallelism={self.parallelism}")
        result = Result(SUCCEEDED)
        async with anyio.create_task_group() as group:
            group.start_soon(self._write_progress)
            try:
                await self._terraform(*arguments, str(self.workspace.plan), on_message=self._hear)
            except _Ended as ended:
                result = ended.result
            group.cancel_scope.cancel()
        return result

    async def _terraform(
        self,
        *arguments: str,
        folder: Path | None = None,
        keep: bool = True,
        on_message: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Finished:
        """One command that has to succeed; what it says is kept for the record unless it is the plan itself.

        AWS may have taken a lock or its release whose answer was lost on the way: then Terraform meets its own, and is run again.
        """
        assert self.workspace
        finished = await self._invoke(arguments, folder, keep, on_message)
        for _ in range(OWN_LOCKS):
            if not await self._met_its_own(finished):
                break
            finished = await self._invoke(arguments, folder, keep, on_message)
        if finished.succeeded:
            return finished
        if any(NOT_INITIALISED.search(failure.said) for failure in finished.failures):
            self.workspace.forget_initialisation()
        failures = tuple(replace(f, said=self._redact(f.said)) for f in finished.failures)
        raise _Ended(Result(INTERRUPTED if finished.interrupted else FAILED, failures))

    async def _met_its_own(self, finished: Finished) -> bool:
        """Whether it was refused for a lock that was ours, and is released now."""
        return any(failure.cause is Cause.LOCK for failure in finished.failures) and await self._release_lock()

    async def _invoke(
        self,
        arguments: tuple[str, ...],
        folder: Path | None,
        keep: bool,
        on_message: Callable[[Mapping[str, Any]], None] | None,
    ) -> Finished:
        assert self.workspace
        pace = self.actuator.terraform.pace
        # The template is initialised before any workspace of a bucket is there; the state server's address is wanted even then.
        barred = folder is not None and self.job.place.bucket is not None
        environment = {"TF_DATA_DIR": str(self.workspace.data_dir)} | ({} if barred else self._grant())
        keys = self.actuator.ec2.keys.in_force
        self.secrets.update(keys.secrets if keys else ())
        terraform = replace(self.actuator.terraform, environment=put_keys(self.actuator.terraform.environment, keys))
        limit_s = pace.apply_s if arguments[0] == "apply" else pace.plan_s
        command = Command(arguments, folder or self.workspace.folder, environment, limit_s)
        finished = await terraform.run(command, self.tether, on_message)
        self._keep(finished, keep)
        return finished

    @property
    def _lock_timeout(self) -> str:
        return f"-lock-timeout={self.actuator.terraform.pace.lock_s}s"

    def _grant(self) -> dict[str, str]:
        place = self.job.place
        if place.bucket:
            return place.bucket.grant(place.state_key)
        if place.backend != "database":
            return {}
        return self.actuator.states.grant(self.run_id, place.state_key, self.actuator.lease.token)

    def _hear(self, message: Mapping[str, Any]) -> None:
        self.heard.append(str(message.get("@message", "")))
        self.progress.take(message)

    def _keep(self, finished: Finished, keep: bool) -> None:
        self.heard.clear()  # all of it is in what has finished
        self.said += [str(message.get("@message", "")) for message in finished.messages]
        self.said += [failure.said for failure in finished.failures]
        self.said.append(finished.errors.strip())
        if keep:
            self.said.append(finished.text.strip())

    async def _keep_alive(self) -> None:
        """While this goes on, the guard lets Terraform go on. A lost lease ends it at once, a silent database in time."""
        pace = self.actuator.terraform.pace
        while True:
            await anyio.sleep(pace.renew_s)
            until = anyio.current_time() + pace.ttl_s
            try:
                async with (
                    answering(self.actuator.db, pace.answer_s, shield=True),
                    fenced(self.actuator.db, self.actuator.lease) as conn,
                ):
                    extended = await extend_run(conn, self.run_id, pace.ttl_s)
            except UNREACHABLE as error:
                log.warning("a run could not be extended", run=self.run_id, error=str(error))
                continue
            except LeaseLost as lost:
                self.error, extended = lost, False
            if not extended:
                await self.tether.stop()
                return
            await self.tether.extend(until)

    async def _write_progress(self) -> None:
        pace = self.actuator.terraform.pace
        while True:
            await anyio.sleep(pace.progress_s)
            try:
                async with answering(self.actuator.db, pace.answer_s, shield=True):
                    await self._flush()
            except (*UNREACHABLE, LeaseLost) as error:
                log.warning("progress could not be written yet", run=self.run_id, error=str(error))

    async def _flush(self) -> None:
        if self.progress.waiting:
            async with fenced(self.actuator.db, self.actuator.lease) as conn:
                written = await self.progress.write(conn)
                await write_output(conn, self.run_id, self._render_output())
            self.progress.forget(written)

    async def _close(self) -> None:
        """What cannot be written now is found open, and closed, by whoever leads next."""
        self.result = replace(self.result, applied=self.applying)
        closing = Closing(self.result, self.workspace, self._render_output(), _summarize(self.job))
        try:
            await self._flush()
            await close_run(self.actuator, self.run_id, self.job.place, self.job.record, closing)
        except (*UNREACHABLE, LeaseLost) as error:
            log.warning("a run could not be closed", run=self.run_id, error=str(error))
            self.error = self.error or error
            if self.workspace:
                self.workspace.clean()

    def _render_output(self) -> str:
        return self._redact("\n".join(line for line in (*self.said, *self.heard) if line))

    def _redact(self, text: str) -> str:
        """What a record is kept of: without the tokens of VMs and the keys that were given for the run."""
        for secret in self.secrets:
            text = text.replace(secret, "[secret]")
        return self.job.redact(text)


def _summarize(job: Job) -> str:
    words = {"creates": "created", "imports": "imported", "deletes": "deleted"}
    done = [f"{len(job.change[verb])} {word}" for verb, word in words.items() if job.change.get(verb)]
    return ", ".join([*done, job.note] if done and job.note else done) or "brought up to date"
