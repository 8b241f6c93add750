"""Tells people and other systems of incidents, and does what they asked to be done then."""
