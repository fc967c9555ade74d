"""Several runs of the same particles as jobs that know nothing of each other.

A campaign is a folder that all machines see. `launch` writes its jobs down, `work` takes one
after the other on any number of machines, and `join` compares the runs that have ended.
"""
