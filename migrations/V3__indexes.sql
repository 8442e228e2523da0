-- An occurrence of a schedule makes at most one task, however many nodes run beat.
CREATE UNIQUE INDEX IF NOT EXISTS tasks_occurrence ON tasks (schedule_id, scheduled_for) WHERE scheduled_for IS NOT NULL;

-- What is pending, due, running: small whatever the size of the table.
CREATE INDEX IF NOT EXISTS tasks_pending ON tasks (pending_at, queue) WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS tasks_retrying ON tasks (next_retry_at) WHERE status = 'retrying';
CREATE INDEX IF NOT EXISTS tasks_running ON tasks (node_id) WHERE status = 'running';
-- What an overlap policy asks: only the unfinished tasks that schedules made.
CREATE INDEX IF NOT EXISTS tasks_unfinished ON tasks (schedule_id)
    WHERE schedule_id IS NOT NULL AND status IN ('pending', 'running', 'retrying');
CREATE INDEX IF NOT EXISTS schedules_due ON schedules (next_run_at) WHERE status = 'active';

-- What retention looks for among many more completed tasks.
CREATE INDEX IF NOT EXISTS tasks_not_completed ON tasks (created_at) WHERE status IN ('failed', 'cancelled');

-- Lists, newest first.
CREATE INDEX IF NOT EXISTS tasks_newest ON tasks (created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS tasks_by_workflow ON tasks (workflow_id, created_at DESC, id DESC);

CREATE INDEX IF NOT EXISTS schedules_by_workflow ON schedules (workflow_id);
CREATE INDEX IF NOT EXISTS workflow_components_by_workflow ON workflow_components (workflow_id);
CREATE INDEX IF NOT EXISTS task_logs_by_task ON task_logs (task_id, created_at);
