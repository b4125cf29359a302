-- A wish that the controller fulfils: reboot this VM, once. Fulfilled when rebooted_at is not older than the wish.
ALTER TABLE vm ADD COLUMN reboot_asked_at timestamptz, ADD COLUMN rebooted_at timestamptz;

-- What a list of ticks shows, so that it need not unpack each.
ALTER TABLE tick ADD COLUMN version bigint, ADD COLUMN actions integer;

-- The host key that a VM showed when the allocator first came to it by SSH; another one later is somebody else.
CREATE TABLE ssh_host_key (
    hostname  text PRIMARY KEY,
    key       text NOT NULL,
    pinned_at timestamptz NOT NULL DEFAULT now()
);
