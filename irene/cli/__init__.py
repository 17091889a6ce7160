"""cli: the `irene` command. Each command parses, calls one room below, and prints."""
