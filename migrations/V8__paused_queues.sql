-- Queues from which no node claims. A name may stand here before any task has it.
CREATE TABLE paused_queues (
    name      text PRIMARY KEY,
    paused_at timestamptz NOT NULL
);
