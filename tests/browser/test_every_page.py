"""Every page on a phone and on a desktop, light and dark: nothing wider than the screen, nothing that axe finds, nothing from elsewhere."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

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
    "/admin/credentials",
    "/admin/credentials/quotas",
    "/admin/tokens",
    "/admin/conditions",
    "/admin/conditions/Ready",
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


@pytest.mark.parametrize("look", LOOKS)
def test_what_people_are_told_fits_and_is_accessible(lab: Lab, watched: Watched, look: str) -> None:
    viewport, scheme = LOOKS[look]
    page = watched.person(viewport, color_scheme=scheme)
    lab.wait_free("desk")
    ask(page, f"seated-{scheme}@example.org", "desk")
    expect(page.locator("[data-state=ready]")).to_be_visible()
    judge(page)
    lab.sql(
        "UPDATE assignment SET ends_at = now() + interval '10 minutes' WHERE email = %s", f"seated-{scheme}@example.org"
    )
    page.goto("/seat")
    judge(page)
    page.get_by_role("button", name="Extend by 30 min").click()
    expect(page.get_by_role("status")).to_contain_text("30 min more")
    page.get_by_text("It does not appear").click()
    page.get_by_text("I am done", exact=True).click()
    judge(page)
    page.get_by_role("button", name="Give the computer back").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your time here has ended")

    lab.wait_free("desk")
    email = f"offered-{scheme}@example.org"
    wish = {"email": email, "pool": "desk", "pin": "424242"}
    offered = lab.http.post("/api/v1/assignments", json=wish).raise_for_status().json()
    page.goto("/")
    page.context.clear_cookies()
    page.goto("/seat")
    judge(page)
    page.get_by_label("The email address that you gave").fill(email)
    page.get_by_label("The PIN that you were shown").fill("424242")
    page.get_by_role("button", name="Find it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("It is your turn")
    judge(page)
    lab.http.delete(f"/api/v1/assignments/{offered['id']}").raise_for_status()


@pytest.mark.parametrize("look", LOOKS)
def test_questions_and_previews_fit_and_are_accessible(lab: Lab, watched: Watched, look: str) -> None:
    viewport, scheme = LOOKS[look]
    page = watched.person(viewport, color_scheme=scheme)
    log_in(page, lab, "/admin/pools/lean")
    page.get_by_label("How many VMs").fill("3")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#change .diff")).to_be_visible()
    page.get_by_text("End all VMs of this pool").click()
    judge(page)
    page.goto("/admin/desired")
    editor = page.get_by_label("The document")
    text = lab.get("/desired")["yaml"]
    for changed, told in (
        (re.sub(r"lean: {size: \d+", "lean: {size: 5", text), "What it would do"),
        (text + "sise: 1\n", "1 problem"),
    ):
        editor.fill(changed)
        expect(page.locator("#check h2")).to_have_text(told)
        judge(page)
    lab.wait_free("desk")
    page.goto("/admin/instances?pool=desk")
    page.locator("input[name=hostname]").first.check()
    page.get_by_role("button", name="Reboot").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Reboot 1 VM?")
    judge(page)
    page.go_back()
    page.locator("input[name=hostname]").first.check()  # unless the browser has ticked it again
    expect(page.get_by_role("button", name="Reboot")).to_be_enabled()
    page.goto("/admin/credentials")
    expect(page.locator("#quotas table")).to_be_visible()
    judge(page)
    page.get_by_label("Access key id").fill("AKIAEXAMPLEEXAMPLE01")
    page.get_by_label("Secret access key").fill("a secret that is none of AWS's")
    page.get_by_role("button", name="Check and set them").click()
    expect(page.get_by_role("alert")).to_contain_text("aws_secret_access_key")
    judge(page)


def judge(page: Page) -> None:
    """No wider than the screen; and axe finds nothing, of whatever weight."""
    page.locator("#main h1").wait_for()
    width: Any = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], f"{page.url} is {width[0]} wide on a screen of {width[1]}"
    found = Axe().run(page)
    assert found.violations_count == 0, f"{page.url}\n{found.generate_report()}"
