"""Alarms: when a metric means trouble. Pure: datapoints and the time in, a state out.

alarm          what an alarm is: MetricAlarm, CompositeAlarm, AlarmState
configuration  PutMetricAlarm and PutCompositeAlarm, checked and typed
evaluation     evaluate(alarm, datapoints, now): M out of N, and what missing data means
reasons        the words and the JSON that explain a state
composite      AlarmRule: its grammar, and when a composite's actions are suppressed
history        what DescribeAlarmHistory tells, and the message an action sends
"""
