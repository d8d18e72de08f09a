-- What the engine itself keeps: staff commands, nodes, outages, secrets.

CREATE TABLE staff_commands (
    user_id     bigint NOT NULL,                    -- who gave it
    command_id  text COLLATE "C" NOT NULL,          -- given by the person's client
    body_sha256 bytea NOT NULL,                     -- hash of the command: an id is not used for two commands
    result      json,                               -- what came of it; null while it is not done
    begun_at    timestamptz NOT NULL DEFAULT now(), -- by the database's clock
    ended_at    timestamptz,                        -- by the database's clock
    CONSTRAINT staff_commands_pkey PRIMARY KEY (user_id, command_id),
    CONSTRAINT staff_commands_body_sha256_check CHECK (octet_length(body_sha256) = 32),
    CONSTRAINT staff_commands_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE engine_nodes (
    node_id       text COLLATE "C" NOT NULL,          -- named by its configuration
    last_alive_at timestamptz NOT NULL,               -- by the node's clock
    created_at    timestamptz NOT NULL DEFAULT now(), -- first seen, by the database's clock
    CONSTRAINT engine_nodes_pkey PRIMARY KEY (node_id)
);

CREATE INDEX engine_nodes_last_alive_at_idx ON engine_nodes (last_alive_at);

CREATE TABLE engine_outages (
    from_at    timestamptz NOT NULL,               -- no node was alive from
    until_at   timestamptz NOT NULL,               -- to
    created_at timestamptz NOT NULL DEFAULT now(), -- when it was noticed, by the database's clock
    CONSTRAINT engine_outages_pkey PRIMARY KEY (from_at, until_at),
    CONSTRAINT engine_outages_order_check CHECK (from_at < until_at)
);

CREATE TABLE engine_secrets (
    name       text COLLATE "C" NOT NULL,          -- what it is for
    secret     bytea NOT NULL,                     -- 32 random bytes, the same for all nodes
    created_at timestamptz NOT NULL DEFAULT now(), -- when the first node made it
    CONSTRAINT engine_secrets_pkey PRIMARY KEY (name),
    CONSTRAINT engine_secrets_secret_check CHECK (octet_length(secret) = 32)
);
