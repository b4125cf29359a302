"""`/api/v1/ticks/{id}`: a stored tick decided once more by today's code, and whether the answer is still the one that was acted on."""

from anyio import to_thread
from litestar import get
from litestar.params import FromPath
from pydantic import ValidationError

from api.answers import TickReplayed
from api.errors import ConflictError, NotFoundError
from api.parts import AnyDb
from controller.decide.invariants import drop_unlawful
from controller.decide.pool import decide
from controller.decide.render import render_decision
from schemas.decision import Decision
from schemas.document import diff_texts
from schemas.snapshot import Snapshot
from store.db import Db
from store.tick import read_tick


@get("/ticks/{tick_id:int}")
async def get_tick(db: AnyDb, tick_id: FromPath[int]) -> TickReplayed:
    """What the tick decided, what would be decided of the same snapshot now, and the difference between both as text.

    What it saw stays in the record: the document in it may hold access codes and the addresses of receivers.
    """
    snapshot, decided = await _read(db, tick_id)
    again = await to_thread.run_sync(_decide_again, snapshot)
    before, after = render_decision(decided), render_decision(again)
    return TickReplayed(
        id=tick_id,
        at=decided.now,
        version=decided.version,
        same=again == decided,
        decision=decided,
        rendered=before,
        difference=diff_texts(before, after, ("decided then", "decided now")),
    )


async def _read(db: Db, tick_id: int) -> tuple[Snapshot, Decision]:
    try:
        async with db.connection() as conn:
            stored = await read_tick(conn, tick_id) if 0 < tick_id < 2**63 else None
    except ValidationError:
        raise ConflictError(
            f"tick {tick_id} was stored by another release, whose snapshot this one cannot read: replay it with that release"
        ) from None
    if stored is None:
        raise NotFoundError(
            f"there is no tick {tick_id}: only those that did something are kept, for 14 days; `lablink replay` lists them"
        )
    return stored


def _decide_again(snapshot: Snapshot) -> Decision:
    return drop_unlawful(snapshot, decide(snapshot))


ROUTES = [get_tick]
