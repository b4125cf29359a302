CREATE TABLE deployment (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    id           uuid NOT NULL DEFAULT gen_random_uuid(),
    account_id   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    conditions   jsonb NOT NULL DEFAULT '{}',
    file_hash    text,      -- lablink.yaml as last seen
    file_version bigint,    -- the desired version that the file was then equal to
    file_text    text       -- a file that could not be taken (conflict), kept until it is resolved
);
INSERT INTO deployment DEFAULT VALUES;

CREATE TABLE desired_version (
    version  bigint PRIMARY KEY,  -- no identity: its numbers jump after a crash, and people type these
    at       timestamptz NOT NULL DEFAULT now(),
    author   text NOT NULL,
    source   text NOT NULL CHECK (source IN ('file', 'ui', 'api', 'rollback')),
    yaml     text NOT NULL,
    document json NOT NULL  -- not jsonb, which would reorder the pools
);

CREATE TABLE pool (
    name                text PRIMARY KEY,
    generation          bigint NOT NULL DEFAULT 1,
    observed_generation bigint NOT NULL DEFAULT 0,
    spec                jsonb NOT NULL DEFAULT '{}',  -- the declaration that `generation` counts
    counter             integer NOT NULL DEFAULT 0,
    shards              integer NOT NULL DEFAULT 0,
    removed             boolean NOT NULL DEFAULT false,
    ami                 text,
    ami_source          text,
    startup_script      text NOT NULL DEFAULT '',
    failures            integer NOT NULL DEFAULT 0,
    failed_at           timestamptz,
    failure             text,
    batch               integer,
    conditions          jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE base (
    pool         text NOT NULL,
    region       text NOT NULL,
    wanted       boolean NOT NULL DEFAULT true,
    applied_hash text,
    outputs      jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (pool, region)
);

CREATE TABLE vm (
    hostname      text PRIMARY KEY,
    pool          text NOT NULL,
    region        text NOT NULL,
    shard         integer NOT NULL,
    generation    bigint NOT NULL,
    spec_hash     text NOT NULL,
    spec          jsonb NOT NULL,
    phase         text NOT NULL CHECK (phase IN ('planned', 'live', 'draining', 'lost', 'gone')),
    in_state      boolean NOT NULL DEFAULT false,
    version       bigint NOT NULL DEFAULT 1,
    token_version integer NOT NULL DEFAULT 1,
    reason        text NOT NULL DEFAULT '',
    instance_id   text,
    public_ip     text,
    private_ip    text,
    zone          text,
    cordoned      boolean NOT NULL DEFAULT false,
    status        text,
    gpu_health    text,
    in_use        boolean NOT NULL DEFAULT false,
    reporter      boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    applied_at    timestamptz,
    launched_at   timestamptz,
    ready_at      timestamptz,
    started_at    timestamptz,
    ended_at      timestamptz,
    terraform_s   double precision,
    cloud_init_s  double precision,
    container_s   double precision
);
CREATE INDEX vm_present ON vm (pool, region, shard) WHERE phase <> 'gone';
CREATE INDEX vm_instance ON vm (instance_id) WHERE instance_id IS NOT NULL;

-- Apart from vm, so that a heartbeat locks nothing that a binding wants.
CREATE TABLE vm_heard (
    hostname text PRIMARY KEY,
    heard_at timestamptz NOT NULL,
    address  text,
    gauges   jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 70);

-- Written by bind, release and drain alone; no foreign key may point here (its lock would read as "none free").
CREATE TABLE seat (
    hostname      text PRIMARY KEY,
    pool          text NOT NULL,
    state         text NOT NULL DEFAULT 'closed' CHECK (state IN ('closed', 'free', 'taken', 'draining')),
    assignment_id uuid UNIQUE,
    free_since    timestamptz,
    CHECK ((state = 'taken') = (assignment_id IS NOT NULL))
);
CREATE INDEX seat_free ON seat (pool, free_since, hostname) WHERE state = 'free';

CREATE TABLE assignment (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq               bigint GENERATED ALWAYS AS IDENTITY,
    pool              text NOT NULL,
    email             text NOT NULL,
    status            text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'offered', 'active', 'ended')),
    priority          integer NOT NULL DEFAULT 100,
    hostname          text,
    crd_code          text NOT NULL,
    pin               text NOT NULL,
    code_version      integer NOT NULL DEFAULT 1,
    delivered_version integer NOT NULL DEFAULT 0,
    created_at        timestamptz NOT NULL DEFAULT now(),
    seen_at           timestamptz NOT NULL DEFAULT now(),
    bound_at          timestamptz,
    ended_at          timestamptz,
    end_reason        text
);
CREATE UNIQUE INDEX assignment_one_per_vm ON assignment (hostname) WHERE status IN ('offered', 'active');
CREATE UNIQUE INDEX assignment_one_per_email ON assignment (email) WHERE status <> 'ended';
CREATE INDEX assignment_queue ON assignment (pool, priority, seq) WHERE status = 'waiting';

