"""Whether a distribution has shifted, judged on sketches."""
