-- What durable execution needs beyond the Python project's columns.

-- A url of 255 characters was the old limit; a source behind a long gateway path is longer.
ALTER TABLE workflow_sources ALTER COLUMN url TYPE text;
-- What to do where it is unknown whether the source ran the flow: 'retry' or 'fail'.
ALTER TABLE workflow_sources ADD COLUMN IF NOT EXISTS unknown_policy text NOT NULL DEFAULT 'retry';
ALTER TABLE workflows ADD COLUMN IF NOT EXISTS unknown_policy text;
-- The source's url (Python kept the kind here; both fit).
ALTER TABLE workflows ALTER COLUMN source TYPE text;

ALTER TABLE schedules
    ADD COLUMN IF NOT EXISTS input_value    json,
    ADD COLUMN IF NOT EXISTS timezone       text NOT NULL DEFAULT 'UTC',
    ADD COLUMN IF NOT EXISTS missed_policy  text NOT NULL DEFAULT 'last',
    ADD COLUMN IF NOT EXISTS overlap_policy text NOT NULL DEFAULT 'allow',
    ADD COLUMN IF NOT EXISTS jitter_s       integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS expires_s      integer,
    ADD COLUMN IF NOT EXISTS queue          text NOT NULL DEFAULT 'celery',
    ADD COLUMN IF NOT EXISTS priority       smallint NOT NULL DEFAULT 5,
    ADD COLUMN IF NOT EXISTS last_run_at    timestamptz;

-- tries is the number of the newest attempt: it rises at every claim and is the fencing token of its outcome.
-- failures counts what used up a retry; lost counts attempts that ended with their child or node.
ALTER TABLE tasks
    ADD COLUMN IF NOT EXISTS result        text,
    ADD COLUMN IF NOT EXISTS queue         text NOT NULL DEFAULT 'celery',
    ADD COLUMN IF NOT EXISTS priority      smallint NOT NULL DEFAULT 5,
    ADD COLUMN IF NOT EXISTS failures      integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS lost          integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS node_id       uuid,
    ADD COLUMN IF NOT EXISTS scheduled_for timestamptz,
    ADD COLUMN IF NOT EXISTS pending_at    timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS session_id    text,
    ADD COLUMN IF NOT EXISTS timeout_s     integer;
ALTER TABLE tasks ALTER COLUMN input_data DROP NOT NULL;

-- One row an attempt, written when it ended. No foreign key: the row is only ever written by the statement that
-- moved the task, and the check would cost every task an index probe and a lock; deletes take both.
CREATE TABLE task_attempts (
    task_id         uuid NOT NULL,
    attempt         integer NOT NULL,
    status          text NOT NULL,
    code            text,
    error           text,
    outcome_unknown boolean NOT NULL DEFAULT false,
    node_id         uuid,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz NOT NULL,
    PRIMARY KEY (task_id, attempt)
);

-- One running service. scope names the kernel and pid namespace it runs in, so that a new service can tell at once
-- that a former one on the same host is gone; every other node waits for lease_until.
CREATE TABLE nodes (
    id             uuid PRIMARY KEY,
    hostname       text NOT NULL,
    scope          text NOT NULL,
    pid            integer NOT NULL,
    pid_started_at bigint NOT NULL,
    version        text NOT NULL,
    roles          text NOT NULL,
    started_at     timestamptz NOT NULL,
    heartbeat_at   timestamptz NOT NULL,
    lease_until    timestamptz NOT NULL
);

-- An occurrence that made no task, with the reason: 'missed', 'overlap', 'expired'.
CREATE TABLE schedule_skips (
    schedule_id   uuid NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    scheduled_for timestamptz NOT NULL,
    reason        text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule_id, scheduled_for)
);

CREATE TABLE idempotency_keys (
    key        text PRIMARY KEY,
    task_id    uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
