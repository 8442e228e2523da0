-- Keys of the API. hash is the SHA-256 of the key; the key itself is nowhere. prefix is its visible beginning.
CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    prefix       text NOT NULL,
    hash         bytea NOT NULL CONSTRAINT api_keys_hash UNIQUE,
    scope        text NOT NULL CHECK (scope IN ('read', 'run', 'admin')),
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
-- A name means one key; the name of a revoked one is free again.
CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_at IS NULL;

-- Who changed what over the API. No foreign keys: a row outlives what it tells of.
CREATE TABLE audit (
    id          uuid PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    key_id      uuid,
    remote      inet,
    action      text NOT NULL,
    entity_type text NOT NULL,
    entity_id   text,
    summary     jsonb NOT NULL,
    status      smallint NOT NULL
);
CREATE INDEX audit_newest ON audit (at DESC, id DESC);
CREATE INDEX audit_by_entity ON audit (entity_id, at DESC, id DESC);
