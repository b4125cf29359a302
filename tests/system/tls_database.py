"""A PostgreSQL as a provider runs it: over TLS and with a password only, its certificate signed by a CA of its own, no superuser for us."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lablink.ports import free_port
from sandbox.postgres_identity import choose_identity, render_guarded

PASSWORD = "drawn for this test"
RULES = "local all all trust\nhostssl all lablink 127.0.0.1/32 scram-sha-256\n"
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C"}


@dataclass
class TlsDatabase:
    """`folder` holds data, socket and certificates; `ca` signed the server's certificate, `other_ca` did not."""

    folder: Path
    binaries: Path
    identity: str
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.folder / "other.pem"

    def dsn(self, ca: Path | None = None, host: str = "localhost") -> str:
        """As an allocator is told; the password is in the file that PGPASSFILE names."""
        where = f"host={host} hostaddr=127.0.0.1 port={self.port} user=lablink dbname=lablink"
        return f"{where} sslmode=verify-full sslrootcert={ca or self.ca}"

    def write_passwords(self, file: Path) -> Path:
        file.write_text(f"*:*:*:lablink:{PASSWORD}\n")
        file.chmod(0o600)
        return file

    def superuser(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname="postgres", autocommit=True
        )

    def start(self) -> None:
        options = {"ssl": "on", "ssl_cert_file": self.folder / "server.pem", "ssl_key_file": self.folder / "server.key"}
        command: list[Path | str] = [
            self.binaries / "postgres",
            "-D",
            self.folder / "data",
            "-k",
            self.folder,
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                render_guarded(self.identity, command, signal.SIGINT), env=ENVIRONMENT, stdout=log, stderr=log
            )
        while self.process.poll() is None:
            with suppress(psycopg.OperationalError):
                self.superuser().close()
                return
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Whoever is connected is cut off."""
        if self.process:
            self.process.terminate()
            self.process.wait(60)


def find_binaries() -> Path:
    """An installed server, newest first: the embedded one knows no TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    assert found, (
        "no PostgreSQL server with TLS is installed: `apt-get install postgresql`, or `.ci/run`, which does it"
    )
    return found[-1].parent


@contextmanager
def serving_tls() -> Iterator[TlsDatabase]:
    """A running server with an empty database `lablink` that belongs to the role of that name."""
    binaries = find_binaries()
    identity = choose_identity(binaries)
    folder = Path(tempfile.mkdtemp(prefix="lablink-tls-", dir="/var/tmp"))
    database = TlsDatabase(folder, binaries, identity, free_port("127.0.0.1"))
    try:
        write_certificates(folder)
        if ":" in identity:
            for path in (folder, *folder.iterdir()):
                os.chown(path, *(int(part) for part in identity.split(":")))
        command: list[Path | str] = [
            binaries / "initdb",
            "-D",
            folder / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "--locale=C",
            "-E",
            "UTF8",
        ]
        subprocess.run(render_guarded(identity, command), env=ENVIRONMENT, check=True, capture_output=True)
        (folder / "data" / "pg_hba.conf").write_text(RULES)
        database.start()
        with database.superuser() as conn:
            conn.execute(f"CREATE ROLE lablink LOGIN CREATEDB PASSWORD '{PASSWORD}'")
            conn.execute("CREATE DATABASE lablink OWNER lablink")
        yield database
    finally:
        database.stop()
        shutil.rmtree(folder)


def write_certificates(folder: Path) -> None:
    """The server's, for `localhost`, signed by `ca.pem`; and another CA."""
    ca_key, ca = make_certificate("a test's CA")
    key, made = make_certificate("localhost", ca_key, ca)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    for name, certificate in (("ca.pem", ca), ("server.pem", made), ("other.pem", make_certificate("another CA")[1])):
        (folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(private)
    (folder / "server.key").chmod(0o600)


def make_certificate(
    name: str, ca_key: ec.EllipticCurvePrivateKey | None = None, ca: x509.Certificate | None = None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """One that a CA signs, or a CA."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject if ca else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .sign(ca_key or key, hashes.SHA256())
    )
    return key, made
