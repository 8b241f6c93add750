"""All roles on one machine: each a process of its own, started again when it dies."""
