"""The API as a process: what it asks, kept up to date, and served."""
