ALTER TABLE staff_commands
    DROP COLUMN targets;
