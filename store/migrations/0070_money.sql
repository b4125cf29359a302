-- On-demand prices as AWS's Price List API gave them last.
CREATE TABLE price (
    region        text NOT NULL,
    instance_type text NOT NULL,
    usd           double precision NOT NULL CHECK (usd > 0),
    asked_at      timestamptz NOT NULL,
    PRIMARY KEY (region, instance_type)
);

-- Versions that may cost so much more than the one before that a person must say yes. A version without a row needs none.
CREATE TABLE approval (
    version     bigint PRIMARY KEY,
    cleared_usd double precision NOT NULL,
    wanted_usd  double precision NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT now(),
    approved_at timestamptz,
    approved_by text
);

CREATE INDEX vm_ended ON vm (ended_at) WHERE ended_at IS NOT NULL;
