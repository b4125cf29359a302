"""`/admin/tokens`: API tokens of programs; a new one's text is shown once."""

from typing import Any

from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Template
from pydantic import ValidationError

from api.errors import NotFoundError
from api.pages.desk import show_desk
from api.pages.forms import read_form
from api.pages.shell import AnyRequest, Wrong, say
from api.parts import AnyDb, TheApiTokens
from api.tokens import NewToken, make_token, revoke
from schemas.access import Scope
from store.api_token import list_tokens
from store.db import Db


@get("/admin/tokens", media_type="text/html", include_in_schema=False)
async def get_tokens_page(request: AnyRequest, db: AnyDb) -> Template:
    """All tokens, and a form for another."""
    return await _show(request, db)


async def _show(request: AnyRequest, db: Db, *, status: int = 200, **context: Any) -> Template:
    async with db.connection() as conn:
        tokens = await list_tokens(conn)
    return show_desk(
        request,
        "admin/tokens.html",
        status,
        **{"made": None, "asked": {}, "error": None, **context},
        tokens=tokens,
        scopes=list(Scope),
    )


@post("/admin/tokens", status_code=200, include_in_schema=False)
async def post_tokens_page(request: AnyRequest, db: AnyDb, api_tokens: TheApiTokens) -> Response[Any]:
    """Make one. Its text is in this answer and nowhere else, so there is no redirect."""
    form = await read_form(request)
    asked = {name: form.text(name).strip() for name in ("name", "scope", "expires_in")}
    try:
        wanted = NewToken.model_validate({name: text for name, text in asked.items() if text})
        made = await make_token(db, api_tokens, request.state.actor, wanted)
    except ValidationError:
        sentence = "a name is small letters, digits and hyphens; an expiry such as 30d, 12h, or empty for none"
        return await _show(request, db, status=400, asked=asked, error=Wrong(sentence))
    except HTTPException as error:
        return await _show(request, db, status=error.status_code, asked=asked, error=Wrong(error.detail))
    return await _show(request, db, made=made)


@get("/admin/tokens/{name:str}/revoke", media_type="text/html", include_in_schema=False)
async def get_revoke_page(request: AnyRequest, db: AnyDb, name: FromPath[str]) -> Template:
    """The question before it."""
    async with db.connection() as conn:
        token = next((token for token in await list_tokens(conn) if token.name == name), None)
    if token is None:
        raise NotFoundError(f"there is no token {name!r} any more; look at the list again")
    return show_desk(request, "admin/revoke.html", token=token)


@post("/admin/tokens/{name:str}/revoke", status_code=200, include_in_schema=False)
async def post_revoke(request: AnyRequest, db: AnyDb, api_tokens: TheApiTokens, name: FromPath[str]) -> Response[Any]:
    """From now on it opens nothing."""
    await revoke(db, api_tokens, request.state.actor, name)
    return say("/admin/tokens", f"Token {name} is revoked.")


ROUTES = [get_tokens_page, post_tokens_page, get_revoke_page, post_revoke]
