"""All that the record keeps sealed, under another key or no longer. Called by `lablink rekey`, while LabLink is stopped."""

from collections.abc import Iterator

import psycopg
from psycopg.types.json import Jsonb

from store.secret import Cipher, SecretError

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
LOCK = "LOCK TABLE secret, tf_state IN SHARE ROW EXCLUSIVE MODE"
SECRETS = "SELECT name, value FROM secret ORDER BY name"
STATES = "SELECT state_key, content FROM tf_state WHERE content IS NOT NULL ORDER BY state_key"
SEAL_SECRET = "UPDATE secret SET value = %s WHERE name = %s"  # noqa: S105 - a statement
SEAL_STATE = "UPDATE tf_state SET content = %s WHERE state_key = %s"
FORGET_SECRETS = "DELETE FROM secret WHERE name = ANY(%s)"
FORGET_STATES = "DELETE FROM tf_state WHERE state_key = ANY(%s)"
# What Terraform holds is looked for in AWS again, by its names and tags, and imported.
LOOK_FOR_VMS = """
UPDATE vm SET in_state = false, version = version + 1
 WHERE in_state AND concat_ws('/', pool, region, shard) = ANY(%s)
"""
LOOK_FOR_BASES = """
UPDATE base SET applied_hash = NULL
 WHERE concat_ws('/', pool, region, 'base') = ANY(%(states)s) OR concat_ws('/', 'ssh-key', pool, region) = ANY(%(secrets)s)
"""
TELL = """
INSERT INTO event (actor, subject, reason, message, detail) VALUES ('operator', 'deployment', %s, %s, %s)
"""
Sealed = tuple[str, str, bytes]  # kind, name, content


def count_sessions(conn: "psycopg.Connection[tuple[object, ...]]") -> int:
    """Others that use this database now."""
    row = conn.execute(SESSIONS).fetchone()
    return int(str(row[0])) if row else 0


def seal_anew(conn: "psycopg.Connection[tuple[object, ...]]", cipher: Cipher) -> int:
    """Everything under the first key of `cipher`; how much that is. SecretError, and nothing is changed, when something does not open."""
    with conn.transaction():
        conn.execute(LOCK)
        number = 0
        for number, (kind, name, content) in enumerate(list(_read_sealed(conn)), 1):  # noqa: B007 - the last is the count
            plain = cipher.open(_cipher_name(kind, name), content)
            statement = SEAL_SECRET if kind == "secret" else SEAL_STATE
            conn.execute(statement, (cipher.seal(_cipher_name(kind, name), plain), name))
        return number


def find_lost(conn: "psycopg.Connection[tuple[object, ...]]", cipher: Cipher) -> list[tuple[str, str]]:
    """Kind and name of what `cipher` does not open."""
    return [(kind, name) for kind, name, content in _read_sealed(conn) if not _opens(cipher, kind, name, content)]


def forget_lost(conn: "psycopg.Connection[tuple[object, ...]]", cipher: Cipher) -> list[str]:
    """Remove what `cipher` does not open, and have it looked for or made again; what that was, by name."""
    with conn.transaction():
        conn.execute(LOCK)
        lost = find_lost(conn, cipher)
        secrets = [name for kind, name in lost if kind == "secret"]
        states = [name for kind, name in lost if kind == "state"]
        conn.execute(FORGET_SECRETS, (secrets,))
        conn.execute(FORGET_STATES, (states,))
        conn.execute(LOOK_FOR_VMS, (states,))
        conn.execute(LOOK_FOR_BASES, {"states": states, "secrets": secrets})
        if lost:
            tell(
                conn, "SealedForgotten", f"{len(lost)} sealed things that no key opens were forgotten", secrets + states
            )
        return secrets + states


def tell(conn: "psycopg.Connection[tuple[object, ...]]", reason: str, message: str, names: list[str]) -> None:
    conn.execute(TELL, (reason, message, Jsonb({"names": names})))


def _read_sealed(conn: "psycopg.Connection[tuple[object, ...]]") -> Iterator[Sealed]:
    for kind, statement in (("secret", SECRETS), ("state", STATES)):
        for name, content in conn.execute(statement).fetchall():
            assert isinstance(content, bytes)
            yield kind, str(name), content


def _cipher_name(kind: str, name: str) -> str:
    return name if kind == "secret" else f"state {name}"


def _opens(cipher: Cipher, kind: str, name: str, content: bytes) -> bool:
    try:
        cipher.open(_cipher_name(kind, name), content)
    except SecretError:
        return False
    return True
