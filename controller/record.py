"""Closes runs: reads the state as it is now and writes what the run has brought about, all in one fenced transaction.

Called by `controller.apply` at the end of its run, and by `controller.actuate` for runs that a dead controller left open.
"""

from dataclasses import dataclass
from functools import partial

from anyio import to_thread

from controller.actuator import Actuator
from controller.errors import Cause, CloudError, Failure
from controller.result import FAILED, INTERRUPTED, REFUSED, SUCCEEDED, Place, Recorder, Result
from controller.s3_states import read_s3_state
from controller.workspace import Workspace, prepare_workspace
from schemas.tfstate import TfState, parse_state
from store.actuation import clear_condition, set_condition
from store.db import Connection
from store.event import write_event
from store.lease import fenced
from store.run import Ending, end_run
from store.secret import SecretError
from store.tfstate import read_state, unlock_state

ACTOR = "controller"
REASONS = {SUCCEEDED: "RunSucceeded", FAILED: "RunFailed", INTERRUPTED: "RunInterrupted", REFUSED: "PlanRefused"}
CONDITIONS = {FAILED: "ApplyFailed", REFUSED: "PlanRefused"}
LEFT_OPEN = Result(INTERRUPTED, (Failure(Cause.INTERRUPTED, "its controller ended before it"),), applied=True)


async def open_workspace(actuator: Actuator, place: Place) -> Workspace:
    """The working copy of a state. OSError when the disk does not let us."""
    module = actuator.modules_dir / place.module
    installs = "TF_REATTACH_PROVIDERS" not in actuator.terraform.environment
    prepare = partial(prepare_workspace, installs=installs, text=place.bucket.render() if place.bucket else "")
    return await to_thread.run_sync(prepare, actuator.work_dir, module, place.backend, place.state_key)


async def read_tf_state(
    conn: Connection, actuator: Actuator, place: Place, workspace: Workspace | None
) -> TfState | None:
    """The state as it is now; None when it cannot be read, which is not the same as empty."""
    try:
        if place.bucket:
            return parse_state(await read_s3_state(actuator.ec2, place.bucket, place.state_key))
        if place.backend == "database":
            return parse_state(await read_state(conn, actuator.cipher, place.state_key))
        return parse_state(await to_thread.run_sync(workspace.read_local_state)) if workspace else None
    except (OSError, ValueError, KeyError, SecretError, CloudError):
        return None


@dataclass(frozen=True, slots=True)
class Closing:
    """What a run is closed with: how it ended, where, what Terraform said, and what it did in a few words."""

    result: Result
    workspace: Workspace | None
    output: str = ""
    summary: str = ""


async def close_run(actuator: Actuator, run_id: int, place: Place, record: Recorder, closing: Closing) -> None:
    """End a run whose Terraform is surely gone, with all that follows from it; harmless when it was closed already."""
    result, workspace = closing.result, closing.workspace
    ending = Ending(result.outcome, result.cause and result.cause.value, result.message or None, closing.output)
    async with fenced(actuator.db, actuator.lease) as conn:
        if not await end_run(conn, run_id, ending):
            return
        state = await read_tf_state(conn, actuator, place, workspace)
        await unlock_state(conn, place.state_key, run_id)
        await record(conn, state, result)
        await _write_outcome(conn, run_id, place, closing)
    if workspace:
        workspace.clean()


async def close_dead_run(actuator: Actuator, run_id: int, place: Place, record: Recorder) -> None:
    """Close a run of a controller that is gone; its files go, too."""
    try:
        workspace = await open_workspace(actuator, place)
    except OSError:
        workspace = None
    await close_run(actuator, run_id, place, record, Closing(LEFT_OPEN, workspace))


async def _write_outcome(conn: Connection, run_id: int, place: Place, closing: Closing) -> None:
    """The event, and the conditions that a clean run clears."""
    result = closing.result
    message = result.message or closing.summary
    detail = {"run": run_id, "state": place.state_key}
    await write_event(
        conn, ACTOR, f"pool/{place.pool}", REASONS[result.outcome], f"{place.state_key}: {message}", detail
    )
    if result.outcome in CONDITIONS:
        cause = result.cause.value if result.cause else "different"
        await set_condition(conn, place.pool, CONDITIONS[result.outcome], cause, f"{place.state_key}: {message}")
    elif result.outcome == SUCCEEDED:
        for kind in CONDITIONS.values():
            await clear_condition(conn, place.pool, kind, "the last run was clean")
