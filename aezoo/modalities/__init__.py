"""What an example is: how it is checked, scaled, read, written and shown."""
