"""Every page on a phone and on a desktop, light and dark: nothing wider than the screen, nothing that axe finds, nothing from elsewhere."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.lab import DESKTOP, PHONE, Lab, Watched, ask, log_in

PEOPLE = ("/", "/seat", "/login", "/nothing-here")
ADMIN = (
    "/admin",
    "/admin/pools/desk",
    "/admin/desired",
    "/admin/desired/versions",
    "/admin/desired/versions/1",
    "/admin/instances",
    "/admin/instances/delete",
    "/admin/create",
    "/admin/runs",
    "/admin/runs/1",
    "/admin/events",
    "/admin/assignments",
    "/admin/costs",
    "/admin/tokens",
    "/admin/nothing-here",
)
LOOKS = {"phone, dark": (PHONE, "dark"), "desktop, light": (DESKTOP, "light")}


@pytest.mark.parametrize("look", LOOKS)
def test_pages_fit_and_are_accessible(lab: Lab, watched: Watched, look: str) -> None:
    viewport, scheme = LOOKS[look]
    person, admin = (watched.person(viewport, color_scheme=scheme) for _ in range(2))
    for path in PEOPLE:
        person.goto(path)
        judge(person)
    ask(person, f"page-{scheme}@example.org", "rare")  # which has none: in line
    judge(person)
    log_in(admin, lab)
    lab.up.eventually(lambda: bool(lab.get("/vms")["items"]), "a VM")
    name = lab.get("/vms")["items"][0]["hostname"]
    for path in (*ADMIN, f"/admin/instances/{name}", f"/admin/logs/{name}"):
        admin.goto(path)
        judge(admin)
    person.get_by_role("button", name="Give up my place").click()
    person.wait_for_url("**/seat")
    judge(person)


def judge(page: Page) -> None:
    """No wider than the screen; and axe finds nothing, of whatever weight."""
    page.locator("#main h1").wait_for()
    width: Any = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], f"{page.url} is {width[0]} wide on a screen of {width[1]}"
    found = Axe().run(page)
    assert found.violations_count == 0, f"{page.url}\n{found.generate_report()}"
