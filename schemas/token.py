"""The bearer token of a client VM: derived, never stored. Made by the controller for user data, checked by the API."""

import hashlib
import hmac


def vm_token(secret: bytes, hostname: str, token_version: int) -> str:
    """64 hex digits of HMAC-SHA256 under the deployment secret; a rise of `token_version` makes the old one worthless."""
    return hmac.new(secret, f"{hostname}:{token_version}".encode(), hashlib.sha256).hexdigest()
