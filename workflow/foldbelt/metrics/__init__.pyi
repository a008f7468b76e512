from .boxes import BOX as BOX
from .boxes import mean_average_precision as mean_average_precision
from .masks import CountsMetric as CountsMetric
from .masks import from_counts as from_counts
from .masks import mean_dice as mean_dice
from .masks import salt_score as salt_score
from .masks import score_images as score_images
from .masks import score_pairs as score_pairs
