"""Facts about people, times and places that policy decides by, each one statement over all pools.

Read by `store.state` into the snapshot of a tick; nothing is written for them.
"""

from schemas.pool import GIVEN_UP_FOR, LATELY

ASKED = f"""
SELECT pool, sum(waiting)::int AS waiting, sum(gone)::int AS "left", min(left_at) AS left_at
  FROM (SELECT pool, 1 AS waiting, 0 AS gone, NULL AS left_at FROM assignment WHERE status = 'waiting'
        UNION ALL
        SELECT pool, 0, 1, ended_at FROM assignment
         WHERE status = 'ended' AND ended_at > now() - interval '{LATELY.total_seconds():.0f} seconds') AS one
 GROUP BY pool
"""

GIVEN_UP = f"""
SELECT pool, spec_hash, count(*)::int AS number, min(coalesce(ended_at, now())) AS first_at
  FROM vm
 WHERE (phase = 'draining' OR phase = 'gone' AND ended_at > now() - interval '{GIVEN_UP_FOR.total_seconds():.0f} seconds')
   AND reason ~ '^(failed|silent|stopped):'
 GROUP BY pool, spec_hash ORDER BY pool, spec_hash
"""
