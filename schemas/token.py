"""What is derived from the deployment secret and never stored: the bearer token of a client VM, and whose a VM is, as its tag says."""

import hashlib
import hmac
from uuid import UUID


def vm_token(secret: bytes, hostname: str, token_version: int) -> str:
    """64 hex digits of HMAC-SHA256 under the deployment secret; a rise of `token_version` makes the old one worthless."""
    return hmac.new(secret, f"{hostname}:{token_version}".encode(), hashlib.sha256).hexdigest()


def assignment_tag(secret: bytes, assignment_id: UUID, email: str) -> str:
    """The value of an instance's tag `lablink:assignment`: whoever reads tags learns nobody's address from it."""
    return f"{assignment_id}:{hmac.new(secret, f'assignment:{email}'.encode(), hashlib.sha256).hexdigest()[:32]}"
