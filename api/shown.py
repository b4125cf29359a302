"""A document as its reader may see it: whole for admins, without what only they may know for tokens below."""

from api.address import AnyConnection
from schemas.access import Scope
from schemas.version import Version
from schemas.yaml_hidden import hide_secrets


def show_version(caller: AnyConnection, version: Version) -> Version:
    """`in_scope` noted what the caller may do; whom it does not know gets least. Parses the text: for a worker thread."""
    if getattr(caller.state, "scope", None) is Scope.ADMIN:
        return version
    return version.model_copy(update={"yaml": hide_secrets(version.yaml)})
