"""The log files of instances: one writer and one reader of their layout, and what both know of it.

writer  the fork server's end: bounded, rotated, never in a model's way
lines   cutting lines that are too long
base    what others see: groups, streams, events and their order
groups  endpoints as log groups, instances as streams, lines as events, in files
search  the events of a group that fit an answer, a page of work at a time
"""
