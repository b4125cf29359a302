"""The rules of ARCHITECTURE.md, watched by other code than that which keeps them: at each launch, end and apply, each minute, and at the end.

Reads what is committed by a connection of its own. Whatever is wrong is blamed on the seed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from schemas.lab import Lab
from tests.simulation.cloud import Cloud, Instance
from tests.simulation.tfstate import ADDRESS

REMEMBERED_S = 1800.0  # what was declared so long ago may still be carried out, when a controller was away
ROW = """
SELECT v.phase, v.instance_id, a.email FROM vm v LEFT JOIN assignment a ON a.hostname = v.hostname AND a.status = 'active'
 WHERE v.hostname = %s
"""
TORN = """
SELECT a.email FROM assignment a LEFT JOIN seat s ON s.assignment_id = a.id
 WHERE a.status IN ('offered', 'active') AND s.hostname IS DISTINCT FROM a.hostname
UNION ALL
SELECT s.hostname FROM seat s LEFT JOIN assignment a ON a.id = s.assignment_id
 WHERE s.state = 'taken' AND (a.status IN ('offered', 'active')) IS NOT TRUE
"""
OPEN_RUNS = "SELECT state_key FROM run WHERE ended_at IS NULL GROUP BY state_key HAVING count(*) > 1"


@dataclass
class Checks:
    cloud: Cloud
    conn: psycopg.Connection[Any]
    declared: list[tuple[float, Lab]] = field(default_factory=list)
    versions: dict[int, str] = field(default_factory=dict)  # accepted, with their texts
    promised: dict[str, str] = field(default_factory=dict)  # people who were told that they have a place, and its id
    applying: Counter[str] = field(default_factory=Counter)

    def read(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        return self.conn.execute(sql.encode(), params).fetchall()

    # -- while it goes on -------------------------------------------------------------------------

    def launched(self, made: Instance) -> None:
        stage, at = self.cloud.stage, self.cloud.stage.at
        twins = [one for one in self.cloud.existing() if one.hostname == made.hostname]
        if twins:
            stage.blame(f"{made.hostname} is launched although {twins[0].instance_id} exists under that name")
        rows = self.read(ROW, made.hostname)
        if not rows or rows[0][0] == "gone":
            stage.blame(f"{made.hostname} is launched and is no row")
        pool = made.tags["lablink:pool"]
        present = 1 + sum(one.tags.get("lablink:pool") == pool for one in self.cloud.existing())
        if present > (most := self._ceiling(pool, at)):
            stage.blame(f"{pool} has {present} instances, above its ceiling of {most}")

    def _ceiling(self, pool: str, at: float) -> int:
        """The highest that was in force within the time that what was decided may take."""
        most = 0
        ends = [begins for begins, _ in self.declared[1:]] + [at]
        for (_, lab), end in zip(self.declared, ends, strict=True):
            if end >= at - REMEMBERED_S and pool in lab.pools:
                size = lab.pools[pool].size
                top = size if isinstance(size, int) else size.max
                most = max(most, top + lab.pools[pool].update.surge)
        return most

    def ending(self, one: Instance, by: str) -> None:
        for _phase, instance_id, email in self.read(ROW, one.hostname):
            if email and instance_id == one.instance_id:
                self.cloud.stage.blame(f"{one.hostname} is ended by {by} although {email} has it")

    def applies(self, state_key: str, changes: Sequence[Mapping[str, Any]]) -> None:
        self.applying[state_key] += 1
        if self.applying[state_key] > 1:
            self.cloud.stage.blame(f"two Terraforms apply {state_key}")
        for change in changes:
            hostname = (ADDRESS.fullmatch(change["address"]) or ("", "", "", None))[3]
            if change["type"] == "aws_instance" and change["change"]["actions"] == ["delete"]:
                (row,) = self.read(ROW, hostname) or [("no row", None, None)]
                if row[0] not in ("draining", "lost", "gone"):
                    self.cloud.stage.blame(f"Terraform deletes {hostname}, which is {row[0]}")

    def applied(self, state_key: str) -> None:
        self.applying[state_key] -= 1

    # -- now and then -----------------------------------------------------------------------------

    def look(self) -> None:
        """What has to hold in every committed state of the database."""
        for (subject,) in self.read(TORN):
            self.cloud.stage.blame(f"seat and assignment of {subject} do not agree")
        for (state_key,) in self.read(OPEN_RUNS):
            self.cloud.stage.blame(f"two open runs of {state_key}")
        known = {str(row[0]): row[1] for row in self.read("SELECT id, email FROM assignment")}
        for email, promised in self.promised.items():
            if known.get(promised) != email:
                self.cloud.stage.blame(f"the place that {email} was told of is not in the record")
        texts = {row[0]: row[1] for row in self.read("SELECT version, yaml FROM desired_version")}
        for version, text in self.versions.items():
            if texts.get(version) != text:
                self.cloud.stage.blame(f"version {version}, which was accepted, is not in the record")

    # -- at the end -------------------------------------------------------------------------------

    def find_unrest(self) -> list[str]:
        """What is not yet as it is declared; nothing: the fleet is at rest."""
        (_, lab), found = self.declared[-1], []
        rows = self.read("SELECT hostname, pool, phase, in_state, instance_id FROM vm WHERE phase <> 'gone'")
        ids = {row[4]: row[0] for row in rows}
        strange = [one for one in self.cloud.existing() if ids.get(one.instance_id) != one.hostname]
        found += [f"{one.instance_id} ({one.hostname}) is no row's instance" for one in strange]
        found += [f"{one.hostname} is {one.health}" for one in self.cloud.existing() if one.health != "well"]
        found += [f"{one.hostname} is stopped" for one in self.cloud.existing() if one.stopped]
        found += [f"{one.hostname} is ending" for one in self.cloud.existing() if one.ends_at is not None]
        existing = {one.instance_id for one in self.cloud.existing()}
        found += [
            f"{hostname} is {phase}, {'in' if in_state else 'out of'} its state"
            for hostname, _, phase, in_state, instance_id in rows
            if phase != "live" or not in_state or instance_id not in existing
        ]
        counted = Counter(row[1] for row in rows)
        for name in {*lab.pools, *counted}:
            least, most = _bounds(lab, name)
            if not least <= counted[name] <= most:
                found.append(f"{name} has {counted[name]} VMs instead of {least} to {most}")
        found += [f"a run of {row[0]} is open" for row in self.read("SELECT state_key FROM run WHERE ended_at IS NULL")]
        found += [
            f"the base of {row[0]} is there" for row in self.read("SELECT pool FROM base") if row[0] not in lab.pools
        ]
        found += [f"{row[0]} was released" for row in self.read("SELECT hostname FROM seat WHERE state = 'draining'")]
        behind = "SELECT name FROM pool WHERE NOT removed AND observed_generation < generation"
        return sorted(found + [f"{row[0]} is not observed" for row in self.read(behind)])

    def count_runs(self) -> int:
        return int(self.read("SELECT count(*) FROM run")[0][0])

    def describe(self) -> list[str]:
        """What the record says, for who looks into a seed."""
        vms = """SELECT v.hostname, v.phase, v.status, v.in_state, v.created_at, v.launched_at, v.ready_at, h.heard_at, s.state
                   FROM vm v LEFT JOIN vm_heard h USING (hostname) LEFT JOIN seat s USING (hostname) WHERE v.phase <> 'gone'"""
        asked = "SELECT name, conditions, batch, failures, failed_at FROM pool"
        events = "SELECT at, subject, reason, message FROM event ORDER BY id DESC LIMIT 25"
        return [str(row) for sql in (vms, asked, events) for row in self.read(sql)]

    def find_called(self) -> list[str]:
        """Conditions by which a person has been called, who alone can go on."""
        sql = """SELECT name, c.key FROM pool, jsonb_each(conditions) c WHERE (c.value->>'status')::bool
                    AND c.key IN ('TooManyUnhealthy', 'FleetSuspect', 'UpdateStalled', 'Stalled') ORDER BY 1, 2"""
        return [f"{name}: {kind}" for name, kind in self.read(sql)]


def _bounds(lab: Lab, pool: str) -> tuple[int, int]:
    if pool not in lab.pools:
        return 0, 0
    size = lab.pools[pool].size
    alone = size if isinstance(size, int) else min(max(size.min, size.spare), size.max)  # nobody is there any more
    return alone, alone
