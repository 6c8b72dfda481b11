"""Speed and quality measurements; see README.md. Run from the repository's root."""
