"""Courses in the record: who is expected, who came, and how it went.

The rosters are written when their files change, a report once after a course; `store.state` reads the rest into the snapshot of a tick.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from schemas.decision import ReportCourse
from schemas.lab import COMES_EARLY
from store.db import Connection, fetch_one
from store.event import write_event

EARLY = f"interval '{COMES_EARLY.total_seconds():.0f} seconds'"

COURSES = """
SELECT c.key AS course, c.value->>'pool' AS pool, (c.value->>'from')::timestamptz AS from_at, (c.value->>'to')::timestamptz AS to_at
  FROM (SELECT document FROM desired_version ORDER BY version DESC LIMIT 1) d CROSS JOIN LATERAL json_each(d.document->'courses') c
"""

ATTENDANCE = f"""
SELECT c.course, coalesce(cardinality(r.emails), 0) AS roster,
       count(*) FILTER (WHERE a.status IN ('offered', 'active')) AS seated,
       count(*) FILTER (WHERE a.status = 'waiting') AS waiting,
       coalesce(array_agg(a.hostname) FILTER (WHERE a.status = 'active'), '{{}}') AS hosts,
       EXISTS (SELECT FROM course_report p WHERE (p.course, p.from_at) = (c.course, c.from_at)) AS reported
  FROM ({COURSES}) c
  LEFT JOIN roster r USING (course)
  LEFT JOIN assignment a ON a.pool = c.pool AND a.status <> 'ended'
        AND CASE WHEN r.emails IS NULL THEN coalesce(a.bound_at, a.created_at) >= c.from_at - {EARLY}
                 ELSE a.email = ANY(r.emails) END
 GROUP BY c.course, c.from_at, r.emails
"""

STARTS = f"""
SELECT p.pool, v.instance_type, percentile_cont(0.9) WITHIN GROUP (ORDER BY v.took) AS took
  FROM (SELECT DISTINCT pool FROM ({COURSES}) c) p
 CROSS JOIN LATERAL (SELECT spec->>'instance_type' AS instance_type, extract(epoch FROM ready_at - created_at)::float8 AS took
                       FROM vm WHERE vm.pool = p.pool AND ready_at IS NOT NULL ORDER BY ready_at DESC LIMIT 50) v
 GROUP BY p.pool, v.instance_type
"""

PUT_ROSTER = """
INSERT INTO roster AS r (course, emails) VALUES (%s, %s)
ON CONFLICT (course) DO UPDATE SET emails = excluded.emails WHERE r.emails <> excluded.emails
"""
FORGET_ROSTERS = "DELETE FROM roster WHERE course <> ALL(%s)"


async def put_rosters(conn: Connection, rosters: Mapping[str, Sequence[str] | None]) -> None:
    """Who is expected in each course, by email; None for a file that cannot be read any more: its course keeps whom it had.

    Courses that are not named have no roster.
    """
    await conn.execute(FORGET_ROSTERS, (list(rosters),))
    for course, emails in rosters.items():
        if emails is not None:
            await conn.execute(PUT_ROSTER, (course, list(emails)))


EXPECTED = 10  # the priority of those on the roster; others have 100, and the smaller comes first
RESERVE = f"""
WITH expected AS (
    SELECT DISTINCT e.email FROM roster r JOIN ({COURSES}) c USING (course) CROSS JOIN LATERAL unnest(r.emails) AS e (email)
     WHERE c.pool = %(pool)s AND now() >= c.from_at - {EARLY} AND now() < c.to_at
), first AS (
    UPDATE assignment a SET priority = {EXPECTED} FROM expected e
     WHERE a.email = e.email AND a.pool = %(pool)s AND a.status = 'waiting' AND a.priority > {EXPECTED}
)
SELECT count(*)::int AS seats FROM expected e
 WHERE NOT EXISTS (SELECT FROM assignment a WHERE a.email = e.email AND a.status IN ('offered', 'active'))
"""


async def reserve_seats(conn: Connection, pool: str) -> int:
    """How many free seats of a pool are kept for people of a roster who have none yet, from half an hour before their course to its end.

    Those of them who wait go to the head of the line. The caller holds the pool's lock.
    """
    row = await fetch_one(conn, RESERVE, {"pool": pool})
    return int(row["seats"]) if row else 0


FIGURES = f"""
WITH people AS (
    SELECT a.* FROM assignment a LEFT JOIN roster r ON r.course = %(course)s
     WHERE a.pool = %(pool)s AND a.created_at < %(to_at)s AND coalesce(a.ended_at, 'infinity') > %(from_at)s - {EARLY}
       AND CASE WHEN r.emails IS NULL THEN a.created_at >= %(from_at)s - {EARLY} ELSE a.email = ANY(r.emails) END
), vms AS (
    SELECT v.* FROM vm v WHERE v.pool = %(pool)s AND v.created_at BETWEEN %(from_at)s - interval '1 day' AND %(to_at)s
)
SELECT count(DISTINCT email)::int AS arrivals,
       count(DISTINCT email) FILTER (WHERE bound_at IS NULL)::int AS never_seated,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM bound_at - created_at)::float8) AS wait_p50_s,
       max(extract(epoch FROM bound_at - created_at))::float8 AS wait_max_s,
       (SELECT count(*)::int FROM vms) AS vms_made,
       (SELECT count(*)::int FROM vms WHERE reason LIKE 'failed:%%') AS vms_failed,
       (SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM ready_at - created_at)::float8)
          FROM vms WHERE ready_at IS NOT NULL) AS start_p90_s
  FROM people
"""
KEEP = (
    "INSERT INTO course_report (course, from_at, figures) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING course"
)


async def report_courses(conn: Connection, reports: Sequence[ReportCourse]) -> list[str]:
    """Works out how these courses went, keeps the figures, and tells them in an event of its own. Answers with no names."""
    for report in reports:
        figures = dict(
            await fetch_one(conn, FIGURES, report.model_dump(include={"course", "pool", "from_at", "to_at"})) or {}
        )
        if await fetch_one(conn, KEEP, (report.course, report.from_at, Jsonb(figures))):
            await write_event(
                conn, "controller", f"course/{report.course}", "CourseReport", _tell(report, figures), figures
            )
    return []


def _tell(report: ReportCourse, figures: Mapping[str, Any]) -> str:
    arrivals, lacking = figures["arrivals"], figures["never_seated"]
    sentences = [f"{report.seats} seats, {arrivals} came, {lacking} of them got none"]
    if figures["wait_max_s"] is not None:
        sentences.append(f"waits of {figures['wait_p50_s']:.0f} s (median) and {figures['wait_max_s']:.0f} s (longest)")
    made = f"{figures['vms_made']} VMs were made, {figures['vms_failed']} failed"
    if figures["start_p90_s"] is not None:
        made += f", nine of ten were ready within {figures['start_p90_s'] / 60:.1f} min"
    sentences.append(made)
    if lacking or arrivals > report.seats:
        sentences.append(f"next time declare {max(arrivals, report.seats + lacking)} seats")
    elif arrivals < 0.8 * report.seats:
        sentences.append(f"next time {max(1, round(arrivals * 1.1))} seats would do")
    return "; ".join(sentences)
