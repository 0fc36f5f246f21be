# mini-3.25 shared out for a model that recovery training follows: training wins back most of what
# the first layers lose, half of what the others do, and next to nothing of the embedding
# (docs/TUNING.md), so that is how much their measured costs count.
name: mini-3.25-train
about: every matrix as seed within 3.25 bits a parameter, shared out for training
budget-bits: 3.25
allocation: measured
metric: fisher
compensate: 32768
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
all   layers=0-5 cost=0.35
all   layers=6-11 cost=0.5
wte   codec=seed hadamard=max center=on
