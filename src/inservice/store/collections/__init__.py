"""What is kept, a file for each noun: what can be asked and written, its rows, its tables.

A new noun is a new file here, a migration, and its line in `store.base` and in
`store.drivers.collections`, which put all of them together.
"""
