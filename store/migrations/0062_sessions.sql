ALTER TABLE assignment
    ADD COLUMN IF NOT EXISTS ends_at timestamptz,  -- the session's deadline; an extension pushes it
    ADD COLUMN warning         text NOT NULL DEFAULT '',  -- why and when the session is going to end, for its person
    ADD COLUMN warning_ends_at timestamptz;        -- the deadline that the warning names; nobody is ended before it

-- Since when the software does not run; NULL: it runs, or nobody has said.
ALTER TABLE vm ADD COLUMN idle_since timestamptz;

-- When the GPU was last seen to work.
ALTER TABLE vm_heard ADD COLUMN gpu_active_at timestamptz;
