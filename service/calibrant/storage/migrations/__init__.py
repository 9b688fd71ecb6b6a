"""The history of the metadata tables, run by Alembic inside `Metadata.migrate`."""
