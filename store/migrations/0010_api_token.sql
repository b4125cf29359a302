CREATE TABLE api_token (
    name         text PRIMARY KEY,
    scope        text NOT NULL CHECK (scope IN ('read', 'operate', 'admin')),
    digest       bytea NOT NULL UNIQUE,  -- SHA-256 of 256 drawn bits: nothing to salt, nothing to stretch
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz
);
