"""What every answer says to browsers, whoever wrote it: pages, errors, files, held calls."""

from collections.abc import Mapping

from litestar.types import BeforeMessageSendHookHandler, Message, Scope

from schemas.settings import Settings

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with less, browsers send our own forms with `Origin: null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
TLS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}
KEPT_BY_NOBODY = {"Cache-Control": "no-store"}  # PINs, host names, whoever has which; files say how long they last


def add_headers(settings: Settings) -> BeforeMessageSendHookHandler:
    """The hook that adds them to each answer as it begins."""
    always = _render({**SECURITY_HEADERS, **(TLS_ONLY if settings.secure else {})})
    names = {name for name, _ in always}
    unless_said = _render(KEPT_BY_NOBODY)

    async def add(message: Message, _: Scope) -> None:
        if message["type"] == "http.response.start":  # plain pairs: this is done for thousands of answers a second
            own = [(name.lower(), value) for name, value in message["headers"]]
            said = {name for name, _ in own}
            kept = [header for header in own if header[0] not in names] if said & names else own
            message["headers"] = [*kept, *always, *(header for header in unless_said if header[0] not in said)]

    return add


def _render(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
