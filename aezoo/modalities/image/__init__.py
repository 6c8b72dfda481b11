"""Images: files, tiles, corruptions."""
