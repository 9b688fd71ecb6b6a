"""Keep and find things: metadata in SQL, immutable blobs by content, tables of rows."""
