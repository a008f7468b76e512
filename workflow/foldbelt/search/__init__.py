"""What blend weights and decisions are both searched by: counts, grids and means.

Read `oof` first. Data pass through in this order: `oof` hands out the members' out-of-fold
predictions with the truth, `means` averages them, `blends` holds the weights for every left-out
fold and counts pixels at every threshold (`counting`; `tabulating` and `tables` where components
matter), `sums` scores the counts at every point of a grid (`space`, `gates`).
"""
