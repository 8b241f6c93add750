"""The paths of the API, one noun a file."""
