from .judging import observe as observe
from .judging import run as run
from .likeness import COLUMN as COLUMN
from .likeness import read as read
from .weighting import weighted as weighted
