"""`python -m tests.nemesis.rounds SEED…`: two controllers and two APIs on one database, people, and somebody who breaks things.

In each round an admin changes the size, people come, are given VMs and go, lines of logs arrive, and two evil things happen. Afterwards
the site must come to rest, the recorded history must have an explanation, each line must be stored once, no Terraform may have met
another on its state, and whoever wrote what only the leader writes must have had the lease.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from shutil import which

import anyio
import psycopg
from anyio import to_thread
from anyio.from_thread import start_blocking_portal

from tests.api.silent_proxy import SilentProxy
from tests.nemesis.evil import Evil, Watch
from tests.nemesis.people import READY, People, meeting
from tests.nemesis.site import Site, open_site
from tests.prove.piece import Lived, end_tidily, run_pieces

FEW, MANY = 3, 5
VISITORS = 8
STAYS_S = 0.5
LEASE_S = 10.0  # as it is by default
TIMES = {"LABLINK_LEASE_TTL_S": str(LEASE_S), "LABLINK_RUN_TTL_S": "10"}
"""Both are shorter than a pause: who wakes has lost the lease, and its Terraform was asked to end."""
FAILOVER_S = 15.0
CONTROLLERS = ("controller-a", "controller-b")

TERRAFORM = """\
#!/bin/sh
# Holds a lock for as long as it works on a state; who finds it taken was about to be the second one there.
case "$1" in plan|apply|untaint)
    state=$(printf %s "$TF_HTTP_ADDRESS" | cut -d/ -f4- | tr / _)
    exec 9>"{folder}/lock-$state"
    flock -n 9 || {{ echo "$1 $state" >>"{folder}/met"; exit 1; }}
esac
exec "{terraform}" "$@"
"""
AUDIT = """
CREATE TABLE nemesis_write (writer text, holder text, leads boolean, what text, UNIQUE (writer, holder, leads, what));
CREATE FUNCTION nemesis_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('application_name') LIKE 'controller-%' THEN
        INSERT INTO nemesis_write
        SELECT current_setting('application_name'), holder, expires_at > now(), TG_TABLE_NAME FROM lease ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
