-- Limits of sources and workflows, and the circuit breakers of sources.

-- What tasks of a source or a workflow have to pass before they start; id is the source's or the workflow's. Most have
-- no row. No foreign key, since it may be either: whoever deletes them deletes this.
CREATE TABLE gates (
    id              uuid PRIMARY KEY,
    max_concurrency integer CHECK (max_concurrency > 0),
    rate            text,
    -- When the next start is due if starts keep their distance; only where there is a rate.
    next_start_at   timestamptz,
    -- Sources only.
    circuit         text NOT NULL DEFAULT 'closed' CHECK (circuit IN ('closed', 'open', 'half_open')),
    failures        integer NOT NULL DEFAULT 0,
    openings        integer NOT NULL DEFAULT 0,
    until           timestamptz,
    reason          text,
    -- The attempt that finds out whether the source is back.
    probe           uuid,
    probe_attempt   integer
);

-- A pending task that waits at a gate: it is in no mailbox until it is called.
ALTER TABLE tasks ADD COLUMN parked boolean NOT NULL DEFAULT false;
CREATE INDEX tasks_parked ON tasks (workflow_id, priority DESC, pending_at, id) WHERE status = 'pending' AND parked;
