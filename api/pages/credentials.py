"""`/admin/credentials`: the AWS keys, set, checked and forgotten, and what AWS lets the account run. What was typed is never shown again."""

from typing import Any

from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.response import Template

from api.credentials import accept_keys, check_keys, forget_keys, look_up_quotas, show_keys
from api.in_force import DesiredInForce
from api.pages.desk import show_desk
from api.pages.engine import sentence
from api.pages.shell import AnyRequest, Wrong, say
from api.parts import AnyDb, TheCipher, TheDesired
from schemas.access import Scope
from store.db import Db
from store.secret import Cipher

HERE = "/admin/credentials"


@get(HERE, media_type="text/html", include_in_schema=False, scope=Scope.ADMIN)
async def get_credentials(request: AnyRequest, db: AnyDb, desired: TheDesired, cipher: TheCipher) -> Template:
    """Whose keys are in force, and the form for others."""
    return await _show(request, db, desired, cipher)


async def _show(
    request: AnyRequest, db: Db, desired: DesiredInForce, cipher: Cipher, refused: HTTPException | None = None
) -> Template:
    in_force = await desired.read()
    return show_desk(
        request,
        "admin/credentials.html",
        refused.status_code if refused else 200,
        keys=await show_keys(db, cipher),
        region=in_force.lab.region if in_force else "",
        error=Wrong(refused.detail) if refused else None,
    )


@get(f"{HERE}/quotas", media_type="text/html", include_in_schema=False, scope=Scope.ADMIN)
async def get_quotas(request: AnyRequest, db: AnyDb, desired: TheDesired, cipher: TheCipher) -> Template:
    """The part of the page that waits for AWS."""
    return show_desk(request, "admin/quotas.html", quotas=await look_up_quotas(db, desired, cipher))


@post(HERE, status_code=200, include_in_schema=False)
async def post_credentials(request: AnyRequest, db: AnyDb, desired: TheDesired, cipher: TheCipher) -> Response[Any]:
    """Set keys, once AWS has said whose they are."""
    try:
        done = await accept_keys(request, db, desired, cipher)
    except HTTPException as error:
        return await _show(request, db, desired, cipher, error)
    return say(HERE, sentence(done.message))


@post(f"{HERE}/check", status_code=200, include_in_schema=False)
async def post_check(request: AnyRequest, db: AnyDb, desired: TheDesired, cipher: TheCipher) -> Response[Any]:
    """Ask AWS what it thinks of them now."""
    try:
        done = await check_keys(db, desired, cipher)
    except HTTPException as error:
        return await _show(request, db, desired, cipher, error)
    return say(HERE, sentence(done.message))


@post(f"{HERE}/forget", status_code=200, include_in_schema=False)
async def post_forget(request: AnyRequest, db: AnyDb) -> Response[Any]:
    """Back to what AWS's tools find on the machine."""
    done = await forget_keys(request, db)
    return say(HERE, sentence(done.message))


ROUTES = [get_credentials, get_quotas, post_credentials, post_check, post_forget]
