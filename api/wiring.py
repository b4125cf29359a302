"""Makes each part of the API once; `app.py` hands them to the handlers by their names, for which `parts.py` has the types."""

from dataclasses import dataclass, fields
from typing import Any

from api.admins import Access
from api.api_tokens import ApiTokens
from api.binder import Binder
from api.callers import Callers
from api.collect import Collections
from api.contact import Contacts
from api.desk import Desk
from api.door import Door
from api.followers import Followers
from api.in_force import DesiredInForce
from api.intake import Intake
from api.log_feed import LogFeed
from api.log_writer import LogWriter
from api.outlook import Outlook
from api.pages.free import FreeCount
from api.passwords import Passwords
from api.reception import Reception
from api.reports import Reports
from api.signal import Signal
from api.statuses import Statuses
from api.waiters import Waiters
from schemas.settings import Settings
from store.api_token import CHANNEL as API_TOKEN
from store.assignment import CHANNEL as ASSIGNMENT
from store.db import Db
from store.desired import CHANNEL as DESIRED
from store.event import CHANNEL as EVENT
from store.listen import Listener
from store.secret import Cipher


@dataclass(frozen=True)
class Parts:
    settings: Settings
    db: Db
    access: Access
    api_tokens: ApiTokens
    binder: Binder
    callers: Callers
    cipher: Cipher
    collections: Collections
    contacts: Contacts
    desired: DesiredInForce
    desk: Desk
    door: Door
    feed: Signal
    followers: Followers
    free: FreeCount
    intake: Intake
    listener: Listener
    log_feed: LogFeed
    outlook: Outlook
    reception: Reception
    statuses: Statuses
    waiters: Waiters

    def by_name(self) -> dict[str, Any]:
        return {part.name: getattr(self, part.name) for part in fields(self)}


def make_parts(settings: Settings, db: Db) -> Parts:
    desired, feed, binder, contacts = DesiredInForce(db), Signal(), Binder(db), Contacts(db)
    api_tokens, followers, log_feed = ApiTokens(db), Followers(db, binder), LogFeed(db)
    callers, waiters = Callers(settings, db, desired, contacts), Waiters(db, binder, contacts)
    desk, door = Desk(db, waiters), Door()
    return Parts(
        settings=settings,
        db=db,
        access=Access(settings, Passwords(settings, desired), api_tokens),
        api_tokens=api_tokens,
        binder=binder,
        callers=callers,
        cipher=Cipher.of(settings),
        collections=Collections(),
        contacts=contacts,
        desired=desired,
        desk=desk,
        door=door,
        feed=feed,
        followers=followers,
        free=FreeCount(db),
        intake=Intake(callers, db, desired, LogWriter(db, log_feed), Reports(db)),
        listener=_make_listener(settings.database_dsn, desired, api_tokens, feed, waiters, followers),
        log_feed=log_feed,
        outlook=Outlook(db),
        reception=Reception(db, desired, desk, door, followers, settings),
        statuses=Statuses(db),
        waiters=waiters,
    )


def _make_listener(
    dsn: str, desired: DesiredInForce, api_tokens: ApiTokens, feed: Signal, waiters: Waiters, followers: Followers
) -> Listener:
    """Each channel rings whom its news concerns; after a gap in listening all of them look again."""

    def hear_of(hostname: str) -> None:
        waiters.look(hostname)
        followers.hear()

    def look_again() -> None:
        desired.forget()
        api_tokens.forget()
        waiters.sweep()
        feed.ring()
        followers.hear()

    hear = {
        API_TOKEN: lambda _: api_tokens.forget(),
        ASSIGNMENT: hear_of,
        DESIRED: lambda _: desired.forget(),
        EVENT: lambda _: feed.ring(),
    }
    return Listener(dsn, hear, look_again)
