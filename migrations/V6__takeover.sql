-- A database that the Python service made becomes one of ours. What SQL can say is here; what its rows mean is decided
-- by `domain/takeover` and written by `store/takeover`, once, for each row of `takeovers` that is not finished.

-- Columns that its older schema versions lack. Rows that are there get no invented time: the takeover fills it in.
ALTER TABLE workflow_sources ADD COLUMN IF NOT EXISTS name varchar(255);
ALTER TABLE workflows
    ADD COLUMN IF NOT EXISTS liked boolean DEFAULT false,
    ADD COLUMN IF NOT EXISTS tags json,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz;
ALTER TABLE schedules ADD COLUMN IF NOT EXISTS params json;

-- Defaults that its models keep in Python: tables made by `create_all` have none.
ALTER TABLE workflow_sources
    ALTER COLUMN status SET DEFAULT 'active',
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE workflows
    ALTER COLUMN flow_version SET DEFAULT 1,
    ALTER COLUMN is_component SET DEFAULT false,
    ALTER COLUMN liked SET DEFAULT false,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE schedules
    ALTER COLUMN status SET DEFAULT 'active',
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE tasks
    ALTER COLUMN status SET DEFAULT 'pending',
    ALTER COLUMN tries SET DEFAULT 0,
    ALTER COLUMN max_retries SET DEFAULT 3,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE task_logs ALTER COLUMN created_at SET DEFAULT now();

-- status_reason: why a schedule is in its status, where nobody chose it. is_ours: whether a statement of Spark's has
-- written the row; a Python service that works on the database again leaves rows where it is false.
ALTER TABLE schedules
    ADD COLUMN status_reason text,
    ADD COLUMN is_ours boolean NOT NULL DEFAULT false;

-- The same flow of two sources is two workflows; synced again it is the same one. The Python service could sync a flow
-- twice: both workflows stay, with their tasks and schedules, and the one that was synced last is updated from now on.
ALTER TABLE workflows ADD COLUMN duplicate_of uuid;
WITH ranked AS (
    SELECT id, first_value(id) OVER (
               PARTITION BY workflow_source_id, remote_flow_id ORDER BY updated_at DESC NULLS LAST, id) AS kept
      FROM workflows WHERE workflow_source_id IS NOT NULL
)
UPDATE workflows w SET duplicate_of = ranked.kept FROM ranked WHERE ranked.id = w.id AND ranked.kept <> w.id;
DROP INDEX IF EXISTS workflows_remote;
CREATE UNIQUE INDEX workflows_remote ON workflows (workflow_source_id, remote_flow_id) WHERE duplicate_of IS NULL;

-- A takeover. One that is not finished is done, or done again from the start, by the next `db upgrade` or start.
CREATE TABLE takeovers (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_version text NOT NULL,
    started_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz
);

-- What a takeover changed in the rows it found, with what was there before: to be looked up, and to be undone by hand.
CREATE TABLE takeover_changes (
    takeover_id bigint NOT NULL REFERENCES takeovers (id) ON DELETE CASCADE,
    entity      text NOT NULL,
    entity_id   uuid NOT NULL,
    field       text NOT NULL,
    former      text,
    reason      text NOT NULL
);
CREATE INDEX takeover_changes_by_entity ON takeover_changes (entity_id);

-- Its mark is a foreign key that no table of ours ever had: tasks outlive their schedules here.
DO $$
DECLARE
    versions text := 'without alembic_version';
    found    record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conrelid = 'tasks'::regclass
                   AND confrelid = 'schedules'::regclass) THEN
        UPDATE schedules SET is_ours = true;
        RETURN;
    END IF;
    IF to_regclass('alembic_version') IS NOT NULL THEN
        EXECUTE 'SELECT coalesce(string_agg(version_num, '' and '' ORDER BY version_num), ''none'') FROM alembic_version'
           INTO versions;
    END IF;
    INSERT INTO takeovers (schema_version) VALUES (versions);
    -- The foreign keys that would keep a schedule from being deleted while its tasks stay, and a task because a worker
    -- of the Python service ran it last.
    FOR found IN
        SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
         WHERE contype = 'f' AND ((conrelid = 'tasks'::regclass AND confrelid = 'schedules'::regclass)
                               OR (conrelid = 'workers'::regclass AND confrelid = 'tasks'::regclass))
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.of_table, found.conname);
    END LOOP;
END
$$;
