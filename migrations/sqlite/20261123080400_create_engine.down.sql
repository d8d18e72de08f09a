DROP TABLE engine_secrets;
DROP TABLE engine_outages;
DROP TABLE engine_nodes;
DROP TABLE staff_commands;
