"""Arrays to numbers: pure functions without web, disk, clock or log."""
