"""The OpenAPI document at `/schema`: what Litestar reads off the handlers, completed by what holds for all of them.

Summaries come from docstrings, the errors of a route from what it is (its path, method, guards and parameters), models from
pydantic itself, which knows bounds, descriptions and examples. Pure; called by `api.app` once.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIMediaType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
    Server,
    Tag,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema

from api.admins import admin_unless_public, in_scope
from api.openapi_examples import add_examples
from api.origin import SAFE

REF = "#/components/schemas/{model}"
ERRORS = {
    400: "What was sent cannot be understood; the sentence says what is wrong with it.",
    401: "The login or the token is missing or wrong.",
    403: "The token is another VM's, its scope is too small, or a page of another site sent this.",
    404: "There is no such thing.",
    405: "This path knows other methods; see the header `Allow`.",
    409: "It contradicts what holds now; look again, and repeat it if it is still meant.",
    413: "The body is too large.",
    429: "Too many at once; try again after `Retry-After` seconds.",
    503: "Not now, or the database is away; try again after `Retry-After` seconds.",
}
SCHEMES = {
    "admin": SecurityScheme(type="http", scheme="basic", description="Name and password of the admin."),
    "token": SecurityScheme(type="http", scheme="bearer", description="An API token, of a VM or of the log Lambda."),
}
TAGS = [
    Tag(name="people", description="What people and their browsers call; no login."),
    Tag(name="machines", description="What client VMs and the log Lambda call."),
    Tag(name="scripts", description="The older system's calls of admins."),
    Tag(name="api", description="Our own API, for admins, programs and the command `lablink`."),
]
Mode = Literal["validation", "serialization"]
MACHINES = frozenset({"callers", "intake"})
"""Parts that look at the token of a VM or of the log Lambda."""
HTML = "text/html"
EVENTS = "text/event-stream"
FORM = "application/x-www-form-urlencoded"


class Failure(BaseModel):
    """What happened, and what to do about it. Some errors say more beside it."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"error": "there is no pool 'clint'"}]})

    error: str


# A bare ASGI handler, which Litestar does not describe.
HELD_CALL: dict[str, Any] = {
    "/vm_startup": {
        "post": {
            "tags": ["machines"],
            "summary": "A VM asks for its person, and is answered once it has one",
            "description": "What is known at once has its status. Else the call is held: spaces come every 20 s, then the JSON; a "
            "call that ends otherwise is broken off, and the VM asks again.",
            "operationId": "VmStartup",
            "security": [{"token": []}],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "properties": {"hostname": {"type": "string", "examples": ["lablink-client-prod-7"]}},
                            "required": ["hostname"],
                        }
                    }
                },
            },
            "responses": {
                "200": {
                    "description": "The person's command and PIN.",
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "status": {"const": "success"},
                                    "command": {"type": "string"},
                                    "pin": {"type": "string"},
                                },
                                "required": ["status", "command", "pin"],
                            }
                        }
                    },
                },
                **{
                    str(status): {
                        "description": ERRORS[status],
                        "content": {"application/json": {"schema": {"$ref": REF.format(model="Failure")}}},
                    }
                    for status in (400, 401, 403, 404, 413, 503)
                },
            },
        }
    }
}


@dataclass
class ForPeopleToo(Operation):
    """An operation that answers browsers in HTML and programs in JSON."""

    def __post_init__(self) -> None:
        for response in (self.responses or {}).values():
            content = getattr(response, "content", None)
            if content is not None:
                content[HTML] = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))


def reading(base: type[Operation] = Operation, **fields: Schema) -> type[Operation]:
    """An operation that reads these fields from a form or a JSON object; a field is required where its `default` is None."""
    required = [name for name, schema in fields.items() if schema.default is None]
    schema = Schema(type=OpenAPIType.OBJECT, properties=dict(fields), required=required or None)
    return _with_body(base, RequestBody({kind: OpenAPIMediaType(schema) for kind in (FORM, "application/json")}))


def answering_also(*kinds: str, base: type[Operation] = Operation) -> type[Operation]:
    """An operation whose success comes as one of these media types, too, where its caller asks for that."""

    @dataclass
    class AnsweringAlso(base):  # type: ignore[valid-type, misc]
        def __post_init__(self) -> None:
            getattr(super(), "__post_init__", lambda: None)()
            success = (self.responses or {})["200"]
            success.content |= {kind: OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING)) for kind in kinds}

    return AnsweringAlso


def answering(kind: str) -> type[Operation]:
    """An operation whose success is this media type and nothing else."""

    @dataclass
    class Answering(Operation):
        def __post_init__(self) -> None:
            success = (self.responses or {}).get("200")
            if success is not None:
                binary = Schema(type=OpenAPIType.STRING, content_media_type=kind)
                success.content = {kind: OpenAPIMediaType(schema=binary)}  # type: ignore[union-attr]

    return Answering


