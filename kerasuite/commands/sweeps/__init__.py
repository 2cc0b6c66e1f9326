"""How a sweep goes: what is searched, its trials each in a process of its own, several workers, what is told of it."""
