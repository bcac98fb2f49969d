"""What every collection is made of: tables and codecs, sealed rows, names, pages, a cache."""
