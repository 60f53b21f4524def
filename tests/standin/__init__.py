"""A second stand-in for both vendors, written from their documents alone; it shares no code with the sandbox.

`server` speaks HTTP and holds the faults, `mpservices` and `mpw` are the vendors and what people do there, `times` is
the time that all of them share. None of these four knows `sync`. `world` drives the real program against them.
"""
