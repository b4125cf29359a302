"""What admins do on their pages: edit, meet conflicts, roll back, replace, read logs, find the cause of trouble, log in and out."""

import re
import time

import httpx
from playwright.sync_api import Page, expect

from api.passwords import Login
from api.session import LASTS_S, NAME, make_session
from tests.browser.lab import Lab, Watched, log_in, wait_for


def test_an_invalid_edit_is_marked_at_its_line_and_changes_nothing(lab: Lab, watched: Watched) -> None:
    page = watched.person()
    log_in(page, lab, "/admin/desired")
    before = lab.get("/desired")
    editor = page.get_by_label("The document")
    expect(page.locator("#check")).to_contain_text("Equal to the version in force")
    broken = before["yaml"].replace("  lean: {size:", "  lean: {sise:")
    line = 1 + broken[: broken.index("sise")].count("\n")
    editor.fill(broken)
    expect(page.locator("#check")).to_contain_text("did you mean size")
    expect(page.locator(f".gutter span:nth-child({line})")).to_have_class("wrong")
    page.get_by_role("button", name="Put it in force").click()
    expect(page.get_by_role("alert")).to_contain_text(f"line {line}")
    expect(editor).to_have_value(broken)  # nothing that was typed is lost
    assert lab.get("/desired")["version"] == before["version"]


def test_a_change_from_an_old_version_meets_the_newer_one_and_history_leads_back(lab: Lab, watched: Watched) -> None:
    page = watched.person()
    log_in(page, lab, "/admin/desired")
    before = lab.get("/desired")
    theirs = lab.put(before["yaml"] + "# theirs\n")
    editor = page.get_by_label("The document")
    editor.fill(before["yaml"] + "# mine\n")
    page.get_by_role("button", name="Put it in force").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else changed")
    expect(page.locator("#theirs")).to_contain_text("# theirs")
    expect(editor).to_have_value(before["yaml"] + "# mine\n")
    editor.fill(before["yaml"] + "# theirs\n# mine\n")
    page.get_by_role("button", name="Put it in force").click()
    expect(page.get_by_role("status")).to_contain_text(f"Version {theirs + 1} is in force")

    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name=f"Version {before['version']}", exact=True).click()
    expect(page.get_by_role("heading", name="Going back to it")).to_be_visible()
    page.get_by_role("button", name="Go back to version").click()
    expect(page.get_by_role("status")).to_contain_text(f"with the text of version {before['version']}")
    assert lab.get("/desired")["yaml"] == before["yaml"]
    wait_for(page, lambda: lab.file.read_text() == before["yaml"])


def test_a_file_that_was_edited_beside_the_record_is_a_choice(lab: Lab, watched: Watched) -> None:
    page = watched.person()
    log_in(page, lab, "/admin/desired")
    before = lab.get("/desired")
    wait_for(page, lambda: lab.file.read_text() == before["yaml"])
    with lab.blind_controller():
        lab.file.write_text(before["yaml"] + "# by hand\n")
        lab.put(before["yaml"] + "# by record\n")
    lab.up.eventually(lambda: "# by hand" in lab.http.get("/admin/desired").text, "the conflict")
    page.reload()
    expect(page.locator("#beside .added")).to_contain_text(["# by hand"])
    page.get_by_role("button", name="write over the file").click()
    expect(page.get_by_role("status")).to_contain_text("stays in force")
    wait_for(page, lambda: lab.file.read_text().endswith("# by record\n"))
    lab.put(before["yaml"])


def test_bars_move_while_a_pool_grows_and_a_vm_is_replaced_after_a_question(lab: Lab, watched: Watched) -> None:
    page, dashboard = watched.person(), watched.person()
    log_in(dashboard, lab)
    log_in(page, lab, "/admin/pools/lean")
    page.get_by_label("How many VMs").fill("1")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#change")).to_contain_text("0people disturbed")
    page.get_by_role("button", name="Put it in force").click()
    expect(dashboard.locator("#bar-lean-ready")).to_have_attribute("width", re.compile(r"100(\.0)?%"))
    lab.wait_ready("lean", 1)

    page.get_by_role("link", name="Its VMs").click()
    name = page.locator("tbody a").first.inner_text()
    page.get_by_role("checkbox", name=name).check()
    page.get_by_role("button", name="Replace").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Replace 1 VM?")
    expect(page.locator("form.card")).to_contain_text("nobody has it")
    page.get_by_role("button", name="Replace 1 VM").click()
    expect(page.get_by_role("status")).to_contain_text("done for 1 of 1")
    wait_for(page, lambda: [vm["hostname"] for vm in lab.get("/vms?pool=lean")["items"]] not in ([], [name]))
    page.goto(f"/admin/instances/{name}")
    expect(page.locator("main")).to_contain_text("Replace asked")


