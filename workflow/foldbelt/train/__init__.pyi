from .job import run as run
