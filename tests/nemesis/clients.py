"""Those who call the APIs and remember what was answered: a person, a client VM, the log Lambda.

Each knows several APIs and calls the next one when one does not answer, again and again. What they were told is kept in a
`History`, with the times between which it must have come true.
"""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any

import anyio
import httpx

from schemas.token import vm_token
from tests.nemesis.history import UNKNOWN, History

COMMAND = 'DISPLAY= /opt/google/chrome-remote-desktop/start-host --code="4/{}" --redirect-url="https://x"'
CODE = re.compile(r'--code="4/([^"]+)"')
PAUSE_S = 0.1
IN_LINE_S = 0.4
CALL_S = 10.0
AGAIN = (429, 500, 502, 503, 504)
HELD = httpx.Timeout(CALL_S, read=None)
_codes = count(1)


class WrongAnswer(Exception):
    """An answer that none of the API's own may be."""


@dataclass
class Callers:
    """What all clients share. `urls` are the APIs that there are."""

    http: httpx.AsyncClient
    urls: list[str]
    history: History
    secret: bytes = b""
    log_token: str = ""

    def choose(self, first: int) -> Iterable[str]:
        """The APIs in turn, for ever, beginning at another one for each client."""
        first %= len(self.urls)
        return cycle(self.urls[first:] + self.urls[:first])


@dataclass
class Person:
    """Asks until there is a VM, keeps it a moment, gives it back until that is answered."""

    around: Callers
    email: str
    number: int
    assignment: str = ""
    pin: str = ""
    hostname: str = ""

    async def get(self) -> str:
        """The VM. Each try has a code of its own, so that it is seen which one a VM was told; the PIN proves the person."""
        self.pin = self.pin or f"{secrets.randbelow(10**6):06}"
        for url in self.around.choose(self.number):
            if answer := await self._ask(url):
                self.hostname = answer
                return answer
            await anyio.sleep(IN_LINE_S)
        raise AssertionError("the APIs in turn never end")

    async def _ask(self, url: str) -> str:
        code = f"{self.email.split('@')[0]}-{next(_codes)}"
        asked = self.around.history.begin("ask", self.email, code=code)
        body = {"email": self.email, "crd_command": COMMAND.format(code), "pin": self.pin}
        try:
            answer = await self.around.http.post(
                f"{url}/api/request_vm", json=body, headers={"Accept": "application/json"}, timeout=CALL_S
            )
        except httpx.HTTPError:
            return self._note(asked, UNKNOWN)
        if answer.status_code == 200:
            self.assignment = answer.cookies["lablink_seat"].partition(".")[0]
            self._check_pin(answer.json())
            return self._note(asked, answer.json()["hostname"])
        said = answer.json()
        if answer.status_code == 503 and said.get("assignment"):
            self.assignment = said["assignment"]
            self._check_pin(said)
            self._note(asked, None)
        elif answer.status_code in AGAIN:
            self._note(asked, UNKNOWN)
        else:
            raise WrongAnswer(f"{self.email} asked and was told {answer.status_code} {answer.text}")
        return ""

    def _check_pin(self, said: dict[str, Any]) -> None:
        if said["pin"] != self.pin:
            raise WrongAnswer(f"{self.email} has PIN {self.pin} and was told {said}")

    def _note(self, asked: Any, result: Any) -> str:
        self.around.history.end(asked, result)
        return result if isinstance(result, str) and result != UNKNOWN else ""

    async def give_back(self) -> None:
        """Until it is answered that it has ended."""
        for url in self.around.choose(self.number + 1):
            ended = self.around.history.begin("end", self.email)
            try:
                answer = await self.around.http.request(
                    "DELETE", f"{url}/api/v1/assignments/{self.assignment}", json={"pin": self.pin}, timeout=CALL_S
                )
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 200:
                self.around.history.end(ended, True)
                self.assignment = self.hostname = self.pin = ""
                return
            self.around.history.end(ended, UNKNOWN)
            if answer is not None and answer.status_code not in AGAIN:
                raise WrongAnswer(f"{self.email} gave back and was told {answer.status_code} {answer.text}")
            await anyio.sleep(PAUSE_S)


