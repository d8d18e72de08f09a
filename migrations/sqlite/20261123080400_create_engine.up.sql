-- What the engine itself keeps: staff commands, nodes, outages, secrets.

CREATE TABLE staff_commands (
    username    TEXT NOT NULL, -- who gave it
    command_id  TEXT NOT NULL, -- given by the person's client
    body_sha256 BLOB NOT NULL, -- hash of the command: an id is not used for two commands
    result      TEXT,          -- JSON, what came of it; null while it is not done
    CONSTRAINT staff_commands_pkey PRIMARY KEY (username, command_id),
    CONSTRAINT staff_commands_username_fkey FOREIGN KEY (username) REFERENCES users (username) ON DELETE CASCADE
) STRICT;

CREATE TABLE engine_nodes (
    node_id       TEXT NOT NULL,    -- named by its configuration
    last_alive_at INTEGER NOT NULL, -- by the node's clock
    CONSTRAINT engine_nodes_pkey PRIMARY KEY (node_id)
) STRICT;

CREATE TABLE engine_outages (
    from_at  INTEGER NOT NULL, -- no node was alive from
    until_at INTEGER NOT NULL, -- to
    CONSTRAINT engine_outages_pkey PRIMARY KEY (from_at, until_at),
    CONSTRAINT engine_outages_order_check CHECK (from_at < until_at)
) STRICT;

CREATE TABLE engine_secrets (
    name   TEXT NOT NULL, -- what it is for
    secret BLOB NOT NULL, -- 32 random bytes
    CONSTRAINT engine_secrets_pkey PRIMARY KEY (name),
    CONSTRAINT engine_secrets_secret_check CHECK (length(secret) = 32)
) STRICT;
