"""Looks at each hop between the settings and the stores, and says how to mend what fails."""
