ALTER TABLE engine_nodes
    DROP COLUMN left_at,
    DROP COLUMN heard_at;
