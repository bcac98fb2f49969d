"""Telemetry: what is measured, made durable, kept, and shown.

names          every metric, dimension and unit that InService publishes
base           what others see: what can be told and asked, and the values that say it
rows           what gateway workers send, and the samples it means
datapoints     series, and the buckets of one second, one minute, five minutes, one hour
recorder       the one place where samples come in, become durable, and are read
recent         what each fleet was asked in the last seconds, for a live view
alarm_history  what happened to alarms
storage        what is asked of a store: a journal, and chunks of datapoints
database       the driver that answers, over the tables of `tables`; `opening` opens it
utilization    CPU, memory, GPUs (`gpus`) and disk of instances
happenings     what control itself did: deployments that ended, instances that started
under_way      requests in a gateway worker's hands, and those that died with it
prometheus     the same facts as a Prometheus page; `histograms` as it has them
"""
