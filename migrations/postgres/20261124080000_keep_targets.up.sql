-- A command for a whole exam is repeated for the attempts that it was given for.

ALTER TABLE staff_commands
    ADD COLUMN targets bigint[] NOT NULL DEFAULT '{}'; -- the exam's open attempts when it began, by id
