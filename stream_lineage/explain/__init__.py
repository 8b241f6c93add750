"""Why something is as it is: from the trends of metrics, and what else happened at the time."""
