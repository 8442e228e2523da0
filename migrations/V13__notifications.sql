-- Who is told of what. encrypted_secret is sealed as the keys of sources are. workflow_id narrows it to one workflow;
-- queue to one queue.
CREATE TABLE notifications (
    id               uuid PRIMARY KEY,
    name             text NOT NULL CONSTRAINT notifications_name UNIQUE,
    url              text NOT NULL,
    encrypted_secret text NOT NULL,
    events           text[] NOT NULL,
    workflow_id      uuid REFERENCES workflows (id) ON DELETE CASCADE,
    queue            text,
    queue_depth      integer,
    queue_age_s      integer,
    is_active        boolean NOT NULL DEFAULT true,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);

-- What is to be sent, and what came of it. Its id is the same for every try. Written with the change it tells of.
-- next_try_at is null once it was delivered or given up; a sender moves it on by its lease before it sends, so that
-- several nodes send one, and a sender that dies is followed by another. No foreign key: the statement that ends tasks
-- must not wait for, nor fail because of, somebody who deletes a notification meanwhile.
CREATE TABLE notification_deliveries (
    id              uuid PRIMARY KEY,
    notification_id uuid NOT NULL,
    event           text NOT NULL,
    body            text NOT NULL,
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'given_up')),
    tries           integer NOT NULL DEFAULT 0,
    next_try_at     timestamptz,
    last_status     smallint,
    last_error      text,
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz
);
CREATE INDEX notification_deliveries_due ON notification_deliveries (notification_id, next_try_at)
    WHERE next_try_at IS NOT NULL;
CREATE INDEX notification_deliveries_newest ON notification_deliveries (notification_id, created_at DESC, id DESC);
CREATE INDEX notification_deliveries_by_age ON notification_deliveries USING brin (created_at);

-- What is the case now, of the things that are told of when they change. A row while it is; whoever inserts or deletes
-- it, in one statement with the delivery, is the one that tells.
CREATE TABLE notification_states (
    notification_id uuid NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    event           text NOT NULL,
    subject         text NOT NULL,
    since           timestamptz NOT NULL,
    data            jsonb NOT NULL,
    PRIMARY KEY (notification_id, event, subject)
);

-- Attempts that did not reach their source: few, unless one is down.
CREATE INDEX task_attempts_unreached ON task_attempts (finished_at)
    WHERE code IN ('source_unreachable', 'source_reset', 'source_http_502', 'source_http_503', 'source_http_504');
