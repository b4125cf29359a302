"""What people see who ask for a desktop: their way, the race for the last one, the line, and what is said when something is missing."""

import re

from playwright.sync_api import Page, expect

from tests.browser.lab import PHONE, Lab, Watched, ask, log_in


def test_a_participant_gets_a_desktop_and_the_next_one_waits_for_the_admin(lab: Lab, watched: Watched) -> None:
    lab.wait_ready("desk", 1)
    ada, bob, admin = watched.person(PHONE), watched.person(), watched.person()
    ask(ada, "ada@example.org", "desk")
    hostname = ada.locator("#hostname").inner_text()
    pin = ada.locator("#pin").inner_text()
    assert re.fullmatch(r"lablink-desk-dev-\d+", hostname)
    expect(ada.locator("[data-state=ready]")).to_be_visible()  # by itself, from "connecting"
    expect(ada.get_by_role("link", name="Open the desktop")).to_have_attribute("href", re.compile("remotedesktop"))

    ask(bob, "bob@example.org", "desk")
    expect(bob.get_by_role("heading", level=1)).to_have_text("You are in line")
    expect(bob.locator("#position")).to_have_text("1")
    raise_size(admin, lab, "desk", 2)
    expect(bob.locator("#hostname")).to_have_text(re.compile(r"lablink-desk-dev-\d+"))  # nobody touched Bob's page

    other = watched.person()
    find_seat(other, "ada@example.org", "000000" if pin != "000000" else "111111")
    expect(other.get_by_role("alert")).to_contain_text("no desktop is open", ignore_case=True)
    assert hostname not in other.content()
    find_seat(other, "Ada@example.org", pin)
    expect(other.locator("#hostname")).to_have_text(hostname)

    other.get_by_text("I am done", exact=True).click()
    other.get_by_role("button", name="Give the computer back").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("Your time here has ended")
    expect(ada.get_by_role("heading", level=1)).to_have_text("Your time here has ended")  # the first page hears of it


def raise_size(admin: Page, lab: Lab, pool: str, size: int) -> None:
    """By the pool's page: preview, then save, and the bar moves."""
    log_in(admin, lab, f"/admin/pools/{pool}")
    admin.get_by_label("How many VMs").fill(str(size))
    admin.get_by_role("button", name="Preview").click()
    expect(admin.locator("#change")).to_contain_text("1 VM created")
    expect(admin.locator("#change .diff")).to_contain_text(f"size: {size}")
    admin.get_by_role("button", name="Put it in force").click()
    expect(admin.get_by_role("status")).to_contain_text("is in force")
    expect(admin.locator("#state")).to_contain_text(f"{size} declared")
    expect(admin.locator(f"#bar-{pool}-assigned")).to_have_attribute("width", re.compile(r"100(\.0)?%"))


def find_seat(page: Page, email: str, pin: str) -> None:
    page.goto("/seat")
    page.get_by_label("The email address that you gave").fill(email)
    page.get_by_label("The PIN that you were shown").fill(pin)
    page.get_by_role("button", name="Find it").click()


def test_of_two_who_race_for_the_last_vm_one_waits(lab: Lab, watched: Watched) -> None:
    lab.wait_ready("race", 1)
    people = [watched.person(), watched.person()]
    for n, page in enumerate(people):
        page.goto("/")
        page.get_by_label("Your email address").fill(f"racer{n}@example.org")
        page.get_by_label("The command").fill(f'start-host --code="4/race{n}"')
        page.get_by_label("Kind of computer").select_option("race")
    for page in people:
        page.get_by_role("button", name="Get my desktop").click(no_wait_after=True)
    for page in people:
        expect(page.locator("#pin")).to_be_visible()
    assert sorted(page.get_by_role("heading", level=1).inner_text() for page in people) == [
        "You are in line",
        "Your desktop",
    ]
    waiting = next(page for page in people if page.locator("#position").count())
    waiting.get_by_role("button", name="Give up my place").click()
    expect(waiting.get_by_role("heading", level=1)).to_have_text("You are no longer in line")


def test_a_form_says_what_is_missing_and_keeps_what_was_typed(lab: Lab, watched: Watched) -> None:
    page = watched.person(PHONE)
    page.goto("/")
    expect(page.locator("#free")).to_contain_text("free right now")
    page.get_by_label("Your email address").fill("nobody")
    page.get_by_label("The command").fill("sudo make me a sandwich")
    page.get_by_role("button", name="Get my desktop").click()
    expect(page.locator("#email-error")).to_contain_text("such as ada@example.org")
    expect(page.locator("#crd_command-error")).to_contain_text("--code=")
    page.get_by_label("Your email address").fill("cleo@example.org")
    expect(page.locator("#email-error")).to_be_empty()

    scriptless = watched.person(java_script_enabled=False)
    scriptless.goto("/")
    scriptless.get_by_label("Your email address").fill("cleo@example.org")
    scriptless.get_by_label("The command").fill("sudo make me a sandwich")
    scriptless.get_by_role("button", name="Get my desktop").click()
    expect(scriptless.locator("#crd_command-error")).to_contain_text("--code=")
    expect(scriptless.get_by_label("Your email address")).to_have_value("cleo@example.org")
    expect(scriptless.get_by_label("The command")).to_have_value("sudo make me a sandwich")
