"""How requests are spread over the instances that there are, as this worker sees them.

instances   who is busy, who is full, who is to be left alone
health      pings to instances that have fallen silent or were ejected
waiting     the short queue of requests for which every instance is full
draws       chance, dealt evenly
"""
