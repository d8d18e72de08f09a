-- Nodes are heard by the database's clock, and say when they leave.

ALTER TABLE engine_nodes
    ADD COLUMN heard_at timestamptz NOT NULL DEFAULT clock_timestamp(), -- its last word, by the database's clock
    ADD COLUMN left_at  timestamptz;                                   -- when it ended in good order; null while it lives, and where it died
