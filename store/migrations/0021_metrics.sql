-- Gauges of VMs as a short history, in daily partitions (`store.partition`); and the instants of a start, for a time line.
CREATE TABLE vm_metric (
    at       timestamptz NOT NULL,  -- the beginning of its slot
    hostname text COLLATE "C" NOT NULL,
    gauges   jsonb NOT NULL,
    PRIMARY KEY (hostname, at)
) PARTITION BY RANGE (at);

ALTER TABLE vm
    ADD COLUMN cloud_init_started_at timestamptz,
    ADD COLUMN cloud_init_ended_at   timestamptz,
    ADD COLUMN container_started_at  timestamptz,
    ADD COLUMN container_ended_at    timestamptz;
