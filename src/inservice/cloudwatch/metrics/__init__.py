"""Metrics, the pure half: what can be asked of series, and how it is computed.

metric       which series is which, and how long what is kept
datum        what one member of PutMetricData says was seen
sketches     the histogram behind percentiles: mergeable, one percent exact
aggregates   what is kept of many values; merging two is exact
statistics   Sum, p99, TM(10%:90%) …: the words, and how each is computed
expressions  metric math, parsed; `math` evaluates it
query        GetMetricData: queries in, time series out
"""
