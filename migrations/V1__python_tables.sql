-- The tables as Python automagik-spark's models declare them. Every statement is a no-op on a database that the
-- Python service made, so that such a database is taken over in place (V2 adds what ours needs).
CREATE TABLE IF NOT EXISTS workflow_sources (
    id                uuid PRIMARY KEY,
    name              varchar(255),
    source_type       varchar(50) NOT NULL,
    url               varchar(255) NOT NULL UNIQUE,
    encrypted_api_key varchar NOT NULL,
    version_info      json,
    status            varchar(50) NOT NULL DEFAULT 'active',
    created_at        timestamptz DEFAULT now(),
    updated_at        timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS workflows (
    id                 uuid PRIMARY KEY,
    name               varchar(255) NOT NULL,
    description        text,
    data               json,
    flow_raw_data      json,
    source             varchar(50) NOT NULL,
    remote_flow_id     varchar(255) NOT NULL,
    flow_version       integer DEFAULT 1,
    workflow_source_id uuid REFERENCES workflow_sources (id),
    input_component    varchar(255),
    output_component   varchar(255),
    is_component       boolean DEFAULT false,
    folder_id          varchar(255),
    folder_name        varchar(255),
    icon               varchar(255),
    icon_bg_color      varchar(50),
    liked              boolean DEFAULT false,
    tags               json,
    created_at         timestamptz DEFAULT now(),
    updated_at         timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS workflow_components (
    id               uuid PRIMARY KEY,
    workflow_id      uuid NOT NULL REFERENCES workflows (id),
    component_id     varchar(255) NOT NULL,
    type             varchar(50) NOT NULL,
    template         json,
    tweakable_params json,
    is_input         boolean DEFAULT false,
    is_output        boolean DEFAULT false,
    created_at       timestamptz DEFAULT now(),
    updated_at       timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS schedules (
    id            uuid PRIMARY KEY,
    workflow_id   uuid NOT NULL REFERENCES workflows (id),
    schedule_type varchar NOT NULL,
    schedule_expr varchar NOT NULL,
    params        json,
    input_data    varchar,
    status        varchar NOT NULL DEFAULT 'active',
    next_run_at   timestamptz,
    created_at    timestamptz DEFAULT now(),
    updated_at    timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS tasks (
    id            uuid PRIMARY KEY,
    workflow_id   uuid NOT NULL REFERENCES workflows (id),
    schedule_id   uuid,
    status        varchar NOT NULL DEFAULT 'pending',
    input_data    json,
    output_data   json,
    error         varchar,
    next_retry_at timestamptz,
    tries         integer NOT NULL DEFAULT 0,
    max_retries   integer NOT NULL DEFAULT 3,
    created_at    timestamptz DEFAULT now(),
    started_at    timestamptz,
    finished_at   timestamptz,
    updated_at    timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS task_logs (
    id           uuid PRIMARY KEY,
    task_id      uuid NOT NULL REFERENCES tasks (id),
    level        varchar NOT NULL,
    message      varchar NOT NULL,
    component_id varchar,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS workers (
    id              uuid PRIMARY KEY,
    hostname        varchar(255) NOT NULL,
    pid             integer NOT NULL,
    status          varchar(50) NOT NULL DEFAULT 'active',
    current_task_id uuid,
    stats           json,
    created_at      timestamptz DEFAULT now(),
    updated_at      timestamptz DEFAULT now(),
    last_heartbeat  timestamptz
);
