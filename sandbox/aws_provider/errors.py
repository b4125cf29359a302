"""What goes wrong, in the real provider's words (those of AWS's SDK for Go v2), so that one parser reads both.

ProviderError             said by the provider itself: summary, detail, attribute at fault
(botocore errors)   said by AWS or on the way there; `render_cloud_error` words them
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

CloudError = (ClientError, BotoCoreError)


class ProviderError(Exception):
    """An error for the person who runs Terraform; `attribute` names the attribute at fault."""

    def __init__(self, summary: str, detail: str = "", attribute: str | None = None) -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail
        self.attribute = attribute


def read_code(error: BaseException) -> str:
    """AWS's error code (`InvalidInstanceID.NotFound`), or nothing for other errors."""
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def render_cloud_error(error: ClientError | BotoCoreError) -> str:
    """One line as the SDK for Go writes it, with the operation, the status, and AWS's code and message.

    >>> operation error EC2: RunInstances, https response error StatusCode: 500, RequestID: 1b…, api error Code: Message
    """
    if not isinstance(error, ClientError):
        return f"https response error StatusCode: 0, RequestID: , request send failed, {error}"
    response: dict[str, Any] = dict(error.response)
    about, said = response.get("ResponseMetadata", {}), response["Error"]
    attempts = int(about.get("RetryAttempts", 0)) + 1
    tried = f"exceeded maximum number of attempts, {attempts}, " if about.get("MaxAttemptsReached") else ""
    return (
        f"operation error {about.get('ServiceId', 'AWS')}: {error.operation_name}, {tried}"
        f"https response error StatusCode: {about.get('HTTPStatusCode', 0)}, RequestID: {about.get('RequestId', '')}, "
        f"api error {said.get('Code', 'Unknown')}: {said.get('Message', '')}"
    )
