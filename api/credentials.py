"""The AWS keys that LabLink works with: set, shown without their secrets, forgotten. The old paths of scripts, and `/api/v1/credentials`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from litestar import Request, delete, get, post, put
from pydantic import ValidationError

from api.admins import in_scope
from api.aws_identity import ask_identity
from api.errors import BadInputError, ConflictError
from api.fields import read_fields
from api.in_force import DesiredInForce
from api.parts import AnyDb, TheCipher, TheDesired
from schemas.access import Scope
from schemas.credentials import AwsKeys, Credentials
from store.credentials import forget_credentials, put_credentials, read_credentials
from store.db import Db, transaction
from store.deployment import pin_account, read_deployment
from store.event import write_event
from store.secret import Cipher

AnyRequest = Request[Any, Any, Any]
WANTED = "`aws_access_key_id` and `aws_secret_access_key`, for temporary keys `aws_session_token`, and `aws_region` if you like"
SUBJECT = "deployment"
HOME_REGION = "us-west-2"
NONE_SET = "none is set; LabLink works with what AWS's tools find on its machine (environment, profile, instance role)"


@get("/credentials", scope=Scope.ADMIN)
async def get_credentials(db: AnyDb, cipher: TheCipher) -> dict[str, Any]:
    """Whose keys are in force, and since when; of the keys themselves the last four characters of the id."""
    async with db.connection() as conn:
        found = await read_credentials(conn, cipher)
        pinned = (await read_deployment(conn)).account_id
    return {
        "set": found is not None,
        "pinned_account_id": pinned,
        **(describe(found) if found else {"message": NONE_SET}),
    }


def describe(found: Credentials) -> dict[str, Any]:
    """What of credentials may be said."""
    said = found.model_dump(mode="json", exclude={"keys"})
    temporary = found.keys.session_token is not None
    return {**said, "access_key_id": found.keys.shown_id, "region": found.keys.region, "temporary": temporary}


@put("/credentials", scope=Scope.ADMIN)
async def put_keys(request: AnyRequest, db: AnyDb, desired: TheDesired, cipher: TheCipher) -> dict[str, Any]:
    """Work with these keys from now on, once AWS has said whose they are. Another account than the deployment's is refused."""
    return await accept_keys(request, db, desired, cipher)


@post("/api/admin/set-aws-credentials", status_code=200, guards=[in_scope], scope=Scope.ADMIN)
async def post_set(request: AnyRequest, db: AnyDb, desired: TheDesired, cipher: TheCipher) -> dict[str, Any]:
    """As `PUT /api/v1/credentials`, for scripts of the older system."""
    return await accept_keys(request, db, desired, cipher)


async def accept_keys(request: AnyRequest, db: Db, desired: DesiredInForce, cipher: Cipher) -> dict[str, Any]:
    """Checked before they are kept; all controllers are told, and use them with their next call."""
    keys = read_keys(await read_fields(request, WANTED))
    in_force = await desired.read()
    region = keys.region or (in_force.lab.region if in_force else HOME_REGION)
    identity = await ask_identity(keys, region)
    actor = request.state.actor
    found = Credentials(keys=keys, **identity._asdict(), set_at=datetime.now(UTC), set_by=actor)
    async with transaction(db) as conn:
        await pin_account(conn, identity.account_id)
        pinned = (await read_deployment(conn)).account_id
        if pinned != identity.account_id:
            raise ConflictError(
                f"these keys are of AWS account {identity.account_id}, but this deployment lives in {pinned}; "
                "nothing was changed, send keys of that account"
            )
        await put_credentials(conn, cipher, found)
        await write_event(conn, actor, SUBJECT, "CredentialsSet", f"{keys.shown_id} of {identity.arn}")
    return {"message": f"LabLink works with {keys.shown_id} of {identity.arn} from now on", **describe(found)}


def read_keys(fields: Mapping[str, str]) -> AwsKeys:
    """Raises BadInputError, which repeats nothing of what was sent."""
    token = fields["aws_session_token"] or fields["aws_token"] or None
    try:
        return AwsKeys(
            access_key_id=fields["aws_access_key_id"],
            secret_access_key=fields["aws_secret_access_key"],
            session_token=token,
            region=fields["aws_region"] or None,
        )
    except ValidationError as error:
        wrong = sorted(
            {f"aws_{problem['loc'][0]}" for problem in error.errors(include_input=False, include_context=False)}
        )
        raise BadInputError(f"{', '.join(wrong)}: missing, or not what AWS hands out; send {WANTED}") from None


@delete("/credentials", status_code=200, scope=Scope.ADMIN)
async def delete_credentials(request: AnyRequest, db: AnyDb) -> dict[str, str]:
    """Forget the keys: from the next call on LabLink works with what AWS's tools find on its machine."""
    return await forget_keys(request, db)


@post("/api/admin/unset-aws-credentials", status_code=200, guards=[in_scope], scope=Scope.ADMIN)
async def post_unset(request: AnyRequest, db: AnyDb) -> dict[str, str]:
    """As `DELETE /api/v1/credentials`, for scripts of the older system."""
    return await forget_keys(request, db)


async def forget_keys(request: AnyRequest, db: Db) -> dict[str, str]:
    """Harmless when none are set."""
    async with transaction(db) as conn:
        if not await forget_credentials(conn):
            return {"message": f"nothing to forget: {NONE_SET}"}
        message = "LabLink works with what AWS's tools find on its machine from now on"
        await write_event(conn, request.state.actor, SUBJECT, "CredentialsForgotten", message)
    return {"message": f"the AWS keys are forgotten; {message}"}


ROUTES = [get_credentials, put_keys, delete_credentials]
OLD_ROUTES = [post_set, post_unset]
