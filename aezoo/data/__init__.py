"""Where examples come from: datasets by name, folders and files, drawn data."""
