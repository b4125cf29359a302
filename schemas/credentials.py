"""The AWS keys that an admin has given LabLink to work with; without any, AWS's own ways to find some are used."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from schemas.aws_values import Region
from schemas.frozen import Frozen

ACCESS_KEY_ID = r"[A-Za-z0-9_]{16,128}"  # https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html
PRINTABLE = r"[!-~]+"  # what reaches a header and an environment


class AwsKeys(Frozen):
    """Access key, secret, and for temporary ones the session token. Nothing of it but the id is ever shown."""

    model_config = ConfigDict(hide_input_in_errors=True)

    access_key_id: Annotated[str, Field(pattern=f"^{ACCESS_KEY_ID}$")]
    secret_access_key: Annotated[str, Field(pattern=f"^{PRINTABLE}$", min_length=16, max_length=256, repr=False)]
    session_token: Annotated[str | None, Field(pattern=f"^{PRINTABLE}$", max_length=8192, repr=False)] = None
    region: Region | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be in no output."""
        return (self.secret_access_key, self.session_token) if self.session_token else (self.secret_access_key,)

    @property
    def shown_id(self) -> str:
        """Enough of the id to tell two keys apart."""
        return f"…{self.access_key_id[-4:]}"


class Credentials(Frozen):
    """Keys with what AWS said of them when they were set."""

    keys: AwsKeys
    account_id: str
    arn: str
    set_at: datetime
    set_by: str
