"""`/api/v1/tokens`: API tokens of programs, listed, made and revoked. A token's text is said once, in the answer that makes it."""

from typing import Annotated, Any

from litestar import Request, delete, get, post
from litestar.params import FromPath, JSONBody
from pydantic import Field

from api.answers import Message, Page
from api.api_tokens import ApiTokens, digest_of, draw_token
from api.errors import ConflictError, NotFoundError
from api.parts import AnyDb, TheApiTokens
from schemas.access import ApiToken, Scope
from schemas.frozen import Frozen
from schemas.values import PositiveDuration
from store.api_token import create_token, list_tokens, revoke_token
from store.db import Db, transaction
from store.event import write_event

AnyRequest = Request[Any, Any, Any]
TokenName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", examples=["nightly-report"])]


class NewToken(Frozen):
    """Body of `POST /tokens`. Without `expires_in` it holds until it is revoked."""

    name: TokenName
    scope: Scope
    expires_in: PositiveDuration | None = None


class TokenMade(ApiToken):
    """A new token with its text, which is shown this once and stored nowhere."""

    token: Annotated[str, Field(examples=["lablink_EXAMPLE"])]


@get("/tokens", scope=Scope.ADMIN)
async def get_tokens(db: AnyDb) -> Page[ApiToken]:
    """All tokens by name, without their texts."""
    async with db.connection() as conn:
        return Page(items=await list_tokens(conn), next=None)


@post("/tokens", status_code=200, scope=Scope.ADMIN)
async def post_token(request: AnyRequest, data: JSONBody[NewToken], db: AnyDb, api_tokens: TheApiTokens) -> TokenMade:
    """Make a token. `token` is its text, which is shown this once and stored nowhere."""
    return await make_token(db, api_tokens, request.state.actor, data)


async def make_token(db: Db, api_tokens: ApiTokens, actor: str, data: NewToken) -> TokenMade:
    """The token with its text. Raises ConflictError where the name is taken."""
    text = draw_token()
    async with transaction(db) as conn:
        made = await create_token(conn, data.name, data.scope, digest_of(text), author=actor, lasts=data.expires_in)
        if made is None:
            raise ConflictError(f"there is a token {data.name!r} already; revoke it first, or choose another name")
        until = f"until {made.expires_at:%Y-%m-%d %H:%M} UTC" if made.expires_at else "until it is revoked"
        await write_event(conn, actor, f"token/{made.name}", "TokenCreated", f"may {made.scope}, {until}")
    api_tokens.forget()
    return TokenMade(token=text, **dict(made))


@delete("/tokens/{name:str}", status_code=200, scope=Scope.ADMIN)
async def delete_token(request: AnyRequest, db: AnyDb, api_tokens: TheApiTokens, name: FromPath[str]) -> Message:
    """Revoke a token: from now on it opens nothing, in no process."""
    await revoke(db, api_tokens, request.state.actor, name)
    return Message(message=f"token {name} is revoked")


async def revoke(db: Db, api_tokens: ApiTokens, actor: str, name: str) -> None:
    """Raises NotFoundError."""
    async with transaction(db) as conn:
        if not await revoke_token(conn, name):
            raise NotFoundError(f"there is no token {name!r}")
        await write_event(conn, actor, f"token/{name}", "TokenRevoked", "it opens nothing any more")
    api_tokens.forget()


ROUTES = [get_tokens, post_token, delete_token]
