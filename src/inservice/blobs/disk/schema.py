"""The records of a store of objects: its tables, and what a file has to be to be one.

    buckets ─┬─ objects ──┬─ data        bytes that were kept once: in the row, or in a file that
             │            │              has the row's number
             │            └─ manifests   an object in parts: which bytes of which data, in order
             ├─ uploads ──── parts       under way; a part is slices of data like a manifest
             └─ completed                uploads whose completion may be asked again
    counters                             one row: how much there is, how far it has got
    garbage                              files without a record that may still be there

Data and manifests are numbered together and never again; `uses` says how many records need one.
Each row has a seal (see `seals`). Keys are bytes in UTF-8, in whose order SQLite keeps them.
"""

from __future__ import annotations

import sqlite3
import uuid

from inservice.blobs.errors import BlobsDamaged, BlobsRefused, BlobsTooNew

VERSION = 1
"""Of the tables. A file that says a higher one is left alone."""

APPLICATION = 0x696E7362
"""How a file says that it is one of ours: "insb"."""

_TABLES = (
    """CREATE TABLE counters (
        id INTEGER PRIMARY KEY CHECK (id = 1), store TEXT NOT NULL, commits INTEGER NOT NULL,
        buckets INTEGER NOT NULL, objects INTEGER NOT NULL, bytes INTEGER NOT NULL,
        uploads INTEGER NOT NULL, settled INTEGER NOT NULL,
        following INTEGER NOT NULL, seal TEXT NOT NULL)""",
    """CREATE TABLE buckets (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
        region TEXT NOT NULL, created REAL NOT NULL, settings BLOB NOT NULL, seal TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX buckets_of_account ON buckets (account, name)",
    """CREATE TABLE objects (
        bucket INTEGER NOT NULL, key BLOB NOT NULL, size INTEGER NOT NULL,
        modified INTEGER NOT NULL, data INTEGER, manifest INTEGER, attributes BLOB NOT NULL,
        seal TEXT NOT NULL, PRIMARY KEY (bucket, key)) WITHOUT ROWID""",
    """CREATE TABLE data (
        number INTEGER PRIMARY KEY, size INTEGER NOT NULL, uses INTEGER NOT NULL,
        seal TEXT NOT NULL, body BLOB)""",
    """CREATE TABLE manifests (
        number INTEGER PRIMARY KEY, uses INTEGER NOT NULL, slices BLOB NOT NULL,
        parts BLOB NOT NULL, seal TEXT NOT NULL)""",
    "CREATE TABLE garbage (number INTEGER PRIMARY KEY)",
    """CREATE TABLE uploads (
        bucket INTEGER NOT NULL, key BLOB NOT NULL, id TEXT NOT NULL, began INTEGER NOT NULL,
        algorithm TEXT, type TEXT NOT NULL, attributes BLOB NOT NULL, seal TEXT NOT NULL,
        PRIMARY KEY (bucket, key, id)) WITHOUT ROWID""",
    "CREATE INDEX uploads_by_age ON uploads (began)",
    """CREATE TABLE parts (
        upload TEXT NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
        checksum BLOB NOT NULL, kept INTEGER NOT NULL, slices BLOB NOT NULL, seal TEXT NOT NULL,
        PRIMARY KEY (upload, number)) WITHOUT ROWID""",
    """CREATE TABLE completed (
        id TEXT PRIMARY KEY, at INTEGER NOT NULL, upload BLOB NOT NULL, given BLOB NOT NULL,
        answer BLOB NOT NULL, seal TEXT NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX completed_by_age ON completed (at)",
)


def version(connection: sqlite3.Connection) -> int:
    """Which version of ours this is; 0 of a file in which nothing was made yet. Raises BlobsTooNew,
    and BlobsRefused for a file of somebody else's."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables and not found:
        return 0
    if application != APPLICATION:
        raise BlobsRefused("The file of the objects' records is a database of something else.")
    if found > VERSION:
        raise BlobsTooNew(
            f"The objects were written by a newer InService (version {found} of their records; "
            f"this one knows {VERSION}). Use that one."
        )
    return int(found)


def make(connection: sqlite3.Connection) -> None:
    """Make the tables, all of them or none."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO counters VALUES (1, ?, 0, 0, 0, 0, 0, 1, 1, '')", (uuid.uuid4().hex,)
    )
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def check(connection: sqlite3.Connection) -> None:
    """Raises BlobsDamaged for tables that are not defined as they were made."""
    made = {" ".join(statement.split()) for statement in _TABLES}
    found = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    )
    if {" ".join(sql.split()) for (sql,) in found} != made:
        raise BlobsDamaged(
            "The definitions of the tables of objects are not those that were made. Nothing was "
            "changed."
        )
