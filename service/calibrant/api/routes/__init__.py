"""The routes: decode, one operation, encode."""
