"""Follows the AWS keys that an admin sets and forgets: boto3 and Terraform work with them from the next call on.

Until AWS has said that they are of the pinned account, everything is only observed.
"""

import structlog

from controller.errors import Cause, NeedsOperator
from controller.world import World
from schemas.credentials import AwsKeys
from store.credentials import read_credentials
from store.db import Db
from store.lease import fenced
from store.pool import forgive_failures
from store.secret import Cipher, SecretError

log = structlog.get_logger()

UNCHECKED = "the AWS credentials were changed and have not been checked yet"


async def follow_credentials(world: World, cipher: Cipher) -> None:
    """Take up what is set now; raises NeedsOperator when it cannot be opened, and then goes on with what there was."""
    keys = await read_keys(world.db, cipher)
    if keys == world.ec2.keys.in_force:
        return
    world.ec2.keys.in_force = keys
    log.info("other AWS credentials", access_key=keys.shown_id if keys else "none set: AWS's own ways")
    world.sight.observe_only = UNCHECKED
    async with fenced(world.db, world.lease) as conn:
        await forgive_failures(conn, Cause.CREDENTIALS)
    world.wake("look", "")


async def read_keys(db: Db, cipher: Cipher) -> AwsKeys | None:
    """The keys that are set, without what else is known of them."""
    try:
        async with db.connection() as conn:
            credentials = await read_credentials(conn, cipher)
    except SecretError as error:
        raise NeedsOperator(f"{error}; or set the AWS credentials again with `lablink credentials set`") from None
    return credentials.keys if credentials else None
