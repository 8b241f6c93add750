"""Lineage and drift detection for Kafka pipelines."""
