"""What goes wrong at AWS comes out of terraform in the real provider's words, and the state tells the truth."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.aws_provider.serve import serve_reattach
from tests.terraform.provider.world import REGION, Folder, World

CAPACITY = "We currently do not have sufficient g4dn.xlarge capacity in the Availability Zone you requested."
INSTANCE = 'resource "aws_instance" "vm" {\n  ami = "ami-1"\n  instance_type = "t3.micro"\n}\n'


@contextmanager
def _refusing_endpoint(status: int, code: str, message: str) -> Iterator[tuple[str, list[str]]]:
    """An AWS query endpoint that refuses everything; yields its URL and the list of request bodies it fills."""
    asked: list[str] = []
    body = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        "<RequestID>1b2c</RequestID></Response>"
    ).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing: the test's output is for failures."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _folder_against(world: World, settings: str, hcl: str = INSTANCE) -> Folder:
    folder = world.folder("errors", hcl)
    folder.write(f'provider "aws" {{\n  region = "{REGION}"\n  {settings}\n}}\n', "provider.tf")
    return folder


def test_a_refused_launch_names_code_message_and_address(world: World) -> None:
    with _refusing_endpoint(500, "InsufficientInstanceCapacity", CAPACITY) as (url, asked):
        folder = _folder_against(world, f'max_retries = 2\n  endpoints {{ ec2 = "{url}" }}')
        run = folder.run("apply", "-auto-approve", "-json")
    launches = [body for body in asked if "Action=RunInstances" in body]
    assert run.exit_code == 1
    assert len(launches) == 2
    (error,) = run.errors()
    assert error["address"] == "aws_instance.vm"
    assert error["summary"] == (
        "creating EC2 Instance: operation error EC2: RunInstances, exceeded maximum number of attempts, 2, "
        "https response error StatusCode: 500, RequestID: 1b2c, "
        f"api error InsufficientInstanceCapacity: {CAPACITY}"
    )
    assert folder.resources() == {}


def test_a_bad_request_is_not_tried_again(world: World) -> None:
    with _refusing_endpoint(400, "InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist") as (url, asked):
        folder = _folder_against(world, f'endpoints {{ ec2 = "{url}" }}')
        run = folder.run("apply", "-auto-approve", "-json")
    assert len(asked) == 1
    assert "StatusCode: 400, RequestID: 1b2c, api error InvalidAMIID.NotFound: The image" in run.errors()[0]["summary"]


def test_an_endpoint_that_is_down_is_an_error_and_not_a_hang(world: World) -> None:
    with _refusing_endpoint(500, "Gone", "gone") as (url, _):
        pass
    run = _folder_against(world, f'max_retries = 1\n  endpoints {{ ec2 = "{url}" }}').run("apply", "-auto-approve")
    assert run.exit_code == 1
    assert "request send failed" in run.output


def test_rejected_keys_are_refused_before_anything_is_planned(world: World) -> None:
    message = "The security token included in the request is invalid."
    with _refusing_endpoint(403, "InvalidClientTokenId", message) as (url, _):
        run = _folder_against(world, f'endpoints {{ sts = "{url}" }}').run("plan", "-json")
    (error,) = run.errors()
    assert error["summary"].startswith("Retrieving AWS account details: validating provider credentials")
    assert "operation error STS: GetCallerIdentity" in error["summary"]
    assert f"api error InvalidClientTokenId: {message}" in error["summary"]


def test_the_wrong_account_is_refused(world: World) -> None:
    run = _folder_against(world, 'allowed_account_ids = ["999999999999"]').run("plan", "-json")
    assert run.errors()[0]["summary"] == "AWS account ID not allowed: 123456789012"


def test_missing_credentials_are_said_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    provider = serve_reattach(endpoint_url=world.endpoint_url)
    try:
        folder = world.folder("keyless", INSTANCE, **provider.environment)
        run = folder.run("plan", "-json")
    finally:
        provider.stop()
    assert run.exit_code == 1
    assert run.errors()[0]["summary"] == "No valid credential sources found"


def test_a_region_that_does_not_exist_is_refused(world: World) -> None:
    folder = world.folder("nowhere", INSTANCE)
    folder.write('provider "aws" { region = "us-west-9" }', "provider.tf")
    run = folder.run("plan", "-json")
    assert run.exit_code == 1
    assert "invalid AWS Region: us-west-9" in run.errors()[0]["detail"]


def test_a_half_made_resource_stays_in_the_state_as_tainted(world: World) -> None:
    hcl = """
resource "aws_security_group" "half" {
  name = "half"
  egress {
    from_port   = 1
    to_port     = 2
    protocol    = "tcp"
    cidr_blocks = ["999.0.0.0/8"]
  }
}
"""
    folder = world.folder("half", hcl)
    run = folder.run("apply", "-auto-approve", "-json")
    assert run.exit_code == 1
    assert "api error Invalid" in run.errors()[0]["summary"]
    found = world.client("ec2").describe_security_groups(GroupNames=["half"])["SecurityGroups"]
    assert folder.resources()["aws_security_group.half"]["id"] == found[0]["GroupId"]
    assert "(tainted)" in folder.succeed("show", "-no-color").output
    folder.write(hcl.replace("999", "10"))
    replaced = folder.succeed("apply", "-auto-approve", "-no-color")
    assert "1 added, 0 changed, 1 destroyed" in replaced.output
