"""Metrics: what is published, how it is kept, and what can be asked of it.

names          every metric, dimension and unit that InService publishes
rows           what gateway workers send, and the samples it means
sketches       the histogram behind percentiles: mergeable, one percent exact
aggregates     what is kept of many values; merging two is exact
statistics     Sum, p99, TM(10%:90%) …: the words, and how each is computed
datapoints     series, and the buckets of one second, one minute, five minutes, one hour
step_counts    what came of the requests of each step of a deployment
recorder       the one place where samples come in, become durable, and are read
alarm_history  what happened to alarms
base           what is asked of a store: a journal, and chunks of datapoints
database       the driver that answers, over the tables of `tables`
expressions    metric math, parsed; `math` evaluates it
query          GetMetricData: queries in, time series out
utilization    CPU, memory, GPUs (`gpus`) and disk of instances
happenings     what control itself did: deployments that ended, instances that started
under_way      requests in a gateway worker's hands, and those that died with it
prometheus     the same facts as a Prometheus page; `histograms` as it has them
"""
