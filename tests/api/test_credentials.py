"""AWS keys: checked with AWS before they are kept, sealed, never shown again, refused when they are of another account."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from structlog.testing import capture_logs

from sandbox.aws import RunningAws, start_aws
from store.credentials import read_credentials
from store.secret import Cipher, read_key
from tests.api.world import World, serving
from tests.controller_world import KEY

pytestmark = pytest.mark.anyio

ID, SECRET = "AKIAEXAMPLEEXAMPLE01", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = {"aws_access_key_id": ID, "aws_secret_access_key": SECRET}
PATHS = (("PUT", "/api/v1/credentials"), ("POST", "/api/admin/set-aws-credentials"))


@pytest.fixture(scope="module")
def running_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    with start_aws(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture
def aws(running_aws: RunningAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningAws]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", running_aws.url)
    yield running_aws
    urlopen(Request(f"{running_aws.fault_url}/faults", method="DELETE"), timeout=10).close()


def fault(aws: RunningAws, **content: Any) -> None:
    body, headers = json.dumps(content).encode(), {"Content-Type": "application/json"}
    urlopen(Request(f"{aws.fault_url}/faults", body, headers), timeout=10).close()


def keys_of_another_account(aws: RunningAws) -> dict[str, str]:
    sts = boto3.client("sts", "us-west-2", endpoint_url=aws.url, aws_access_key_id="t", aws_secret_access_key="t")
    found = sts.assume_role(RoleArn="arn:aws:iam::222222222222:role/guest", RoleSessionName="guest")["Credentials"]
    return {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }


async def test_keys_are_checked_sealed_and_not_shown_again(dsn: str, aws: RunningAws) -> None:
    async with serving(dsn) as world:
        before = (await world.admin.get("/api/v1/credentials")).json()
        assert (before["set"], before["pinned_account_id"]) == (False, None)
        with capture_logs() as logs:
            answer = await world.admin.put("/api/v1/credentials", json=KEYS)
        assert answer.status_code == 200, answer.text
        shown = await world.admin.get("/api/v1/credentials")
        assert shown.json() | {"set_at": ""} == {
            "set": True,
            "pinned_account_id": "123456789012",
            "account_id": "123456789012",
            "arn": "arn:aws:sts::123456789012:user/moto",
            "set_at": "",
            "set_by": "admin/ada",
            "access_key_id": "…LE01",
            "region": None,
            "temporary": False,
        }
        rows = [await world.sql(f"SELECT t::text FROM {table} t") for table in ("secret", "event", "deployment")]
        said = answer.text + shown.text + str(logs) + str(rows)
        assert SECRET not in said
        assert ID not in said
        assert SECRET.encode().hex() not in said
        async with world.db.connection() as conn:
            kept = await read_credentials(conn, Cipher(read_key(KEY)))
        assert kept
        assert (kept.keys.access_key_id, kept.keys.secret_access_key) == (ID, SECRET)
        assert SECRET not in repr(kept)


@pytest.mark.parametrize("as_form", [True, False])
async def test_old_paths_take_forms_and_json(dsn: str, aws: RunningAws, as_form: bool) -> None:
    async with serving(dsn) as world:
        body = KEYS | {"aws_token": "token+of/a=session", "aws_region": "eu-central-1"}
        sent: dict[str, Any] = {"data": body} if as_form else {"json": body}
        answer = await world.admin.post("/api/admin/set-aws-credentials", **sent)
        assert (answer.status_code, answer.json()["temporary"], answer.json()["region"]) == (200, True, "eu-central-1")
        assert "session" not in answer.text
        for message in ("forgotten", "nothing to forget"):
            gone = await world.admin.post("/api/admin/unset-aws-credentials")
            assert (gone.status_code, message in gone.json()["message"]) == (200, True)
        assert (await world.admin.get("/api/v1/credentials")).json()["set"] is False
        assert await world.sql("SELECT * FROM secret") == []
        reasons = [row["reason"] for row in await world.sql("SELECT reason FROM event ORDER BY id")]
        assert reasons[-2:] == ["CredentialsSet", "CredentialsForgotten"]


@pytest.mark.parametrize(
    ("error", "status", "wanted", "word"),
    [
        ("InvalidClientTokenId", 403, 400, "no such access key"),
        ("SignatureDoesNotMatch", 403, 400, "secret does not belong"),
        ("ExpiredToken", 400, 400, "has expired"),
        ("AccessDenied", 403, 400, "forbids"),
        ("InternalFailure", 500, 503, "try again"),
    ],
)
async def test_keys_that_aws_refuses_are_not_kept(
    dsn: str, aws: RunningAws, error: str, status: int, wanted: int, word: str
) -> None:
    fault(aws, on="GetCallerIdentity", error=error, status=status, message=f"said of {SECRET}")
    async with serving(dsn) as world:
        refused = await world.admin.put("/api/v1/credentials", json=KEYS)
        assert (refused.status_code, word in refused.json()["error"]) == (wanted, True)
        assert SECRET not in refused.text
        assert await world.sql("SELECT * FROM secret") == []
        assert (await world.admin.get("/api/v1/credentials")).json()["pinned_account_id"] is None


async def test_aws_that_cannot_be_reached_is_no_verdict(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    async with serving(dsn) as world:
        refused = await world.admin.put("/api/v1/credentials", json=KEYS)
        assert (refused.status_code, "cannot be reached" in refused.json()["error"]) == (503, True)
        assert await world.sql("SELECT * FROM secret") == []


async def test_keys_of_another_account_are_refused(dsn: str, aws: RunningAws) -> None:
    async with serving(dsn) as world:
        assert (await world.admin.put("/api/v1/credentials", json=KEYS)).status_code == 200
        before = await world.sql("SELECT value FROM secret")
        refused = await world.admin.put("/api/v1/credentials", json=keys_of_another_account(aws))
        assert refused.status_code == 409
        assert "222222222222" in refused.json()["error"]
        assert "123456789012" in refused.json()["error"]
        assert await world.sql("SELECT value FROM secret") == before


async def test_what_is_no_key_is_named_and_not_repeated(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is asked
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "aws_access_key_id, aws_secret_access_key"),
        (KEYS | {"aws_access_key_id": "short"}, "aws_access_key_id"),
        (KEYS | {"aws_access_key_id": ID + "\n[default]"}, "aws_access_key_id"),
        (KEYS | {"aws_secret_access_key": "geheim geheim geheim"}, "aws_secret_access_key"),
        (KEYS | {"aws_secret_access_key": 7}, "aws_secret_access_key"),
        (KEYS | {"aws_session_token": "geheim\r\nX: y"}, "aws_session_token"),
        (KEYS | {"aws_region": "evil.example/"}, "aws_region"),
    )
    async with serving(dsn) as world:
        for body, named in cases:
            for method, path in PATHS:
                refused = await world.admin.request(method, path, json=body)
                assert refused.status_code == 400, body
                assert refused.json()["error"].startswith(f"{named}: "), refused.text
                assert "geheim" not in refused.text
                assert "evil" not in refused.text


async def test_another_encryption_key_is_said_and_new_keys_mend_it(dsn: str, aws: RunningAws) -> None:
    async with serving(dsn) as world:
        assert (await world.admin.put("/api/v1/credentials", json=KEYS)).status_code == 200
    other = base64.b64encode(b"another key of thirty-two bytes!").decode()
    async with serving(dsn, yaml=None, encryption_key=other) as world:
        assert await _status(world) == 409
        assert (await world.admin.put("/api/v1/credentials", json=KEYS)).status_code == 200
        assert await _status(world) == 200


async def _status(world: World) -> int:
    return (await world.admin.get("/api/v1/credentials")).status_code


async def test_keys_in_force_are_checked_anew(dsn: str, aws: RunningAws, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(dsn) as world:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        none = await world.admin.post("/api/v1/credentials/check")
        assert (none.status_code, "find none on this machine" in none.json()["error"]) == (400, True)
        await world.admin.put("/api/v1/credentials", json=KEYS)
        right = await world.admin.post("/api/v1/credentials/check")
        assert (right.status_code, right.json()["account_id"]) == (200, "123456789012")
        fault(aws, on="GetCallerIdentity", error="InvalidClientTokenId", status=403)
        wrong = await world.admin.post("/api/v1/credentials/check")
        assert (wrong.status_code, "no such access key" in wrong.json()["error"]) == (400, True)
        assert (await world.admin.get("/api/v1/credentials")).json()["set"] is True  # a check changes nothing


async def test_quotas_are_told_beside_what_pools_want(
    dsn: str, aws: RunningAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(dsn) as world:
        await world.admin.put("/api/v1/credentials", json=KEYS)
        [unknown] = (await world.admin.get("/api/v1/credentials/quotas")).json()
        assert (unknown["family"], unknown["wanted"], unknown["limit"]) == ("G and VT", 2 * 4, None)
        assert "AWS does not say" in unknown["why"]  # moto knows the quotas of VPC alone
        with quotas_of(lambda code: 64.0 if code == "L-DB2E81BA" else 0.0) as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS", url)
            [known] = (await world.admin.get("/api/v1/credentials/quotas")).json()
            [week] = (await world.admin.get("/api/v1/capacity/week")).json()["items"]
        assert (week["vcpus"], week["limit"], week["why"]) == (3 * 4, 64.0, "")  # with the surge of an update
        [silent] = (await world.admin.get("/api/v1/capacity/week")).json()["items"]
        assert (silent["limit"], "AWS could not be asked" in silent["why"]) == (None, True)
        assert (known["limit"], known["why"], known["pools"]) == (64.0, "", ["client"])
        with quotas_of(lambda code: None) as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS", url)
            denied = await world.admin.get("/admin/credentials/quotas", headers={"Accept": "text/html"})
        assert "they lack the permission servicequotas:GetServiceQuota; allow it" in denied.text
        assert all(words in denied.text for words in (">not told<", ">8<"))
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS", url)  # where nobody listens any more
        [away] = (await world.admin.get("/api/v1/credentials/quotas")).json()
        assert "could not be asked in us-west-2 (EndpointConnectionError)" in away["why"]


@contextmanager
def quotas_of(limit: Callable[[str], float | None]) -> Iterator[str]:
    """Service Quotas over real HTTP, as AWS answers `GetServiceQuota`; None: these keys may not ask."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            value = limit(asked["QuotaCode"])
            quota = {"Quota": {"QuotaCode": asked["QuotaCode"], "Value": value}}
            body = json.dumps({"__type": "AccessDeniedException"} if value is None else quota).encode()
            self.send_response(400 if value is None else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_the_page_sets_checks_and_forgets_and_repeats_no_secret(dsn: str, aws: RunningAws) -> None:
    html = {"Accept": "text/html"}
    async with serving(dsn) as world:
        wrong = await world.admin.post("/admin/credentials", data=KEYS | {"aws_access_key_id": "short"}, headers=html)
        assert (wrong.status_code, "aws_access_key_id" in wrong.text) == (400, True)
        done = await world.admin.post("/admin/credentials", data=KEYS, headers=html, follow_redirects=True)
        checked = await world.admin.post("/admin/credentials/check", headers=html, follow_redirects=True)
        assert "AWS takes the keys" in checked.text
        quotas = await world.admin.get("/admin/credentials/quotas", headers=html)
        assert "AWS does not say" in quotas.text
        assert "…LE01" in done.text
        gone = await world.admin.post("/admin/credentials/forget", headers=html, follow_redirects=True)
        assert "none set" in gone.text
        assert SECRET not in wrong.text + done.text + checked.text + gone.text
        assert ID not in wrong.text + done.text + checked.text + gone.text
