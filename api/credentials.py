"""The AWS keys that LabLink works with: set, shown without their secrets, forgotten. The old paths of scripts, and `/api/v1/credentials`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from litestar import Request, delete, get, post, put
from pydantic import ValidationError

from api.admins import in_scope
from api.answers import Message
from api.aws_identity import ask_identity
from api.aws_quotas import Quota, read_quotas
from api.errors import BadInputError, ConflictError
from api.fields import read_fields
from api.in_force import DesiredInForce
from api.parts import AnyDb, TheCipher, TheDesired
from schemas.access import Scope
from schemas.credentials import AwsKeys, Credentials
from schemas.frozen import Frozen
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


class KeysFacts(Frozen):
    """What may be said of AWS keys: whose they are and since when, and of the key's id the last four characters."""

    access_key_id: str
    account_id: str
    arn: str
    region: str | None
    temporary: bool
    set_at: datetime
    set_by: str


class KeysInForce(KeysFacts):
    """The keys that LabLink works with, and the account that the deployment lives in."""

    set: Literal[True] = True
    pinned_account_id: str | None


class NoKeys(Frozen):
    """None are set, and what that means."""

    set: Literal[False] = False
    pinned_account_id: str | None
    message: str = NONE_SET


class KeysAccepted(KeysFacts, Message):
    """The keys that are in force from now on."""


class KeysChecked(Message):
    """What AWS says of the keys at this moment."""

    account_id: str
    arn: str


@get("/credentials", scope=Scope.ADMIN)
async def get_credentials(db: AnyDb, cipher: TheCipher) -> KeysInForce | NoKeys:
    """Whose keys are in force, and since when; of the keys themselves the last four characters of the id."""
    return await show_keys(db, cipher)


async def show_keys(db: Db, cipher: Cipher) -> KeysInForce | NoKeys:
    """What may be said of the keys that are set, or that none are."""
    async with db.connection() as conn:
        found = await read_credentials(conn, cipher)
        pinned = (await read_deployment(conn)).account_id
    return KeysInForce(pinned_account_id=pinned, **_list_facts(found)) if found else NoKeys(pinned_account_id=pinned)


def _list_facts(found: Credentials) -> dict[str, Any]:
    """The fields of `KeysFacts`."""
    said = found.model_dump(exclude={"keys"})
    temporary = found.keys.session_token is not None
    return {**said, "access_key_id": found.keys.shown_id, "region": found.keys.region, "temporary": temporary}


@put("/credentials", scope=Scope.ADMIN)
async def put_keys(request: AnyRequest, db: AnyDb, desired: TheDesired, cipher: TheCipher) -> KeysAccepted:
    """Work with these keys from now on, once AWS has said whose they are. Another account than the deployment's is refused."""
    return await accept_keys(request, db, desired, cipher)


@post("/api/admin/set-aws-credentials", status_code=200, guards=[in_scope], scope=Scope.ADMIN)
async def post_set(request: AnyRequest, db: AnyDb, desired: TheDesired, cipher: TheCipher) -> KeysAccepted:
    """As `PUT /api/v1/credentials`, for scripts of the older system."""
    return await accept_keys(request, db, desired, cipher)


async def accept_keys(request: AnyRequest, db: Db, desired: DesiredInForce, cipher: Cipher) -> KeysAccepted:
    """Checked before they are kept; all controllers are told, and use them with their next call."""
    keys = read_keys(await read_fields(request, WANTED))
    identity = await ask_identity(keys, await _choose_region(keys, desired))
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
    message = f"LabLink works with {keys.shown_id} of {identity.arn} from now on"
    return KeysAccepted(message=message, **_list_facts(found))


async def _choose_region(keys: AwsKeys | None, desired: DesiredInForce) -> str:
    in_force = await desired.read()
    return (keys and keys.region) or (in_force.lab.region if in_force else HOME_REGION)


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
async def delete_credentials(request: AnyRequest, db: AnyDb) -> Message:
    """Forget the keys: from the next call on LabLink works with what AWS's tools find on its machine."""
    return await forget_keys(request, db)


@post("/api/admin/unset-aws-credentials", status_code=200, guards=[in_scope], scope=Scope.ADMIN)
async def post_unset(request: AnyRequest, db: AnyDb) -> Message:
    """As `DELETE /api/v1/credentials`, for scripts of the older system."""
    return await forget_keys(request, db)


async def forget_keys(request: AnyRequest, db: Db) -> Message:
    """Harmless when none are set."""
    async with transaction(db) as conn:
        if not await forget_credentials(conn):
            return Message(message=f"nothing to forget: {NONE_SET}")
        message = "LabLink works with what AWS's tools find on its machine from now on"
        await write_event(conn, request.state.actor, SUBJECT, "CredentialsForgotten", message)
    return Message(message=f"the AWS keys are forgotten; {message}")


@post("/credentials/check", status_code=200, scope=Scope.ADMIN)
async def post_check(db: AnyDb, desired: TheDesired, cipher: TheCipher) -> KeysChecked:
    """Ask AWS whose keys LabLink works with right now; the answer is of this moment."""
    return await check_keys(db, desired, cipher)


async def check_keys(db: Db, desired: DesiredInForce, cipher: Cipher) -> KeysChecked:
    """Those that are set, else those that AWS's tools find. Raises BadInputError with what AWS has against them, or ConflictError."""
    keys, pinned = await read_keys_in_force(db, cipher)
    identity = await ask_identity(keys, await _choose_region(keys, desired))
    if pinned and pinned != identity.account_id:
        raise ConflictError(
            f"AWS takes these keys, but they are of account {identity.account_id} and this deployment lives in {pinned}; "
            "set keys of that account"
        )
    return KeysChecked(message=f"AWS takes the keys: they are of {identity.arn}", **identity._asdict())


async def read_keys_in_force(db: Db, cipher: Cipher) -> tuple[AwsKeys | None, str | None]:
    """Those that are set (None: what AWS's tools find), and the account that the deployment lives in."""
    async with db.connection() as conn:
        found = await read_credentials(conn, cipher)
        return found.keys if found else None, (await read_deployment(conn)).account_id


@get("/credentials/quotas", scope=Scope.ADMIN)
async def get_quotas(db: AnyDb, desired: TheDesired, cipher: TheCipher) -> list[Quota]:
    """What AWS lets this account run of the kinds that the pools need, in vCPUs, beside what they want at most."""
    return await look_up_quotas(db, desired, cipher)


async def look_up_quotas(db: Db, desired: DesiredInForce, cipher: Cipher) -> list[Quota]:
    """Asks AWS anew. Empty while nothing is declared."""
    in_force, (keys, _) = await desired.read(), await read_keys_in_force(db, cipher)
    return await read_quotas(keys, in_force.lab) if in_force else []


ROUTES = [get_credentials, put_keys, delete_credentials, post_check, get_quotas]
OLD_ROUTES = [post_set, post_unset]
