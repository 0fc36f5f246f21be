# mobile-45mb for a model of any size: 45 MB for 124,439,808 parameters are 2.893 bits each.
# Which matrix, and which rows of the embedding, get how many bits is measured for the model at
# hand (docs/ENCODER.md).
name: mini-2.89
about: every matrix as seed within 2.89 bits a parameter, file size counted
budget-bits: 2.89
allocation: measured
metric: fisher
compensate: 32768
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed hadamard=max center=on
