"""Logs, the pure half: which events FilterLogEvents gives, and what finding them costs.

patterns       filter patterns: terms, space-delimited fields, JSON
conditions     the comparisons that fields and JSON share
json_patterns  { $.level = "ERROR" && $.ms > 100 }
expressions    %regular expressions%, matched in linear time
work           what looking at events costs, counted
errors         what can be wrong with a request
"""