def test_a_vm_that_somebody_has_is_released_by_the_pools_name_only(lab: Lab, watched: Watched) -> None:
    lab.wait_ready("desk", 1)
    body = {"email": "eve@example.org", "crd_command": 'start-host --code="4/eve"', "pool": "desk"}
    hostname = lab.http.post("/api/request_vm", json=body, headers={"Accept": "application/json"}).json()["hostname"]
    page = watched.person()
    log_in(page, lab, f"/admin/instances/{hostname}")
    page.get_by_role("button", name="Release").click()
    expect(page.locator("form.card")).to_contain_text("eve@example.org has it")
    page.get_by_label("To go on, type").fill("something else")
    page.get_by_role("button", name="Release 1 VM").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing was done")
    page.get_by_label("To go on, type").fill("desk")
    page.get_by_role("button", name="Release 1 VM").click()
    expect(page.get_by_role("status")).to_contain_text("done for 1 of 1")
    page.goto("/admin/assignments?words=eve")
    expect(page.locator("tbody")).to_contain_text("released by an admin")


def test_who_waits_is_taken_out_of_the_line(lab: Lab, watched: Watched) -> None:
    body = {"email": "gil@example.org", "crd_command": 'start-host --code="4/gil"', "pool": "lean"}
    assert lab.http.post("/api/request_vm", json=body, headers={"Accept": "application/json"}).status_code == 503
    page = watched.person()
    log_in(page, lab, "/admin/assignments?words=gil")
    out = page.get_by_role("button", name="Take out of line")
    expect(out).to_be_disabled()
    page.get_by_label("gil@example.org").check()
    expect(page.get_by_role("button", name="Release")).to_be_disabled()  # there is nothing to release
    out.click()
    expect(page.locator("form.card")).to_contain_text("gil@example.org")
    page.get_by_role("button", name="Take 1 person out of the line").click()
    expect(page.get_by_role("status")).to_contain_text("1 of 1")
    page.goto("/admin/assignments?words=gil")
    expect(page.locator("tbody")).to_contain_text("taken out of the line")


def test_a_log_is_followed_and_searched(lab: Lab, watched: Watched) -> None:
    lab.up.eventually(lambda: bool(lab.get("/vms?pool=desk")["items"]), "a VM")
    name = lab.get("/vms?pool=desk")["items"][0]["hostname"]
    page = watched.person()
    log_in(page, lab, f"/admin/logs/{name}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("docker")
    write_line(lab, name, "something failed: <b>badly</b>")
    expect(log.locator(".bad").last).to_have_text("something failed: <b>badly</b>")  # live, and never as markup
    page.get_by_label("Search").fill("BADLY")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("region", name="Lines found").locator("> span")).to_have_count(1)


def write_line(lab: Lab, hostname: str, line: str) -> None:
    """As the log Lambda brings it."""
    token = (lab.up.data / "keys" / "log_token").read_text().strip()
    body = {"log_group": "g", "log_stream": hostname, "messages": [line]}
    headers = {"Authorization": f"Bearer {token}"}
    httpx.post(f"{lab.url}/api/vm-logs", json=body, headers=headers, trust_env=False).raise_for_status()


def test_a_failing_pool_says_why_on_the_dashboard_and_its_run(lab: Lab, watched: Watched) -> None:
    page = watched.person()
    log_in(page, lab)
    lab.fault({"on": "RunInstances", "error": "UnauthorizedOperation", "where": {"InstanceType": "c5.large"}})
    try:
        lab.patch("rare", size=1)
        expect(page.locator("section", has=page.locator("#pool-rare"))).to_contain_text("UnauthorizedOperation")
        page.get_by_role("link", name="Terraform runs").click()
        page.locator("tr", has_text="failed").get_by_role("link").first.click()
        expect(page.get_by_role("region", name="Output").locator(".bad").first).to_be_visible()
    finally:
        lab.end_faults()
        lab.patch("rare", size=0)


def test_a_session_begins_with_the_password_and_ends_with_the_logout(lab: Lab, watched: Watched) -> None:
    page = watched.person()
    page.goto("/admin/instances?pool=desk")
    expect(page).to_have_url(re.compile("/login"))
    page.get_by_label("Name").fill(lab.address["admin_user"])
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Password").fill(lab.address["admin_password"])
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(r"/admin/instances\?pool=desk"))
    page.get_by_role("button", name="Log out").click()
    page.goto("/admin")
    expect(page).to_have_url(re.compile("/login"))


