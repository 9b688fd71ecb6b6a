"""Words to calls: the `calibrant` command."""
