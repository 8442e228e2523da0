-- The name of the adapter that describes a source of type 'http'; null for all other types.
ALTER TABLE workflow_sources ADD COLUMN IF NOT EXISTS adapter text;