def test_a_session_that_ends_leads_to_the_login_and_back(lab: Lab, watched: Watched) -> None:
    page = watched.person()
    log_in(page, lab, "/admin/pools/lean")
    lab.patch("lean", paused=True)  # the page is told that something changed, and renews itself
    expect(page.locator("#state")).to_contain_text("Paused")
    page.context.add_cookies([{"name": NAME, "value": make_old_session(lab), "url": lab.url}])
    lab.patch("lean", paused=False)
    expect(page).to_have_url(re.compile(r"/login\?next="))
    page.get_by_label("Name").fill(lab.address["admin_user"])
    page.get_by_label("Password").fill(lab.address["admin_password"])
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(r"/admin/pools/lean$"))
    expect(page.get_by_label("Paused")).not_to_be_checked()
    assert watched.trouble.pop() == f"401 for {lab.url}/admin/pools/lean"  # of the part that would have renewed itself


def test_a_stream_that_is_refused_leads_to_the_login(lab: Lab, watched: Watched) -> None:
    page = watched.person()
    page.route("**/admin/live", lambda route: route.fulfill(status=401))
    log_in(page, lab)
    page.context.add_cookies([{"name": NAME, "value": make_old_session(lab), "url": lab.url}])
    expect(page).to_have_url(re.compile(r"/login\?next="))
    assert f"401 for {lab.url}/admin" in watched.trouble
    watched.trouble.clear()  # the browser complains of the stream each time


def test_a_session_that_ends_in_the_middle_of_an_edit_loses_nothing(lab: Lab, watched: Watched) -> None:
    page = watched.person()
    log_in(page, lab, "/admin/desired")
    before = lab.get("/desired")["yaml"]
    editor = page.get_by_label("The document")
    editor.fill(before + "# half a thought\n")
    expect(page.locator("#check")).to_contain_text("What it would do")
    page.context.add_cookies([{"name": NAME, "value": make_old_session(lab), "url": lab.url}])
    page.get_by_role("button", name="Put it in force").click()
    expect(page.get_by_role("status")).to_contain_text("Your session has ended")
    page.get_by_label("Name").fill(lab.address["admin_user"])
    page.get_by_label("Password").fill(lab.address["admin_password"])
    page.get_by_role("button", name="Log in").click()
    expect(editor).to_have_value(before + "# half a thought\n")
    page.get_by_role("link", name="Throw it away").click()
    expect(editor).to_have_value(before)
    assert lab.get("/desired")["yaml"] == before


def test_without_scripts_pages_say_the_same(lab: Lab, watched: Watched) -> None:
    page = watched.person(java_script_enabled=False)
    lab.wait_ready("desk", 1)
    log_in(page, lab)
    expect(page.get_by_role("figure", name="VMs over").get_by_role("row", name="free")).to_contain_text(
        re.compile(r"\d")
    )
    page.goto("/admin/desired")
    page.get_by_label("The document").fill(lab.get("/desired")["yaml"].replace("lean: {size: 0", "lean: {size: 4"))
    page.get_by_role("button", name="Check it").click()
    expect(page.locator("#check")).to_contain_text("4 VMs created")
    page.get_by_label("The document").fill(lab.get("/desired")["yaml"] + "# without scripts\n")
    page.get_by_role("button", name="Put it in force").click()
    expect(page.get_by_role("status")).to_contain_text("is in force")
    page.goto("/admin/credentials")
    page.get_by_role("link", name="Ask AWS").click()
    expect(page.locator("#found table")).to_be_visible()


def make_old_session(lab: Lab) -> str:
    """A cookie as the login page set it more than a session's time ago."""
    keys = lab.up.data / "keys"
    login = Login(lab.address["admin_user"], (keys / "admin_password_hash").read_text().strip())
    secret = (keys / "deployment_secret").read_text().strip().encode()
    value = make_session(secret, login, time.time() - LASTS_S - 60, secure=False).value
    assert value
    return value


def test_more_tabs_than_a_browser_has_connections_stay_alive(lab: Lab, watched: Watched) -> None:
    page = watched.person()
    log_in(page, lab, "/admin/events")
    for path in (
        "/admin",
        "/admin/instances",
        "/admin/assignments",
        "/admin/runs",
        "/admin/events",
        "/admin",
        "/admin",
    ):
        tab = page.context.new_page()
        tab.goto(path)
        expect(tab.locator("#main h1")).to_be_visible()
        show(tab, hidden=True)  # as a browser tells a tab that another one covers
    before = lab.get("/desired")
    version = lab.put(before["yaml"] + "# seen by all\n")
    expect(page.locator("tbody")).to_contain_text(f"version {version}", ignore_case=True)
    dashboard = page.context.pages[1]
    expect(dashboard.locator(".head")).not_to_contain_text(f"Version {version}")
    show(dashboard, hidden=False)
    expect(dashboard.locator("#newest")).to_contain_text(f"version {version}", ignore_case=True)
    lab.put(before["yaml"])


def show(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
