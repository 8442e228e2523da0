-- What ended, how often and how long it took. These rows outlive the tasks that they tell of.
--
-- figure is 'task' (it came to its end), 'attempt' (one ended; ms is how long it ran) or 'wait' (one that was begun and
-- had an end of its own; ms is how long its task had waited for it). bucket says how long one took: it holds those of
-- 2^(bucket/4) ms up to 2^((bucket+1)/4) ms, and the first one all that are shorter. n counts, ms is their sum.

-- What statements that end tasks or attempts leave, a row each, in the same transaction. They only insert, so none waits
-- for another. Read once, row for row, by whoever adds them up into the table below. attempt and task say how each ended;
-- null where it did not. waiting_since is null where that is not known.
CREATE TABLE statistic_ends (
    finished_at   timestamptz NOT NULL,
    workflow_id   uuid NOT NULL,
    queue         text NOT NULL,
    attempt       text,
    task          text,
    started_at    timestamptz,
    waiting_since timestamptz
);

-- Figures: each row stands for so many minutes from `at` on. What is old is added up further.
CREATE TABLE statistics (
    minutes     smallint NOT NULL,
    at          timestamptz NOT NULL,
    workflow_id uuid NOT NULL,
    queue       text NOT NULL,
    figure      text NOT NULL,
    outcome     text NOT NULL,
    bucket      smallint NOT NULL,
    n           bigint NOT NULL,
    ms          double precision NOT NULL,
    -- The workflow's when the row was made: what is told of a source outlives both.
    source_id   uuid,
    PRIMARY KEY (minutes, at, workflow_id, queue, figure, outcome, bucket)
);

-- By which retention finds old keys; a summary of pages, so that a run with a key pays nothing for it.
CREATE INDEX idempotency_keys_by_age ON idempotency_keys USING brin (created_at) WITH (pages_per_range = 32);
