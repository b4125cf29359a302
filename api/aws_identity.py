"""Asks AWS whose keys these are (STS GetCallerIdentity), in a worker thread. boto3 is loaded when it is first needed: few calls do."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import anyio

from api.errors import BadInputError, NotNowError
from schemas.credentials import AwsKeys

LIMIT_S = 10
REFUSED = {
    "InvalidClientTokenId": "there is no such access key, or it was deactivated",
    "SignatureDoesNotMatch": "the secret does not belong to the access key",
    "ExpiredToken": "the session token has expired",
    "ExpiredTokenException": "the session token has expired",
    "AccessDenied": "a policy forbids them even to ask who they are",
}


class AwsIdentity(NamedTuple):
    """What AWS says of the keys that it was asked with."""

    account_id: str
    arn: str


async def ask_identity(keys: AwsKeys | None, region: str) -> AwsIdentity:
    """Raises BadInputError when AWS refuses the keys, NotNowError when it cannot be asked. Neither repeats any of them."""
    return await anyio.to_thread.run_sync(_ask, keys, region, abandon_on_cancel=True)


Clients = Callable[[str, str], Any]
"""boto3's client of a service in a region."""


def open_clients(keys: AwsKeys | None) -> Clients:
    """With these keys, or without any with what boto3 finds on this machine. Their calls end within seconds; for one thread."""
    import boto3  # noqa: PLC0415 - tens of MB that an API process at rest does without
    from botocore.config import Config  # noqa: PLC0415

    config = Config(connect_timeout=LIMIT_S, read_timeout=LIMIT_S, retries={"total_max_attempts": 2})
    own: dict[str, Any] = {
        "aws_access_key_id": keys and keys.access_key_id,
        "aws_secret_access_key": keys and keys.secret_access_key,
        "aws_session_token": keys and keys.session_token,
    }
    make: Any = boto3.Session(**own).client
    return cache(lambda service, region: make(service, region_name=region, config=config))


def _ask(keys: AwsKeys | None, region: str) -> AwsIdentity:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415

    try:
        found = open_clients(keys)("sts", region).get_caller_identity()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or code in ("Throttling", "RequestLimitExceeded"):
            raise NotNowError(
                f"AWS could not say whose keys these are ({code}); nothing was changed, try again"
            ) from None
        why = REFUSED.get(code, "it gave no other reason")
        raise BadInputError(f"AWS does not accept these keys ({code}): {why}; nothing was changed") from None
    except NoCredentialsError:
        raise BadInputError("no AWS keys are set, and AWS's tools find none on this machine; set some") from None
    except BotoCoreError as error:
        raise NotNowError(f"AWS cannot be reached ({type(error).__name__}); nothing was changed, try again") from None
    return AwsIdentity(found["Account"], found["Arn"])
