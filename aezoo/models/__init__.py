"""One family a file; `_base` holds the API that all of them share."""
