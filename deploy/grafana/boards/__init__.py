"""The dashboards of Grafana and its alert rules, one module each, and what they are made of."""
