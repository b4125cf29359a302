"""A `World` for tests of the controller's steps: a real database, a lease that holds, and a cloud that is asked nothing unless given."""

from pathlib import Path

from controller.ec2 import Ec2
from controller.world import World
from schemas.settings import Settings
from store.db import Db
from store.lease import take_lease

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="  # 32 bytes that protect nothing


async def lead_world(db: Db, dsn: str, desired_file: Path | None = None, ec2: Ec2 | None = None) -> World:
    """A world that leads."""
    lease = await take_lease(db, "test", ttl_s=600)
    assert lease is not None
    settings = Settings(
        database_dsn=dsn, desired_file=desired_file, deployment_secret="secret", encryption_key=KEY, settle_s=0.0
    )
    return World(db, lease, settings, ec2 or Ec2(), wake=lambda channel, key: None)
