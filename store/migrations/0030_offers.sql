ALTER TABLE assignment
    ADD COLUMN code_at       timestamptz DEFAULT now(),      -- when its person gave the command; NULL: not yet
    ADD COLUMN held          boolean NOT NULL DEFAULT false, -- an admin keeps a VM for the person: never passed over, no offer runs out
    ADD COLUMN lapsed        boolean NOT NULL DEFAULT false, -- let an offer run out: nothing is offered again before a fresh command
    ADD COLUMN offered_until timestamptz,
    ADD COLUMN ends_at       timestamptz;                    -- the session's deadline
CREATE INDEX assignment_offers ON assignment (pool, offered_until) WHERE status = 'offered';
CREATE INDEX vm_started ON vm (pool, ready_at DESC) WHERE ready_at IS NOT NULL;  -- how long the last ones took