"""
LEADERS_ALONE = ("run", "tick", "pool", "base", "tf_state")
"""Tables that a controller writes as the leader and never otherwise."""


@dataclass
class Rounds:
    """A site under load, for any number of rounds."""

    site: Site
    people: People
    proxies: dict[str, SilentProxy]
    watch: Watch

    async def play(self, seed: int) -> Lived:
        """One round, from rest to rest."""
        chance = Random(seed)
        evil = Evil(self.site, self.proxies, chance, pause_s=LEASE_S * 1.3)
        size = MANY if self.people.size == FEW else FEW
        self.watch.gaps.clear()
        with anyio.fail_after(240):
            async with anyio.create_task_group() as load:
                load.start_soon(self.people.declare, size)
                for _ in range(VISITORS):
                    load.start_soon(self._visit, chance.uniform(0, 3))
                for n in range(2):
                    load.start_soon(self._break, evil, 2 * seed + n, chance.uniform(0.5, 3))
        seconds = await self.rest(size)
        faults = [
            *await self.people.find_losses(),
            *self.people.around.history.judge_new(),
            *await self._find_trespasses(),
        ]
        longest_s = self.watch.find_longest_failover(evil, CONTROLLERS)
        figures = {
            "rounds": 1,
            "faults": len(evil.done),
            "assignments": VISITORS,
            "fail-overs": len(self.watch.gaps),
            "longest_failover_s": round(longest_s, 1),
            "longest_without_leader_s": round(self.watch.find_longest(), 1),
            "longest_until_rest_s": seconds,
            **{act.split()[0]: evil.done.count(act) for act in evil.done},
        }
        if longest_s > FAILOVER_S:
            faults.append(f"nobody led for {longest_s:.1f} s, though one of the two could come to the database")
        return Lived([f"after {', '.join(evil.done)}: {fault}" for fault in faults], figures)

    async def _visit(self, later_s: float) -> None:
        await anyio.sleep(later_s)
        person = self.people.make_person()
        await self.people.seat(person)
        await self.people.ship(self.people.seated[person.email])
        await anyio.sleep(STAYS_S)
        await self.people.leave(person)

    async def _break(self, evil: Evil, number: int, later_s: float) -> None:
        await anyio.sleep(later_s)
        await evil.act(number)

    async def rest(self, size: int) -> float:
        """Whoever was given up but came after all is sent away, and then all is as declared."""

        def rests() -> bool:
            anyio.from_thread.run(self.people.send_strays_away)
            return len(self.site.rows(READY)) == size and self.site.is_at_rest(size)

        return round(await self.people.wait(f"rest with {size} VMs", rests, 120), 1)

    async def _find_trespasses(self) -> list[str]:
        """Two Terraforms on one state, and writes of who did not lead."""
        met = self.site.folder / "met"
        found = [f"two Terraforms: {line}" for line in met.read_text().splitlines()] if met.exists() else []
        met.unlink(missing_ok=True)
        written = await to_thread.run_sync(self.site.rows, "DELETE FROM nemesis_write RETURNING *")
        found += [
            f"{row['writer']} wrote {row['what']} while {row['holder']} had the lease ({row['leads']})"
            for row in written
            if not row["leads"] or int(row["holder"].split("/")[1]) not in self.site.programs[row["writer"]].pids
        ]
        return found


def write_wrapper(folder: Path, terraform: str) -> Path:
    """A Terraform that notes in `met` when it meets another on its state."""
    wrapper = folder / "terraform.sh"
    wrapper.write_text(TERRAFORM.format(folder=folder, terraform=terraform))
    wrapper.chmod(0o755)
    return wrapper


@contextmanager
def open_several() -> Iterator[Site]:
    """A site whose Terraform tells when it meets another, and whose database tells who writes."""
    with open_site(FEW) as site:
        wrapper = write_wrapper(site.folder, str(which("terraform")))
        site.lab.environment |= {"LABLINK_TERRAFORM": str(wrapper), **TIMES}
        triggers = [
            f"CREATE TRIGGER note AFTER INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION nemesis_note();"
            for table in LEADERS_ALONE
        ]
        with psycopg.connect(site.database.dsn) as conn:
            conn.execute("".join([AUDIT, *triggers]))
        yield site


@asynccontextmanager
async def several(site: Site) -> AsyncIterator[Rounds]:
    """Two controllers and two APIs, each with a way of its own to the database."""
    names = (*CONTROLLERS, "api-a", "api-b")
    async with AsyncExitStack() as stack:
        proxies = {name: await stack.enter_async_context(SilentProxy(site.database.dsn)) for name in names}
        for name in names:
            dsn = f"{proxies[name].dsn} application_name={name}"
            if name.startswith("api"):
                site.add_api(name, [sys.executable, "-m", "api"], LABLINK_DATABASE_DSN=dsn)
            else:
                work = str(site.folder / name)
                site.add(name, [sys.executable, "-m", "controller"], LABLINK_DATABASE_DSN=dsn, LABLINK_WORK_DIR=work)
        people = await stack.enter_async_context(meeting(site))
        rounds = Rounds(site, people, proxies, Watch(site, LEASE_S))
        await rounds.rest(FEW)
        people.size = FEW
        people.tasks.start_soon(rounds.watch.run)
        yield rounds


@contextmanager
def playing() -> Iterator[Callable[[int], Lived]]:
    """What plays the round of a seed, all of them on the same site."""
    with (
        open_several() as site,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(several(site)) as rounds,
    ):
        yield lambda seed: portal.call(rounds.play, seed)


def main() -> int:
    end_tidily()
    with playing() as play:
        return run_pieces("tests.nemesis.rounds", __doc__, play)


if __name__ == "__main__":
    sys.exit(main())