def reading_text(kind: str, description: str, required: bool = True) -> type[Operation]:
    """An operation that reads a text of this media type."""
    schema = Schema(type=OpenAPIType.STRING, description=description)
    return _with_body(Operation, RequestBody({kind: OpenAPIMediaType(schema)}, required=required))


def _with_body(base: type[Operation], body: RequestBody) -> type[Operation]:
    @dataclass
    class WithBody(base):  # type: ignore[valid-type, misc]
        def __post_init__(self) -> None:
            self.request_body = body
            getattr(super(), "__post_init__", lambda: None)()

    return WithBody


@dataclass
class Config(OpenAPIConfig):
    """Litestar's configuration; `handlers` are those that `complete` has found."""

    handlers: list[HTTPRouteHandler] = field(default_factory=list)

    def to_openapi_schema(self) -> OpenAPI:
        plain = super().to_openapi_schema()
        document = Document(**{name: getattr(plain, name) for name in plain.__dataclass_fields__})
        document.models = list(dict.fromkeys(model for one in self.handlers for model in _list_models(one)))
        return document


class Document(OpenAPI):
    """The document whose models are described by pydantic."""

    models: list[tuple[type[BaseModel], Mode]]

    def to_schema(self) -> dict[str, Any]:
        document: dict[str, Any] = super().to_schema()
        _, described = models_json_schema([*self.models, (Failure, "validation")], ref_template=REF)
        document["components"]["schemas"] |= described["$defs"]
        document["paths"] |= HELD_CALL
        add_examples(document)
        return document


def make_config() -> Config:
    return Config(
        title="LabLink",
        version="1",
        description='Hands cloud desktops to people. Every error is `{"error": "<what happened and what to do>"}`.',
        path="/schema",
        servers=[Server(url="/")],
        tags=TAGS,
        components=Components(security_schemes=dict(SCHEMES)),
    )


def complete(app: Litestar, config: Config) -> None:
    """Give every handler its summary, tag, security and errors; what a handler says of itself stays. Before the first reading."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if handler.resolve_include_in_schema():
                    _describe(handler, route.path)
                    config.handlers.append(handler)


def _describe(handler: HTTPRouteHandler, path: str) -> None:
    lines = (inspect.getdoc(handler.fn) or "").split("\n\n")
    first, *rest = lines[0].replace("\n", " ").split(". ", 1)
    handler.summary = handler.summary or first.rstrip(".")
    handler.description = handler.description or "\n\n".join([*rest, *lines[1:]]) or None
    logins = find_logins(handler)
    handler.security = [{scheme: []} for scheme in logins]
    handler.tags = handler.tags or [_choose_tag(path, logins)]
    own = handler.responses or {}
    errors = {status: ResponseSpec(Failure, description=ERRORS[status]) for status in find_errors(handler, logins)}
    handler.raises = None
    handler.responses = errors | dict(own)


def find_logins(handler: HTTPRouteHandler) -> tuple[str, ...]:
    """The security schemes of a route, by its guards, or by the parts that it asks for."""
    if {in_scope, admin_unless_public} & set(handler.resolve_guards()):
        return ("admin", "token")
    return ("token",) if MACHINES & handler.parsed_fn_signature.parameters.keys() else ()


def find_errors(handler: HTTPRouteHandler, logins: Sequence[str]) -> list[int]:
    """Every status but its success that a route may answer."""
    found = {400, 429, 503} | {error.status_code for error in handler.raises or ()}
    if logins:
        found |= {401, 403}
    if handler.http_methods - SAFE:
        found |= {403, 404, 409, 413}
    if handler.resolve_layered_parameters() or "{" in "".join(handler.paths) or logins == ("token",):
        found |= {404}
    return sorted(found)


def _choose_tag(path: str, logins: Sequence[str]) -> str:
    if logins == ("token",):
        return "machines"
    if path.startswith("/api/v1"):
        return "api"
    return "scripts" if logins else "people"


def _list_models(handler: HTTPRouteHandler) -> Iterator[tuple[type[BaseModel], Mode]]:
    yield from ((model, "serialization") for model in _inside(handler.parsed_return_field))
    for answer in (handler.responses or {}).values():
        of_answer = FieldDefinition.from_annotation(answer.data_container)
        yield from ((model, "serialization") for model in _inside(of_answer) if model is not Failure)
    if handler.parsed_data_field:
        yield from ((model, "validation") for model in _inside(handler.parsed_data_field))


def _inside(part: FieldDefinition) -> Iterator[type[BaseModel]]:
    if isinstance(part.annotation, type) and issubclass(part.annotation, BaseModel):
        yield part.annotation
        return
    for inner in part.inner_types:
        yield from _inside(inner)
