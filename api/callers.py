"""Who calls as a client VM or as the log Lambda: bearer tokens, compared in constant time; a VM speaks only for itself."""

import hmac
import re
import time
from collections.abc import Mapping, Sequence

from litestar.exceptions import NotAuthorizedException, PermissionDeniedException

from api.address import AnyConnection, address_of, is_loopback
from api.admins import read_bearer
from api.batch import Batch
from api.connection import vouch
from api.contact import Contacts
from api.errors import NotFoundError
from api.in_force import DesiredInForce
from schemas.settings import Settings
from schemas.token import vm_token
from store.db import Db
from store.vm import Caller, Contact, read_callers, read_token_versions

FOREIGN_FOR_S = 30.0
HOSTNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
CHALLENGE = {"WWW-Authenticate": "Bearer"}


def is_hostname(text: str) -> bool:
    """Whether it is worth a query: PostgreSQL refuses some characters."""
    return HOSTNAME.fullmatch(text) is not None


class Callers:
    """Checks calls of VMs; those that come at once share one query."""

    def __init__(self, settings: Settings, db: Db, desired: DesiredInForce, contacts: Contacts) -> None:
        self._settings = settings
        self._db = db
        self._desired = desired
        self._contacts = contacts
        self._read = Batch(self._read_many)
        self._secret = settings.deployment_secret.get_secret_value().encode()
        self._tokens: dict[str, str] = {}
        self._tokens_until = 0.0

    def address_of(self, connection: AnyConnection) -> str:
        return address_of(connection, self._settings.trusted_proxies)

    def token_of(self, hostname: str, token_version: int) -> str:
        return vm_token(self._secret, hostname, token_version)

    async def hear_vm(
        self, connection: AnyConnection, hostname: str, gauges: Mapping[str, float] | None = None
    ) -> Caller:
        """The VM that this call speaks for, whose contact and gauges are noted; raises 401, 403 or 404."""
        caller = await self.check_vm(connection, hostname)
        self._contacts.heard(Contact(hostname, self.address_of(connection), gauges or {}))
        return caller

    async def check_vm(self, connection: AnyConnection, hostname: str) -> Caller:
        """The VM that this call speaks for; raises 401, 403 or 404."""
        token = read_bearer(connection.headers.get("authorization", ""))
        by_name = await self._by_name()
        if token is None and not by_name:
            raise NotAuthorizedException("this needs the VM's token (Authorization: Bearer)", headers=CHALLENGE)
        caller = await self._read(hostname) if is_hostname(hostname) else None
        if caller is None:
            raise NotFoundError(f"there is no VM {hostname!r}")
        if by_name:
            self._check_address(caller, connection)
        else:
            await self._check_token(caller, token or "")
        vouch(connection.scope, f"vm/{hostname}")
        return caller

    async def check_log_shipper(self, connection: AnyConnection) -> None:
        """Raises 401 unless the log token is there. Old Lambdas send none, which `vm_auth: hostname` allows."""
        expected = self._settings.log_token.get_secret_value()
        token = read_bearer(connection.headers.get("authorization", ""))
        right = bool(expected) and token is not None and hmac.compare_digest(expected.encode(), token.encode())
        if not right and not await self._by_name():
            raise NotAuthorizedException("this needs the log token (Authorization: Bearer)", headers=CHALLENGE)

    async def _by_name(self) -> bool:
        in_force = await self._desired.read()
        return in_force is not None and in_force.lab.vm_auth == "hostname"

    async def _check_token(self, caller: Caller, token: str) -> None:
        expected = vm_token(self._secret, caller.hostname, caller.token_version)
        if hmac.compare_digest(expected.encode(), token.encode()):
            return
        if (await self._read_tokens()).get(token, caller.hostname) != caller.hostname:
            raise PermissionDeniedException(f"this token is another VM's; it cannot speak for {caller.hostname}")
        raise NotAuthorizedException(f"this is not the token of {caller.hostname}", headers=CHALLENGE)

    async def _read_tokens(self) -> dict[str, str]:
        """Whose each token is: only to tell a stranger from a VM that speaks for another. Opens nothing."""
        if time.monotonic() > self._tokens_until:
            async with self._db.connection() as conn:
                versions = await read_token_versions(conn)
            self._tokens = {vm_token(self._secret, name, version): name for name, version in versions.items()}
            self._tokens_until = time.monotonic() + FOREIGN_FOR_S
        return self._tokens

    def _check_address(self, caller: Caller, connection: AnyConnection) -> None:
        """This machine's own (simulated VMs) may speak for any; not so who comes through a proxy here that is not configured."""
        address = self.address_of(connection)
        own = is_loopback(address) and "x-forwarded-for" not in connection.headers
        if not own and address not in (caller.public_ip, caller.private_ip):
            raise PermissionDeniedException(f"{address} is not the address of {caller.hostname}")

    async def _read_many(self, hostnames: Sequence[str]) -> Sequence[Caller | None]:
        async with self._db.connection() as conn:
            found = await read_callers(conn, list(set(hostnames)))
        return [found.get(hostname) for hostname in hostnames]
