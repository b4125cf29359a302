"""`crd-connection`: from a pasted command to a desktop in the browser. Numbers on the arrows are the order of events."""

from collections.abc import Iterator

from pictures.facts import Facts
from pictures.picture import Arrow, Card, Group, Picture
from schemas.lab import Lab
from schemas.values import format_duration

GROUPS = (Group("allocator", "Allocator"), Group("vm", "The VM"))


def draw_connection(facts: Facts) -> Picture:
    lab = facts.lab
    ways = [(tail, head, words) for tail, head, words in _list_steps(lab) if words]
    return Picture(
        title=f"{facts.name}: how a person gets to a desktop",
        about="Of the pasted command only its one-time code is kept; the desktop's picture never passes through LabLink.",
        cards=tuple(_list_cards(lab)),
        arrows=tuple(
            Arrow(tail, head, f"{number}. {words}", back=(tail, head) in BACK)
            for number, (tail, head, words) in enumerate(ways, 1)
        ),
        groups=GROUPS,
    )


BACK = {("google", "person"), ("container", "google"), ("api", "person"), ("reporter", "api"), ("client", "api")}


def _list_cards(lab: Lab) -> Iterator[Card]:
    yield Card("person", "The person's browser", "person", ("LabLink's page and Google's",))
    yield Card("google", "Chrome Remote Desktop", "internet", ("remotedesktop.google.com",))
    yield Card("api", "API", "program", tuple(_api_words(lab)), group="allocator")
    yield Card("record", "PostgreSQL", "postgresql", tuple(_record_words(lab)), group="allocator")
    auth = {"token": "proves who it is by its token", "hostname": "known by its host name"}[lab.vm_auth]
    yield Card("client", "subscribe", "container", ("in the client container", auth), group="vm")
    yield Card("desktop", "Desktop", "container", ("start-host, in the client container",), group="vm")
    yield Card("reporter", "Reporter", "script", ("every 15 s, on the VM's host",), group="vm")


def _api_words(lab: Lab) -> Iterator[str]:
    yield "https" if lab.ssl.provider != "none" else "http"
    coded = [name for name, pool in lab.pools.items() if pool.access_code is not None]
    courses = [name for name, course in lab.courses.items() if course.access_code is not None]
    if coded or courses:
        yield f"asks for an access code: {', '.join([*coded, *courses])}"


def _record_words(lab: Lab) -> Iterator[str]:
    yield "one statement binds one free VM"
    yield f"else a place in line; a VM that comes free is held {format_duration(lab.seat_hold)}"


def _list_steps(lab: Lab) -> Iterator[tuple[str, str, str]]:
    yield "google", "person", "the command with a one-time code, from /headless"
    yield "client", "api", "POST /vm_startup, held until somebody has this VM"
    yield "person", "api", "POST /api/request_vm: email, command"
    yield "api", "record", "binds"
    yield "record", "api", "NOTIFY"
    yield "api", "client", "the answer: code and PIN"
    yield "client", "desktop", "runs start-host"
    yield "desktop", "google", "registers with the code"
    yield "reporter", "api", "heartbeat: the command was taken"
    again = {"pin": "who comes again shows the PIN or the cookie", "open": "who comes again gives the email"}[
        lab.repeat
    ]
    yield "api", "person", f"the VM's name and the PIN; {again}"
    yield "person", "google", "opens /access, types the PIN"
    yield "google", "desktop", "the desktop, from browser to VM"
