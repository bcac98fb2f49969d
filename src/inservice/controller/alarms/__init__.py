"""The room of alarms: evaluated on time, their actions run."""
