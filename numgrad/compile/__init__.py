"""Recording the kernel calls of a function, and running them as one native program."""
