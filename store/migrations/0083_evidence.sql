-- What a VM left behind that was given up because it did not work; kept for two weeks.
CREATE TABLE evidence (
    hostname text PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    reason   text NOT NULL,
    console  text NOT NULL,  -- EC2's console output, its end
    log      text NOT NULL,  -- the last lines of its log
    run_id   bigint          -- the last Terraform run of its state
);
CREATE INDEX evidence_at ON evidence (at);
