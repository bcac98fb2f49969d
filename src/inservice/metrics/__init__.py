"""Metrics: what is published, how it is kept, and what can be asked of it.

names        every metric, dimension and unit that InService publishes
sketches     the histogram behind percentiles: mergeable, one percent exact
statistics   Sum, p99, TM(10%:90%) …: the words, and how each is computed
datapoints   series, and the buckets of one second, one minute, five minutes, one hour
recorder     the one place where samples come in, and where they become durable
expressions  metric math, parsed; math evaluates it
query        GetMetricData: queries in, time series out
utilization  CPU, memory and disk of instances
prometheus   the same facts as a Prometheus page
"""
