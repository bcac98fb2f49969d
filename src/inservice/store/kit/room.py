"""How much room rows take, asked so that the answer costs the same however many there are."""

from __future__ import annotations

from sqlalchemy import Connection, Table, text


def bytes_held(connection: Connection, table: Table) -> int:
    """What the table takes on PostgreSQL, and on SQLite, which does not know that of one table
    without reading it, the whole database. Of what was deleted the room is free for other rows:
    it counts on PostgreSQL until that has cleaned up, and on SQLite not at all."""
    if connection.dialect.name == "sqlite":
        pages, free, page_bytes = (
            int(connection.execute(text(f"PRAGMA {what}")).scalar_one())
            for what in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * page_bytes
    size = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
    return int(connection.execute(size, {"name": table.name}).scalar_one())
