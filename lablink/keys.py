"""`lablink keys`: the deployment's secrets, made once where there are none; in AWS they are kept in SSM, as SecureString.

Terraform names the parameters and never sees what is in them. Each start of an allocator fetches them into its key folder.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lablink.errors import Failed
from lablink.output import print_line
from sandbox.folder import write_private

DRAWN: dict[str, Callable[[], str]] = {
    "deployment_secret": lambda: secrets.token_hex(32),
    "encryption_key": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
}
PREVIOUS = "encryption_key_previous"


def keys() -> None:
    """Fetch the deployment's secrets into LABLINK_KEYS, and make them first where there are none.

    With LABLINK_KEY_PATH they are kept in SSM under that path; without it, in the folder alone: then keep a copy of it.
    """
    folder = os.environ.get("LABLINK_KEYS")
    if not folder:
        raise Failed("LABLINK_KEYS does not name the folder for the keys.")
    path = os.environ.get("LABLINK_KEY_PATH", "")
    try:
        fetched = write_keys(Path(folder), make_client("ssm") if path else None, path)
    except (ClientError, BotoCoreError, OSError) as error:
        raise Failed(f"The keys cannot be had: {error}") from None
    print_line(f"The keys are in {folder} ({', '.join(fetched)}).")


def write_keys(folder: Path, ssm: Any, path: str) -> list[str]:
    """The names of the files that are there afterwards; those in SSM win over what the folder has."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, draw in DRAWN.items():
        file = folder / name
        if ssm is not None:
            write_private(file, keep_parameter(ssm, f"{path}/{name}", draw) + "\n")
        elif not file.exists():
            write_private(file, draw() + "\n")
    if ssm is not None and (former := read_parameter(ssm, f"{path}/{PREVIOUS}")):
        write_private(folder / PREVIOUS, former + "\n")
    secret = (folder / "deployment_secret").read_text().strip()
    write_private(folder / "log_token", derive_log_token(secret) + "\n")
    return sorted([*DRAWN, "log_token"])


def rotate_key(folder: Path) -> tuple[str, str]:
    """A new encryption key in the folder and, where keys are kept there, in SSM; the present one becomes the previous one. Both."""
    path = os.environ.get("LABLINK_KEY_PATH", "")
    ssm = make_client("ssm") if path else None
    present = (folder / "encryption_key").read_text().strip()
    # The previous one first: whenever this is cut short, the present key is still known.
    fresh = DRAWN["encryption_key"]()
    for name, value in ((PREVIOUS, present), ("encryption_key", fresh)):
        if ssm is not None:
            ssm.put_parameter(Name=f"{path}/{name}", Value=value, Type="SecureString", Overwrite=True)
        write_private(folder / name, value + "\n")
    return fresh, present


def read_parameter(ssm: Any, name: str) -> str:
    """Empty when there is none."""
    try:
        return str(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
    return ""


def keep_parameter(ssm: Any, name: str, draw: Callable[[], str]) -> str:
    """The parameter's value, drawn and stored when there is none; of two that draw at once, the first one's holds."""
    if found := read_parameter(ssm, name):
        return found
    try:
        ssm.put_parameter(Name=name, Value=draw(), Type="SecureString", Overwrite=False)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterAlreadyExists":
            raise
    return str(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])


def derive_log_token(deployment_secret: str) -> str:
    """What the log Lambda shows; derived, so that it needs no place of its own."""
    return hmac.new(deployment_secret.encode(), b"log token", hashlib.sha256).hexdigest()


def tell_lambda(client: Any, function: str, token: str) -> bool:
    """Gives the log Lambda its token; False while there is no such function yet (Terraform makes it after the machine)."""
    try:
        found = client.get_function_configuration(FunctionName=function)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return False
        raise
    variables = dict(found.get("Environment", {}).get("Variables", {}))
    if variables.get("LOG_TOKEN") != token:
        changed = {"Variables": {**variables, "LOG_TOKEN": token}}
        client.update_function_configuration(FunctionName=function, Environment=changed)
    return True


def write_password_file(client: Any, secret: str, file: Path) -> None:
    """libpq's password file from RDS's secret: libpq reads it at each connect, so a turned password is met at the next."""
    content = json.loads(client.get_secret_value(SecretId=secret)["SecretString"])
    escaped = str(content["password"]).replace("\\", "\\\\").replace(":", "\\:")
    write_private(file, f"*:*:*:{content['username']}:{escaped}\n")


def make_client(service: str) -> Any:
    import boto3  # noqa: PLC0415 - a second that no other command waits for

    make: Any = boto3.client
    return make(service, region_name=os.environ.get("AWS_REGION"))
