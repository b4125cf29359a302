"""Sends one letter to one receiver: webhook, Slack, SNS or email. Raises `NotSent` with a sentence that names no secret.

A success is what the receiver says is one; everything else is tried again by `deliver`.
"""

import hashlib
import hmac
import json
import smtplib
import ssl
import time
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import httpx
from anyio import fail_after, to_thread

from controller.ec2 import Ec2
from controller.errors import CloudError
from controller.notify.addresses import NotAllowed, resolve
from schemas.lab import Notify
from schemas.notification import Letter
from schemas.settings import Settings

LIMIT_S = 10.0  # shorter than the pause before the next attempt
SMTP_S = 8.0


class NotSent(Exception):
    """Why, in words that may be logged and shown."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A letter with its number, which a receiver that gets it twice knows it by."""

    number: int
    letter: Letter


async def send(settings: Settings, ec2: Ec2, receiver: Notify, parcel: Parcel) -> None:
    """Deliver within seconds, or raise NotSent."""
    try:
        with fail_after(LIMIT_S):
            if receiver.sns:
                await _publish(ec2, receiver.sns, parcel.letter)
            elif receiver.email:
                await send_mail(settings, receiver.email, parcel.letter)
            else:
                await _post(settings, receiver, parcel)
    except TimeoutError:
        raise NotSent(f"no answer within {LIMIT_S:.0f} s") from None
    except NotAllowed as refusal:
        raise NotSent(str(refusal)) from None
    except OSError as error:
        raise NotSent(f"not reached: {error.strerror or type(error).__name__}") from None


async def _publish(ec2: Ec2, topic: str, letter: Letter) -> None:
    try:
        await ec2.publish(topic, letter.headline, letter.text)
    except CloudError as error:
        raise NotSent(str(error)) from None


async def _post(settings: Settings, receiver: Notify, parcel: Parcel) -> None:
    body, headers = render_slack(parcel.letter), {}
    if receiver.webhook:
        body = render_webhook(parcel)
        headers = sign(settings.notify_key, body, int(time.time())) | {"X-LabLink-Id": str(parcel.number)}
    endpoint = await resolve(receiver.target, local=settings.notify_local)
    headers |= {"Host": endpoint.authority, "Content-Type": "application/json", "User-Agent": "LabLink"}
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=LIMIT_S, follow_redirects=False) as http:
            request = http.build_request(
                "POST", endpoint.url, content=body, headers=headers, extensions={"sni_hostname": endpoint.host}
            )
            response = await http.send(request, stream=True)  # what it says is not read: only whether it took it
            await response.aclose()
    except httpx.HTTPError as error:
        raise NotSent(f"not reached: {type(error).__name__}") from None
    if not response.is_success:
        raise NotSent(f"it answered {response.status_code}")


def render_webhook(parcel: Parcel) -> bytes:
    return json.dumps({"id": parcel.number, **parcel.letter.model_dump(mode="json")}).encode()


def sign(key: bytes, body: bytes, now: int) -> dict[str, str]:
    """HMAC-SHA256 over the time and the body, so that a receiver can refuse what is forged or old."""
    digest = hmac.new(key, f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-LabLink-Timestamp": str(now), "X-LabLink-Signature": f"v1={digest}"}


def render_slack(letter: Letter) -> bytes:
    """https://api.slack.com/reference/surfaces/formatting: three signs are escaped, and nothing else is read as markup."""
    text = f"{letter.headline}\n{letter.text}"
    for sign_, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign_, escaped)
    return json.dumps({"text": text, "mrkdwn": False}).encode()


async def send_mail(settings: Settings, to: str, letter: Letter) -> None:
    """By the mail server of the environment (`LABLINK_SMTP_…`)."""
    if not settings.smtp_host:
        raise NotSent("no mail server is known: set LABLINK_SMTP_HOST and LABLINK_SMTP_FROM")
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = _one_line(letter.headline), settings.smtp_from, to
    message.set_content(letter.text)
    try:
        await to_thread.run_sync(_mail, settings, message, abandon_on_cancel=True)
    except (smtplib.SMTPException, ValueError) as error:
        raise NotSent(f"the mail server refused it: {type(error).__name__}") from None


def _mail(settings: Settings, message: EmailMessage) -> None:
    server: Any = smtplib.SMTP_SSL if settings.smtp_security == "tls" else smtplib.SMTP
    more = {"context": ssl.create_default_context()} if settings.smtp_security == "tls" else {}
    with server(settings.smtp_host, settings.smtp_port, timeout=SMTP_S, **more) as connection:
        if settings.smtp_security == "starttls":
            connection.starttls(context=ssl.create_default_context())
        if settings.smtp_user:
            connection.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        connection.send_message(message)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