-- What EC2's whole listings said, written only when it changed.
CREATE TABLE instance (
    instance_id   text PRIMARY KEY,
    region        text NOT NULL,
    hostname      text,
    pool          text,
    generation    bigint,
    state         text NOT NULL,
    instance_type text NOT NULL,
    image_id      text NOT NULL,
    zone          text,
    public_ip     text,
    private_ip    text,
    launched_at   timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL,
    missing_since timestamptz,
    verdict       text
);

CREATE TABLE refusal (
    region        text NOT NULL,
    zone          text NOT NULL,
    instance_type text NOT NULL,
    refused_at    timestamptz NOT NULL,
    PRIMARY KEY (region, zone, instance_type)
);

CREATE TABLE run (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state_key   text NOT NULL,
    pool        text NOT NULL,
    token       bigint NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    must_end_by timestamptz NOT NULL,
    ended_at    timestamptz,
    outcome     text NOT NULL DEFAULT 'running'
                CHECK (outcome IN ('running', 'succeeded', 'failed', 'interrupted', 'refused')),
    cause       text,
    message     text,
    creates     integer NOT NULL DEFAULT 0,
    imports     integer NOT NULL DEFAULT 0,
    deletes     integer NOT NULL DEFAULT 0,
    plan        jsonb,
    applying_at timestamptz,  -- when its plan was let through; NULL: nothing was ever changed by it
    output      text NOT NULL DEFAULT ''
);
CREATE INDEX run_of_state ON run (state_key, id DESC);
CREATE INDEX run_open ON run (id) WHERE ended_at IS NULL;

-- Terraform's states (backend "database"), encrypted; the lock id is the fencing token of a run.
CREATE TABLE tf_state (
    state_key  text PRIMARY KEY,
    serial     bigint,
    content    bytea,
    lock_token bigint,
    lock_run   bigint,
    lock_info  jsonb,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE lease (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    token      bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

-- API processes that are up: silence counts only while somebody could be heard.
CREATE TABLE api_process (
    id       uuid PRIMARY KEY,
    up_since timestamptz NOT NULL,
    seen_at  timestamptz NOT NULL
);

CREATE TABLE event (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    actor   text NOT NULL,
    subject text NOT NULL,
    reason  text NOT NULL,
    message text NOT NULL,
    detail  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX event_of_subject ON event (subject, id DESC);

-- Snapshot and decision of every tick that changed something, so that they can be explained and replayed.
CREATE TABLE tick (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    snapshot bytea NOT NULL,
    decision bytea NOT NULL
);
CREATE INDEX tick_at ON tick (at);

CREATE TABLE secret (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE vm_log (
    id       bigint GENERATED ALWAYS AS IDENTITY,
    hostname text NOT NULL,
    event_id text NOT NULL,
    at       timestamptz NOT NULL,
    line     text NOT NULL,
    PRIMARY KEY (hostname, event_id, at)
);
CREATE INDEX vm_log_read ON vm_log (hostname, at, id);
