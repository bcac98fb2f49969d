"""Logs: what instances wrote, as CloudWatch Logs serves it.

groups         endpoints as log groups, instances as streams, lines as events
written        streams that clients write, and what retention and deletion leave of any
patterns       filter patterns: terms, space-delimited fields, JSON
conditions     the comparisons that fields and JSON share
json_patterns  { $.level = "ERROR" && $.ms > 100 }
expressions    %regular expressions%, matched in linear time
errors         what can be wrong with a request
"""
