"""AWS requests as the fault injector sees them: which service and action, which parameters, and how to refuse them.

Used by `sandbox.fault_injector`. Knows the wire forms that the clients here use: EC2 and query (form bodies), JSON
(`X-Amz-Target`), RPC by path, and S3 by method; each has an error of its own shape, or boto3 cannot name it.
"""

import io
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

REQUEST_ID = "00000000-0000-4000-8000-000000000000"
_READS = ("Describe", "Get", "List", "Head", "Filter", "Lookup", "Simulate", "Select", "StartQuery")
_INDEX = re.compile(r"\.\d+")
_STATUS = {
    "InternalError": 500,
    "InternalFailure": 500,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "Unavailable": 503,
}


@dataclass(frozen=True)
class Call:
    """One request. `parameters`: wire name without list numbers (`InstanceId.2` → `InstanceId`) → its values."""

    service: str
    region: str
    action: str
    form: str = ""  # the body of a form request, which names a call exactly
    parameters: dict[str, set[str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    access_key: str = ""

    @property
    def changes_something(self) -> bool:
        if self.service == "s3":
            return self.action not in ("GET", "HEAD")
        return not self.action.startswith(_READS)

    @property
    def lists_instances(self) -> bool:
        """The controller's listing: DescribeInstances that does not ask for instances by id."""
        by_id = "InstanceId" in self.parameters or "instance-id" in self.parameters.get("Filter.Name", set())
        return self.action == "DescribeInstances" and not by_id

    def matches(self, where: dict[str, str]) -> bool:
        """Whether each named parameter has that value, in whichever place of a list; also `tag:KEY`, and `access-key`."""
        return all(value in self._read(name) for name, value in where.items())

    def _read(self, name: str) -> set[str]:
        if name == "access-key":
            return {self.access_key}
        if name.startswith("tag:"):
            return {self.tags.get(name.removeprefix("tag:"), "")}
        return self.parameters.get(name, set())


def read_call(environ: dict[str, Any]) -> Call:
    """Reads a WSGI request and leaves its body readable for the application behind."""
    access_key, service, region = _read_scope(environ.get("HTTP_AUTHORIZATION", ""))
    return replace(_read_request(environ, service, region), access_key=access_key)


def _read_request(environ: dict[str, Any], service: str, region: str) -> Call:
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        action = target.rpartition(".")[2]
        return Call(service, region, action, parameters=_read_json(_take_body(environ)))
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return _read_form(service, region, _take_body(environ).decode("utf-8", "replace"))
    operation = re.search(r"/operation/(\w+)$", environ.get("PATH_INFO", ""))
    return Call(service, region, operation[1] if operation else environ["REQUEST_METHOD"])


def read_service(environ: dict[str, Any]) -> str:
    """Which service a WSGI request is for, by its signature; its body is left alone."""
    return _read_scope(environ.get("HTTP_AUTHORIZATION", ""))[1]


def render_error(service: str, code: str, message: str, status: int | None = None) -> tuple[int, str, bytes]:
    """HTTP status, content type and body of a refusal in the service's own form. The code "500" is a bare HTTP 500.

    Without a status, throttling and internal errors have AWS's, which SDKs try again; all else is 400, also a
    capacity refusal, so that a fault's `times` counts what the caller sees and not what its SDK hid.
    """
    if code == "500":
        return 500, "text/html", b"<html><body>Internal Server Error</body></html>"  # as a load balancer has it
    status = status or _STATUS.get(code, 400)
    if service in ("ec2", "iam", "sts", "s3", "autoscaling", "rds", "sns"):
        return (status, "text/xml", _render_xml(service, escape(code), escape(message)).encode())
    return (status, "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message}).encode())


def _render_xml(service: str, code: str, message: str) -> str:
    error = f"<Code>{code}</Code><Message>{message}</Message>"
    if service == "ec2":
        body = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>{REQUEST_ID}</RequestID></Response>"
    elif service == "s3":
        body = f"<Error>{error}<RequestId>{REQUEST_ID}</RequestId></Error>"
    else:
        inner = f"<Error><Type>Sender</Type>{error}</Error><RequestId>{REQUEST_ID}</RequestId>"
        body = f"<ErrorResponse>{inner}</ErrorResponse>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'


def _read_scope(authorization: str) -> tuple[str, str, str]:
    """Access key, service and region from the credential scope (Signature Version 4): KEY/DATE/REGION/SERVICE/aws4_request."""
    match = re.search(r"Credential=([^/]*)/[^/]*/([^/]*)/([^/]*)/", authorization)
    return (match[1], match[3].lower(), match[2]) if match else ("", "", "")


def _take_body(environ: dict[str, Any]) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _read_json(body: bytes) -> dict[str, set[str]]:
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: {str(value)} for name, value in content.items() if not isinstance(value, dict | list)}


def _read_form(service: str, region: str, form: str) -> Call:
    pairs = dict(parse_qsl(form, keep_blank_values=True))
    parameters: dict[str, set[str]] = {}
    tags: dict[str, str] = {}
    for name, value in pairs.items():
        parameters.setdefault(_INDEX.sub("", name), set()).add(value)
        if re.search(r"Tag\.\d+\.Key$", name):
            tags[value] = pairs.get(name.removesuffix("Key") + "Value", "")
    return Call(service, region, pairs.get("Action", ""), form, parameters, tags)
