"""What a person's request for a VM needs, as one part: a whole class asks at once, and Litestar resolves two or more parts in a task
group of its own for each call.
"""

from dataclasses import dataclass

from api.desk import Desk
from api.door import Door
from api.followers import Followers
from api.in_force import DesiredInForce
from schemas.settings import Settings
from store.db import Db


@dataclass(frozen=True, slots=True)
class Reception:
    """Who may come in, where the place in line is given, and how it is shown."""

    db: Db
    desired: DesiredInForce
    desk: Desk
    door: Door
    followers: Followers
    settings: Settings

    @property
    def secret(self) -> bytes:
        return self.settings.deployment_secret.get_secret_value().encode()
