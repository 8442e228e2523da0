-- What may expire, found in its order. The index before it named the status, as that of all pending tasks does: so the
-- planner, when it had seen few of them, took that one and read everything that waits. What has not begun and not ended is
-- pending. A version before this one does without.
DROP INDEX tasks_expiring;
CREATE INDEX tasks_to_expire ON tasks (expires_at) WHERE expires_at IS NOT NULL AND tries = 0 AND finished_at IS NULL;
