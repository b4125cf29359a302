"""A sandbox with everything real, and browsers that look at it: whatever they complain of, or ask of another host, fails the test."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, expect

from api.session import NAME as SESSION
from tests.system.test_up import Up, running

PATIENCE_MS = 60_000
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
COMMAND = 'DISPLAY= /opt/google/chrome-remote-desktop/start-host --code="4/{code}" --redirect-url="https://x" --name=$(hostname)'

expect.set_options(timeout=PATIENCE_MS)


def find_chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"these tests need a Chromium: install one of {', '.join(names)}"
    return found


@dataclass
class Lab:
    """A running `lablink up`. `http` is the admin's, by HTTP Basic."""

    up: Up
    file: Path
    http: httpx.Client
    address: dict[str, Any]
    session: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        return str(self.address["url"])

    def get(self, path: str) -> Any:
        return self.http.get(f"/api/v1{path}").raise_for_status().json()

    def patch(self, pool: str, **fields: Any) -> None:
        self.http.patch(f"/api/v1/pools/{pool}", json=fields).raise_for_status()

    def put(self, text: str) -> int:
        """Puts a document in force; its version."""
        version = self.get("/desired")["version"]
        answer = self.http.put("/api/v1/desired", content=text, headers={"If-Match": str(version)})
        return int(answer.raise_for_status().json()["version"])

    def begin(self, document: str) -> None:
        """What each test finds: this document in force, nobody with a VM or in line, nothing that fails."""
        self.end_faults()
        if self.get("/desired")["yaml"] != document:
            self.put(document)
        for status in ("waiting", "offered", "active"):
            for one in self.get(f"/assignments?status={status}")["items"]:
                self.http.delete(f"/api/v1/assignments/{one['id']}").raise_for_status()

    def buckets(self, pool: str) -> dict[str, int]:
        return dict(self.get(f"/pools/{pool}")["buckets"])

    def wait_ready(self, pool: str, count: int) -> None:
        self.up.eventually(lambda: self.buckets(pool) == {"ready": count}, f"{count} ready VMs of {pool}")

    def wait_free(self, pool: str) -> None:
        self.up.eventually(lambda: self.buckets(pool).get("ready", 0) > 0, f"a free VM of {pool}")

    def sql(self, statement: str, *params: Any) -> None:
        """What only time brings, brought at once."""
        with psycopg.connect(self.address["database_dsn"], autocommit=True) as conn:
            conn.execute(statement.encode(), params)

    def fault(self, fault: dict[str, Any]) -> None:
        httpx.post(f"{self.address['fault_url']}/faults", json=fault, trust_env=False).raise_for_status()

    def end_faults(self) -> None:
        httpx.delete(f"{self.address['fault_url']}/faults", trust_env=False).raise_for_status()

    @contextmanager
    def blind_controller(self) -> Iterator[None]:
        """The controller sees nothing of what happens meanwhile."""
        pid = json.loads((self.up.data / "sandbox.json").read_text())["pids"]["controller"]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def open_sandbox(folder: Path, document: str) -> Iterator[Lab]:
    """`lablink up` in an empty folder with this document, until the end of the block."""
    (folder / "lablink.yaml").write_text(document)
    with running(folder) as up:
        address = up.wait_ready()
        login = (address["admin_user"], address["admin_password"])
        with httpx.Client(base_url=address["url"], auth=login, trust_env=False, timeout=30) as http:
            yield Lab(up, folder / "lablink.yaml", http, address)


@dataclass
class Watched:
    """Makes browser contexts, each like a person of its own, and collects what no page may do."""

    browser: Browser
    url: str
    trouble: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def person(self, viewport: dict[str, int] = DESKTOP, **options: Any) -> Page:
        context = self.browser.new_context(base_url=self.url, viewport=viewport, **options)  # type: ignore[arg-type]
        self.contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", self._see_request)
        context.on("response", self._see_response)
        context.on("console", self._see_console)
        context.on("weberror", lambda error: self.trouble.append(f"script: {error.error}"))
        return context.new_page()

    def _see_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.trouble.append(f"asked another host: {request.url}")

    def _see_response(self, response: Response) -> None:
        if response.status >= 400 and response.request.resource_type != "document":
            self.trouble.append(f"{response.status} for {response.url}")

    def _see_console(self, message: ConsoleMessage) -> None:
        # A page that is an error's answer is no complaint; what it loads is looked at above.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.trouble.append(f"console: {message.text}")


def log_in(page: Page, lab: Lab, path: str = "/admin") -> None:
    """By the login page, which leads on to `path`; who comes after the first brings the session that it gave."""
    if lab.session:
        page.context.add_cookies(lab.session)
        page.goto(path)
        return
    page.goto(path)
    page.get_by_label("Name").fill(lab.address["admin_user"])
    page.get_by_label("Password").fill(lab.address["admin_password"])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{path}")
    lab.session = [
        {"name": one["name"], "value": one["value"], "url": lab.url}
        for one in page.context.cookies()
        if one["name"] == SESSION
    ]


def ask(page: Page, email: str, pool: str, code: str = "code") -> None:
    """A person asks for a desktop of this pool."""
    page.goto("/")
    page.get_by_label("Your email address").fill(email)
    page.get_by_label("The command").fill(COMMAND.format(code=code))
    page.get_by_label("Kind of computer").select_option(pool)
    page.get_by_role("button", name="Get my desktop").click()


def wait_for(page: Page, holds: Callable[[], bool]) -> None:
    """For conditions that are no element's."""
    for _ in range(PATIENCE_MS // 100):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not within {PATIENCE_MS / 1000} s at {page.url}:\n{page.locator('body').inner_text()}")
