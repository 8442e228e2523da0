-- What became of every occurrence of a schedule.

-- The first occurrence that a paused schedule has made nothing of. When it goes on, what was missed is counted from here.
ALTER TABLE schedules ADD COLUMN resume_from timestamptz;

-- A task of a schedule that has not started by then is called off.
ALTER TABLE tasks ADD COLUMN expires_at timestamptz;
CREATE INDEX tasks_expiring ON tasks (expires_at) WHERE status = 'pending' AND tries = 0 AND expires_at IS NOT NULL;

-- How many occurrences before it a note stands for, besides its own. It was part of the reason.
ALTER TABLE schedule_skips ADD COLUMN earlier bigint NOT NULL DEFAULT 0;
UPDATE schedule_skips
   SET earlier = substring(reason FROM '\(and (\d+) earlier\)')::bigint, reason = split_part(reason, ' ', 1)
 WHERE reason ~ '\(and \d+ earlier\)';
