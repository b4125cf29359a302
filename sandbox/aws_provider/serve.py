"""How Terraform reaches the provider: reattached to a server inside this process, or as a plugin that Terraform starts.

`serve_reattach` is called by the sandbox and the tests, `run_plugin` by `python -m sandbox.aws_provider`.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.aws_provider import wire
from sandbox.aws_provider.catalog import read_catalog
from sandbox.aws_provider.cloud import Fallbacks
from sandbox.aws_provider.servicer import Servicer

# Terraform and OpenTofu complete `hashicorp/aws` with the name of their own registry.
ADDRESSES = ("registry.terraform.io/hashicorp/aws", "registry.opentofu.org/hashicorp/aws")
_WORKERS = 64
_GRACE_S = 0.5
_OPTIONS = [
    ("grpc.max_receive_message_length", 256 << 20),
    ("grpc.max_send_message_length", 256 << 20),
    ("grpc.so_reuseport", 0),  # a taken port is an error, not a share of its connections
]
# Not a secret, though it looks like one: it only tells a plugin that Terraform, not a person, started it.
_MAGIC_COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"


class ReattachServer:
    """A serving provider; a terraform with `environment` uses it, and `stop` ends it (calls get half a second)."""

    def __init__(self, servicer: Servicer, server: grpc.Server, workers: ThreadPoolExecutor, port: int) -> None:
        self._servicer = servicer
        self._server = server
        self._workers = workers
        self._named = _start_named()
        self.port = port
        reattach = {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": self._named.pid,
            "Test": True,  # Terraform does not end the process when it is done, nor, which it would at false, panics
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
        self.environment = {"TF_REATTACH_PROVIDERS": json.dumps(dict.fromkeys(ADDRESSES, reattach))}

    def stop(self) -> None:
        self._servicer.stop()
        self._server.stop(_GRACE_S).wait()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._named.communicate()


def _start_named() -> "subprocess.Popen[bytes]":
    """A process for Terraform to watch, which ends with this one.

    Terraform's requests are cancelled when the named process ends, and it kills that process when it finds the port
    closed: a Terraform that starts while the server stops would kill the lab, or the test run, that serves.
    """
    return subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def serve_reattach(
    port: int = 0,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
) -> ReattachServer:
    """Serves on loopback (port 0: any free one) for any number of terraforms at once.

    The keyword arguments hold where a `provider "aws"` block is silent, and fall back to this process's `AWS_*`
    environment: a terraform's own is not seen here. OSError when the port is taken.
    """
    fallbacks = Fallbacks(endpoint_url, region, access_key, secret_key)
    servicer = Servicer(read_catalog(), fallbacks)
    server, workers = _make_server(servicer, lambda: None)
    try:
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
    except RuntimeError as error:
        raise OSError(f"port {port} on 127.0.0.1 is taken: choose another for the AWS provider stand-in") from error
    server.start()
    return ReattachServer(servicer, server, workers, bound)


def _make_server(servicer: Servicer, on_shutdown: Callable[[], None]) -> tuple[grpc.Server, ThreadPoolExecutor]:
    workers = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="aws-provider")
    server = grpc.server(workers, options=_OPTIONS)

    def shut_down(request: Any, context: Any) -> Any:
        on_shutdown()
        return wire.Empty()

    procedures = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, name), getattr(wire, request).FromString, getattr(wire, response).SerializeToString
        )
        for name, (request, response) in wire.PROCEDURES.items()
    }
    empty = (wire.Empty.FromString, wire.Empty.SerializeToString)
    shutdown = grpc.unary_unary_rpc_method_handler(shut_down, *empty)
    stdio = grpc.unary_stream_rpc_method_handler(lambda request, context: iter(()), *empty)
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("tfplugin6.Provider", procedures),
            grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": shutdown}),
            grpc.method_handlers_generic_handler("plugin.GRPCStdio", {"StreamStdio": stdio}),
        )
    )
    return server, workers


def _make_certificate() -> tuple[bytes, bytes, bytes]:
    """Key (PEM), certificate (PEM) and certificate (DER) for one run of the plugin."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding
    private = key.private_bytes(encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(encoding.PEM), certificate.public_bytes(encoding.DER)


def run_plugin() -> None:
    """Serves the terraform that started this process, until it says Shutdown or is gone; ends the process."""
    if os.environ.get("TF_PLUGIN_MAGIC_COOKIE") != _MAGIC_COOKIE:
        sys.exit(
            "This is a Terraform provider plugin: terraform starts it, through the mirror that write_mirror lays out."
        )
    done, parent = threading.Event(), os.getppid()
    server, _ = _make_server(Servicer(read_catalog(), Fallbacks()), done.set)
    # A client certificate is not asked for: Terraform's is ECDSA P-521, with which gRPC's TLS fails the handshake.
    # The socket lies in a folder of mode 0700 instead.
    with tempfile.TemporaryDirectory(prefix="aws-provider-") as folder:
        key, certificate, der = _make_certificate()
        server.add_secure_port(f"unix://{folder}/socket", grpc.ssl_server_credentials([(key, certificate)]))
        server.start()
        encoded = base64.b64encode(der).decode().rstrip("=")
        print(f"1|6|unix|{folder}/socket|grpc|{encoded}", flush=True)
        while not done.wait(1) and os.getppid() == parent:
            pass
        server.stop(_GRACE_S).wait()
    os._exit(0)  # a thread inside a slow call to AWS must not keep the process
