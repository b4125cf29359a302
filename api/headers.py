"""What every answer says to browsers, whoever wrote it: pages, errors, files, held calls."""

from litestar.datastructures import MutableScopeHeaders
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
    always = {**SECURITY_HEADERS, **(TLS_ONLY if settings.secure else {})}

    async def add(message: Message, _: Scope) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            for name, value in always.items():
                headers[name] = value
            for name, value in KEPT_BY_NOBODY.items():
                headers.setdefault(name, value)

    return add
