"""Where weights are: a name to its files, folders, the Hub; read, checked, written."""
