-- VMs that go from one person to the next (`session.after`): the reporter makes them ready again.
ALTER TABLE vm
    ADD COLUMN renewal_key    text,         -- SHA-256 of what the VM's host alone knows, said before it had a person; NULL: it cannot be renewed
    ADD COLUMN renewing       text CHECK (renewing IN ('reboot', 'keep')),  -- what is to be done with it; NULL: nothing
    ADD COLUMN renewing_since timestamptz CHECK ((renewing IS NULL) = (renewing_since IS NULL)),
    ADD COLUMN renewed_at     timestamptz;  -- when its host was given the new token, after which only the new container can call
