-- When AWS takes a spot instance back, as its metadata told the VM's reporter.
ALTER TABLE vm ADD COLUMN reclaim_at timestamptz;

-- Spot and on-demand machines run out apart; and a quota that is used up is not a lack of machines.
ALTER TABLE refusal
    ADD COLUMN market text NOT NULL DEFAULT 'on-demand',
    ADD COLUMN cause  text NOT NULL DEFAULT 'capacity' CHECK (cause IN ('capacity', 'quota')),
    DROP CONSTRAINT refusal_pkey,
    ADD PRIMARY KEY (region, zone, instance_type, market);
