-- Sessions of the dashboard that somebody ended. A row is of no more use once the session would have ended by itself.
CREATE TABLE ended_sessions (
    id      uuid PRIMARY KEY,
    ends_at timestamptz NOT NULL
);
