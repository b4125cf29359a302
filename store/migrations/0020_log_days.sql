-- Log lines in daily partitions, so that old ones go by dropping a table. `store.partition` makes and drops the days.
ALTER TABLE vm_log RENAME TO vm_log_before;
ALTER TABLE vm_log_before DROP CONSTRAINT vm_log_pkey;
DROP INDEX vm_log_read;

CREATE TABLE vm_log (
    number   bigint NOT NULL,            -- counts the lines of a VM as they came in: the cursor of readers
    at       timestamptz NOT NULL,       -- CloudWatch's time, kept inside the days that there are
    hostname text COLLATE "C" NOT NULL,  -- "C": compared by bytes, whatever the language of the database
    event_id text COLLATE "C" NOT NULL,
    line     text NOT NULL,
    PRIMARY KEY (hostname, event_id, at)
) PARTITION BY RANGE (at);
CREATE INDEX vm_log_text ON vm_log (hostname, at, number);
CREATE INDEX vm_log_number ON vm_log (hostname, number);

-- One row a VM: who writes its lines holds the row's lock, so numbers become visible in their order.
CREATE TABLE vm_log_head (
    hostname  text COLLATE "C" PRIMARY KEY,
    number    bigint NOT NULL DEFAULT 0,  -- the last one given
    first_at  timestamptz,
    last_at   timestamptz,
    day       date,                       -- what was stored on this day (UTC), for the limit of a VM
    day_lines bigint NOT NULL DEFAULT 0,
    day_bytes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

DO $$
DECLARE
    day date;
BEGIN
    FOR day IN SELECT DISTINCT (at AT TIME ZONE 'UTC')::date FROM vm_log_before WHERE at > now() - interval '30 days' LOOP
        EXECUTE format('CREATE TABLE vm_log_%s PARTITION OF vm_log FOR VALUES FROM (%L) TO (%L)',
                       to_char(day, 'YYYYMMDD'), day || ' 00:00+00', (day + 1) || ' 00:00+00');
    END LOOP;
END $$;

INSERT INTO vm_log (number, at, hostname, event_id, line)
SELECT row_number() OVER (PARTITION BY hostname ORDER BY id), at, hostname, event_id, line
  FROM vm_log_before WHERE at > now() - interval '30 days';
INSERT INTO vm_log_head (hostname, number, first_at, last_at)
SELECT hostname, max(number), min(at), max(at) FROM vm_log GROUP BY hostname;
DROP TABLE vm_log_before;
