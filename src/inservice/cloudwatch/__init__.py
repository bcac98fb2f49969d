"""The pure half of CloudWatch: metrics, alarms and logs as values and decisions. No I/O, no clock.

metrics  statistics, metric math, GetMetricData
alarms   from datapoints and the time to a state
logs     filter patterns
"""
