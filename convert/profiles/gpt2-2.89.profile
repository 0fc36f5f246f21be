# mobile-45mb for larger models: 45 MB for 124,439,808 parameters are 2.893 bits each.  Which matrix,
# and which rows of the embedding, get how many bits is measured for the model at hand.
name: gpt2-2.89
about: every matrix as seed within 2.89 bits a parameter; the default for larger GPT-2
budget-bits: 2.89
allocation: measured
metric: fisher
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed hadamard=max center=on