@dataclass
class Vm:
    """Holds `/vm_startup` until it is told whom it belongs to, and renews its token once that person is gone."""

    around: Callers
    hostname: str
    number: int
    version: int = 1
    told: str = ""  # the code that it was told last
    key: str = field(default_factory=lambda: secrets.token_hex(32))

    async def live(self) -> None:
        """Until cancelled."""
        urls = iter(self.around.choose(self.number))
        await self._say_key(urls)
        while True:
            url = next(urls)
            try:
                await self._turn(url)
            except (httpx.HTTPError, ValueError, KeyError):
                await anyio.sleep(PAUSE_S)

    async def _say_key(self, urls: Any) -> None:
        """Until it is heard: who asks for a new token proves by it that it is the VM's host."""
        body = {"in_use": False, "renewal_key": hashlib.sha256(self.key.encode()).hexdigest()}
        while True:
            try:
                answer = await self.post(next(urls), f"/api/v1/client/{self.hostname}/heartbeat", body)
                if answer.status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await anyio.sleep(PAUSE_S)

    async def _turn(self, url: str) -> None:
        known = await self._get(url)
        if known.status_code == 401:
            answer = await self.post(url, f"/api/v1/client/{self.hostname}/renew", {"key": self.key})
            if answer.status_code == 200:
                self.version += 1
                if answer.json()["token"] != self.token:
                    raise WrongAnswer(f"{self.hostname} was given a token that is not its own")
                self.told = ""
        elif known.status_code == 200 and not (known.json().get("assigned") and self.told):
            await self._hold(url)
        await anyio.sleep(PAUSE_S)

    async def _hold(self, url: str) -> None:
        held = self.around.history.begin("told", self.hostname)
        answer = await self.post(url, "/vm_startup", {"hostname": self.hostname}, HELD)
        if answer.status_code != 200:
            return
        said = answer.json()
        found = CODE.search(said["command"])
        if said["status"] != "success" or not found:
            raise WrongAnswer(f"{self.hostname} was told {said}")
        self.told = found[1]
        self.around.history.end(held, self.told)

    @property
    def token(self) -> str:
        return vm_token(self.around.secret, self.hostname, self.version)

    async def _get(self, url: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.around.http.get(f"{url}/api/v1/client/{self.hostname}", headers=headers, timeout=CALL_S)

    async def post(self, url: str, path: str, body: Any, timeout: Any = CALL_S) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.around.http.post(url + path, json=body, headers=headers, timeout=timeout)


@dataclass
class Shipper:
    """The log Lambda: posts an event until it is answered, and now and then once more, as AWS does. `stored`: the acknowledged ids."""

    around: Callers
    hostname: str
    number: int
    stored: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)

    async def ship(self, lines: int = 5, days_ago: int = 0) -> None:
        """One event of the Lambda, of lines from then."""
        ids = [f"{self.hostname}-{secrets.token_hex(6)}" for _ in range(lines)]
        now = int((time.time() - days_ago * 86_400) * 1000)
        events = [{"id": one, "timestamp": now + n, "message": f"line {one}"} for n, one in enumerate(ids)]
        body = json.dumps({"log_group": "nemesis", "log_stream": self.hostname, "events": events})
        self.sent.update(ids)
        for url in self.around.choose(self.number):
            if await self._post(url, body):
                break
            await anyio.sleep(PAUSE_S)
        self.stored.update(ids)
        if secrets.randbelow(3) == 0:
            await self._post(next(iter(self.around.choose(self.number + 1))), body)

    async def _post(self, url: str, body: str) -> bool:
        headers = {"Authorization": f"Bearer {self.around.log_token}", "Content-Type": "application/json"}
        try:
            answer = await self.around.http.post(f"{url}/api/vm-logs", content=body, headers=headers, timeout=CALL_S)
        except httpx.HTTPError:
            return False
        if answer.status_code not in (200, 404, *AGAIN):  # 404: a VM that the API has not heard of yet
            raise WrongAnswer(f"lines were answered {answer.status_code} {answer.text}")
        return answer.status_code == 200
