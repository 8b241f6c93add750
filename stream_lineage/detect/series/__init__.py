"""Anomalies of one series of numbers, one value for each window of time."""
